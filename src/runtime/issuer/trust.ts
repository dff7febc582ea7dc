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
  const credential = {
    name: "kek-broker",
    issuer: url,
    subject,
    audiences: ["api://AzureADTokenExchange"],
  };
  return [
    "AWS: the provider, and a role for each KEK with this trust policy as trust.json",
    `  aws iam create-open-id-connect-provider --url ${url} --client-id-list sts.amazonaws.com`,
    "  aws iam create-role --role-name kek-broker-KEK --assume-role-policy-document file://trust.json",
    ...indented(JSON.stringify(policy, null, 2)),
    "",
    "Google Cloud: a pool, its provider, and the principal's right to the key",
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
  ];
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => `    ${line}`);
}
