export interface TrustedIdentity {
  readonly url: string;
  readonly subject: string;
}

/** What makes each cloud trust the issuer, to be pasted; words in capitals are the reader's to fill in. */
export function trustOf({ url, subject }: TrustedIdentity): string[] {
  const host = url.replace(/^https:\/\//, "");
  const policy = {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Federated: `arn:aws:iam::ACCOUNT:oidc-provider/${host}` },
        Action: "sts:AssumeRoleWithWebIdentity",
        Condition: { StringEquals: { [`${host}:aud`]: "sts.amazonaws.com", [`${host}:sub`]: subject } },
      },
    ],
  };
  const key = {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"],
        Resource: "arn:aws:kms:REGION:ACCOUNT:key/ID",
      },
    ],
  };
  const credential = {
    name: "kek-broker",
    issuer: url,
    subject,
    audiences: ["api://AzureADTokenExchange"],
  };
  return [
    "AWS: the provider, and a role for each KEK, with who may be it as trust.json and its right to the key as key.json",
    ...(new URL(url).port === ""
      ? []
      : ["  (AWS takes no issuer whose URL has a port: this one is for other clouds)"]),
    `  aws iam create-open-id-connect-provider --url ${url} --client-id-list sts.amazonaws.com`,
    "  aws iam create-role --role-name kek-broker-KEK --assume-role-policy-document file://trust.json",
    ...indented(JSON.stringify(policy, null, 2)),
    "  aws iam put-role-policy --role-name kek-broker-KEK --policy-name key --policy-document file://key.json",
    ...indented(JSON.stringify(key, null, 2)),
    "",
    "Google Cloud: a pool, its provider, and the principal's right to the key",
    "  gcloud services enable iam.googleapis.com sts.googleapis.com iamcredentials.googleapis.com cloudkms.googleapis.com",
    "  gcloud iam workload-identity-pools create kek-broker --location=global",
    "  gcloud iam workload-identity-pools providers create-oidc kek-broker --location=global \\",
    `    --workload-identity-pool=kek-broker --issuer-uri=${url} \\`,
    `    --attribute-mapping=google.subject=assertion.sub --attribute-condition="assertion.sub == '${subject}'"`,
    ...["cryptoKeyEncrypterDecrypter", "viewer"].flatMap((role) => [
      "  gcloud kms keys add-iam-policy-binding KEY --keyring=RING --location=LOCATION \\",
      `    --role=roles/cloudkms.${role} \\`,
      `    --member="principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/kek-broker/subject/${subject}"`,
    ]),
    "",
    "Azure: an application, its federated credential, and its right to the key",
    "  az ad app create --display-name kek-broker && az ad sp create --id CLIENT_ID",
    "  az ad app federated-credential create --id CLIENT_ID --parameters @credential.json",
    '  az role assignment create --assignee CLIENT_ID --role "Key Vault Crypto Service Encryption User" \\',
    "    --scope /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.KeyVault/vaults/VAULT/keys/KEY",
    ...indented(JSON.stringify(credential, null, 2)),
    "",
    "The broker's file: identity once, and federation in each member",
    `  identity: { issuer: { url: ${url}, subject: "${subject}" } }`,
    "  awsKms:",
    '    federation: { roleArn: "arn:aws:iam::ACCOUNT:role/kek-broker-KEK" }',
    "  gcpKms:",
    "    federation: { provider: projects/NUMBER/locations/global/workloadIdentityPools/kek-broker/providers/kek-broker }",
    "  azureKeyVault:",
    "    federation: { tenantId: TENANT_ID, clientId: CLIENT_ID }",
  ];
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => `    ${line}`);
}
