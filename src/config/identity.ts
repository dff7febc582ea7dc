import * as z from "zod";

import { HttpsUrl } from "./values.ts";

export const Issuer = z.strictObject({
  url: HttpsUrl.refine(
    (url) => !url.endsWith("/"),
    "must not end with a slash: clouds compare it exactly",
  ).describe(
    "The issuer that `kek-broker issuer init` made: where its discovery document is, and the `iss` of its tokens.",
  ),
  subject: z
    .string()
    .regex(/^[A-Za-z0-9._:/@-]{1,127}$/, "must be 1 to 127 letters, digits or any of . _ : / @ -")
    .default("kek-broker")
    .describe("The `sub` of its tokens, which the clouds' trust policies name."),
  keyFile: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe(
      "The private key, a JWK that its owner alone may read (0600); read each time a token is made. Without it, and always on Workers, the key is the environment's `KEK_BROKER_SIGNING_KEY`.",
    ),
});

const PLATFORMS = ["aws", "google", "azure"] as const;

const ALTERNATIVES = ["issuer", "platform"] as const;

/** Who the broker is to clouds whose credentials it has none of: the source of its own OIDC tokens. */
export const Identity = z
  .strictObject({
    issuer: Issuer.optional().describe(
      "An issuer of the broker's own: static files on any https host, and a key.",
    ),
    platform: z
      .enum(PLATFORMS)
      .optional()
      .describe(
        "The platform that the broker runs on gives the token: AWS STS, Google's metadata server, an Azure managed identity. Not on Workers.",
      ),
  })
  .refine(
    (identity) => ALTERNATIVES.filter((name) => identity[name] !== undefined).length === 1,
    `give exactly one of ${ALTERNATIVES.join(", ")}`,
  )
  .meta({ oneOf: ALTERNATIVES.map((name) => ({ required: [name] })) });
export type Identity = z.infer<typeof Identity>;
