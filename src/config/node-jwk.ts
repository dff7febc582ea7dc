import * as z from "zod";

/** 32 bytes, base64url without stray bits at its end: one text for each key. */
const COORDINATE = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const coordinate = z.string().regex(COORDINATE, "must be 32 bytes in base64url without padding");

const kid = z.string().min(1).max(128).exactOptional();
const use = z.literal("sig").exactOptional();

const EcJwk = z
  .strictObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    x: coordinate,
    y: coordinate,
    kid,
    alg: z.literal("ES256").exactOptional(),
    use,
  })
  .refine(({ x, y }) => isOnP256(x, y), "is not a P-256 key: x and y do not belong together");

const OkpJwk = z.strictObject({
  kty: z.literal("OKP"),
  crv: z.literal("Ed25519"),
  x: coordinate,
  kid,
  alg: z.enum(["EdDSA", "Ed25519"]).exactOptional(),
  use,
});

/** A node's public key: EC P-256 for ES256, Ed25519 for EdDSA. Strict, so that a private key (`d`) is refused. */
export const NodeJwk = z
  .discriminatedUnion("kty", [EcJwk, OkpJwk])
  .meta({ title: "public JWK, EC P-256 or Ed25519" });
export type NodeJwk = z.infer<typeof NodeJwk>;

/** Equal for equal keys, whatever they are called. */
export function keyMaterial(jwk: NodeJwk): string {
  return jwk.kty === "EC" ? `P-256 ${jwk.x} ${jwk.y}` : `Ed25519 ${jwk.x}`;
}

/** y² = x³ − 3x + b over the field of p (FIPS 186, SP 800-186 §3.2.1.3). */
const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

function isOnP256(x: string, y: string): boolean {
  if (!COORDINATE.test(x) || !COORDINATE.test(y)) return true; // told already
  const [a, b] = [integerOf(x), integerOf(y)];
  return a < P && b < P && (b * b - (a * a * a - 3n * a + B)) % P === 0n;
}

function integerOf(base64Url: string): bigint {
  const binary = atob(base64Url.replaceAll("-", "+").replaceAll("_", "/"));
  let integer = 0n;
  for (const character of binary) integer = (integer << 8n) | BigInt(character.charCodeAt(0));
  return integer;
}
