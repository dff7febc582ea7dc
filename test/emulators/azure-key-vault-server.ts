import { createServer } from "node:https";
import { buffer } from "node:stream/consumers";
import tls from "node:tls";

import type { AccessToken } from "@azure/core-auth";

import { makeCertificate } from "../shim/certificate.ts";
import { FakeKeyVault, type FakeKeyVaultOptions } from "./azure-key-vault-fake.ts";

export interface HttpsVault {
  readonly vault: FakeKeyVault;
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  /** The certificate to trust, in PEM: NODE_EXTRA_CA_CERTS for another process, `trustInThisProcess` for this one. */
  readonly ca: string;
  /** Ends every connection, answered or not. */
  close(): Promise<void>;
}

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

let made: Certificate | undefined;
/** One for all servers of this process: OpenSSL takes no two authorities of the same name. */
export function certificateOfThisProcess(): Certificate {
  return (made ??= makeCertificate());
}

/** The fake vault behind TLS on a free port of 127.0.0.1. */
export async function startFakeKeyVault(
  options: Omit<FakeKeyVaultOptions, "url"> = {},
  { key, cert }: Certificate = certificateOfThisProcess(),
): Promise<HttpsVault> {
  const answers = await startHttps({ key, cert }, (request) => vault.handle(request));
  const vault = new FakeKeyVault({ ...options, url: answers.url });
  return { vault, url: answers.url, ca: cert, close: () => answers.close() };
}

/** An HTTPS server over a function; what that throws cuts the connection. */
export async function startHttps(
  identity: Certificate,
  handle: (request: Request) => Promise<Response>,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  let url = "";
  const server = createServer(identity, (incoming, outgoing) => {
    const respond = async () => {
      const { method = "GET", url: path = "/", headers } = incoming;
      const body = await buffer(incoming);
      const hasBody = method !== "GET" && method !== "HEAD";
      const flat = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
      const request = new Request(`${url}${path}`, {
        method,
        headers: flat,
        ...(hasBody && { body: new Uint8Array(body) }),
      });
      const answer = await handle(request);
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.end(Buffer.from(await answer.arrayBuffer()));
    };
    respond().catch(() => incoming.socket.destroy());
  });
  // Making a key holds up this process, and a connection that ends of age in the meantime would look like a fault.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  url = `https://127.0.0.1:${address.port}`;
  return {
    url,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}

/** A credential that always has this token, as Entra would give it. */
export function credentialOf(token: string, lifeMs = 3_600_000): { getToken: () => Promise<AccessToken> } {
  return { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + lifeMs }) };
}

/**
 * Node reads NODE_EXTRA_CA_CERTS at its start alone, so a test adds its authority to every TLS context that is made
 * from here on. Returns how to stop.
 */
export function trustInThisProcess(ca: string): () => void {
  const original = tls.createSecureContext;
  tls.createSecureContext = (options) => {
    const secure = original(options);
    if (options?.ca === undefined && options?.key === undefined) secure.context.addCACert(ca);
    return secure;
  };
  return () => {
    tls.createSecureContext = original;
  };
}
