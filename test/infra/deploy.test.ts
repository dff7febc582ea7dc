import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import * as z from "zod";

import { parseBrokerConfig } from "../../src/config/parse.ts";
import { blocksOf, filesIn, tableUnder, textOf } from "./pages.ts";

const pages = filesIn("docs", ".md").filter((path) => path.startsWith("docs/deploy-"));
/** Where the platform has no address to listen on, and Workers no credentials for clouds. */
const PLACES: Record<string, object> = {
  "docs/deploy-lambda.md": { listens: false },
  "docs/deploy-workers.md": { listens: false, worker: { awsKeys: false } },
};

function configurationOn(page: string) {
  const examples = blocksOf(textOf(page)).filter(
    ({ language, text }) => language === "yaml" && text.startsWith("# broker"),
  );
  expect(examples).toHaveLength(1);
  return parseBrokerConfig(examples[0]?.text ?? "", {
    allowDevelopmentKeys: false,
    listens: true,
    ...PLACES[page],
  });
}

describe("the configuration on", () => {
  it.each(pages)("%s is right for where it runs", (page) => {
    expect(Object.keys(configurationOn(page).keks)).toEqual(["prod-secrets"]);
  });
});

describe("infra/lambda", () => {
  it("gives the function's role what the table of permissions says, on one key, and its log", () => {
    const Policy = z.object({
      Statement: z.array(z.object({ Sid: z.string(), Action: z.array(z.string()), Resource: z.string() })),
    });
    const { Statement } = Policy.parse(JSON.parse(textOf("infra/lambda/execution-role-policy.json")));
    const needed = tableUnder(textOf("docs/cloud-permissions.md"), "Keys")
      .filter(([cloud]) => cloud === "AWS")
      .map(([, permission]) => permission);
    expect(Statement.map(({ Sid }) => Sid)).toEqual(["Keys", "Records"]);
    expect(Statement[0]?.Action).toEqual(needed);
    expect(Statement[0]?.Resource).toMatch(/^arn:aws:kms:[^*]+:key\/[^*]+$/);
    expect(Statement[1]?.Resource).toContain(":log-group:/aws/lambda/kek-broker:");
  });
});

describe("infra/cloud-run/service.yaml", () => {
  const Service = z.object({
    spec: z.object({
      template: z.object({
        spec: z.object({
          serviceAccountName: z.string(),
          containers: z
            .array(
              z.object({
                image: z.string().regex(/@sha256:/),
                ports: z.array(z.object({ containerPort: z.int() })).length(1),
                volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })).length(1),
              }),
            )
            .length(1),
          volumes: z
            .array(
              z.object({
                name: z.string(),
                secret: z.object({
                  secretName: z.string(),
                  items: z.array(z.object({ key: z.string().regex(/^[0-9]+$/), path: z.string() })).length(1),
                }),
              }),
            )
            .length(1),
        }),
      }),
    }),
  });

  it("has the port, file and secret that image, page and configuration have", () => {
    const { spec } = Service.parse(parse(textOf("infra/cloud-run/service.yaml"))).spec.template;
    const [container] = spec.containers;
    const [volume] = spec.volumes;
    const page = textOf("docs/deploy-cloud-run.md");
    expect(configurationOn("docs/deploy-cloud-run.md").listen).toBe(
      `0.0.0.0:${container?.ports[0]?.containerPort}`,
    );
    expect(container?.volumeMounts[0]?.name).toBe(volume?.name);
    const file = `${container?.volumeMounts[0]?.mountPath}/${volume?.secret.items[0]?.path}`;
    expect(textOf("infra/container/Dockerfile")).toContain(`CMD ["serve", "--config", "${file}"]`);
    expect(page).toContain(`gcloud secrets create ${volume?.secret.secretName} `);
    expect(page).toContain(`gcloud iam service-accounts create ${spec.serviceAccountName.split("@")[0]}`);
  });
});

describe("infra/container-apps/kek-broker.bicep", () => {
  const template = textOf("infra/container-apps/kek-broker.bicep");

  it("has the port and file that image, page and configuration have", () => {
    const { listen } = configurationOn("docs/deploy-container-apps.md");
    const port = listen.slice(listen.lastIndexOf(":") + 1);
    expect(template.match(/(?:targetP|p)ort: (\d+)/g)?.map((text) => text.split(" ")[1])).toEqual([
      port,
      port,
      port,
    ]);
    expect(template).toContain("mountPath: '/etc/kek-broker'");
    expect(template).toContain("path: 'broker.yaml'");
  });

  it("gives the role that the page of permissions names", () => {
    const [, role] = /var encryptionUser = '([0-9a-f-]{36})'/.exec(template) ?? [];
    expect(textOf("docs/cloud-permissions.md")).toContain(`\`${role}\``);
  });

  it("asks for each parameter that the page gives, and no other without a default", () => {
    const needed = [...template.matchAll(/^param (\w+) \w+$/gm)].map(([, name]) => name);
    const given = [
      ...textOf("docs/deploy-container-apps.md").matchAll(/\b(image|config|vaultName|keyName)=/g),
    ];
    expect(new Set(needed)).toEqual(new Set(given.map(([, name]) => name)));
  });
});

describe("wrangler.toml", () => {
  it("names the secrets that the page sets", () => {
    const secrets = (text: string): Set<string | undefined> =>
      new Set([...text.matchAll(/wrangler secret put (\w+)/g)].map(([, name]) => name));
    expect(secrets(textOf("wrangler.toml"))).toEqual(secrets(textOf("docs/deploy-workers.md")));
  });
});
