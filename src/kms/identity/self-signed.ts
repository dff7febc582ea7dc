import { SignJWT } from "jose";

import { ProviderError } from "../key-provider.ts";
import type { IdentityTokenSource } from "./identity-token.ts";
import { SIGNING_ALGORITHM, type SigningKey } from "./signing-key.ts";

/** Seconds. Exchanged at once, so no more than clocks and networks need. */
const LIFETIME_S = 300;
/** Google wants `iat` in the past, by its own clock. */
const BACKDATED_S = 30;

export interface SelfSignedOptions {
  /** `iss`: under it are the discovery document and the keys that clouds look up. */
  readonly url: string;
  /** `sub`: who the broker is, as trust policies name it. */
  readonly subject: string;
  /** Asked for each token, so that a key that was replaced is used from then on. Rejects with SigningKeyError. */
  readonly key: () => Promise<SigningKey>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Tokens signed by the broker itself, each made anew for one exchange. */
export function createSelfSigned({ url, subject, key, now }: SelfSignedOptions): IdentityTokenSource {
  return async (audience) => {
    try {
      const { kid, key: signingKey } = await key();
      const issuedAt = Math.floor(now() / 1000) - BACKDATED_S;
      return await new SignJWT()
        .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid, typ: "JWT" })
        .setIssuer(url)
        .setSubject(subject)
        .setAudience(audience)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + LIFETIME_S)
        .setJti(crypto.randomUUID())
        .sign(signingKey);
    } catch {
      throw new ProviderError("AccessDenied", "the broker's own token: the signing key cannot be used");
    }
  };
}
