import type { Kek, Member } from "./kek.ts";

/** RSA wraps by public key, which proves no origin: see docs/envelope.md. */
function isSymmetric({ azureKeyVault }: Member): boolean {
  return azureKeyVault === undefined || azureKeyVault.algorithm !== "RSA-OAEP-256";
}

/** Whether what a KEK seals may hold RSA wraps alone: where a symmetric member wraps, one such wrap is required. */
export function sealsRsaOnly({ members }: Pick<Kek, "members">): boolean {
  return !Object.values(members).some((member) => member.use === "both" && isSymmetric(member));
}

/** Whether it refuses to open envelopes of RSA wraps alone. */
export function refusesRsaOnly({ members, allowRsaOnly }: Pick<Kek, "members" | "allowRsaOnly">): boolean {
  return !allowRsaOnly && Object.values(members).some(isSymmetric);
}
