import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

import { StartError, systemCodeOf } from "./errors.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificate authorities to trust, in PEM; `undefined` for the system's.
 * @throws StartError `CaUnusable`: Node itself would ignore what it cannot read, and fail at the first call
 */
export function readCa(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  let pem;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    throw new StartError("CaUnusable", `${path} cannot be read (${systemCodeOf(error)})`, { cause: error });
  }
  const certificates = pem.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new StartError("CaUnusable", `${path} holds no certificate in PEM`);
  try {
    certificates.map((certificate) => new X509Certificate(certificate));
  } catch (error) {
    throw new StartError("CaUnusable", `${path} holds a certificate that cannot be read`, { cause: error });
  }
  return pem;
}
