import { type Received, type Reply, startLoopbackServer } from "../../emulators/loopback-server.ts";

/** A platform's own service, which answers what the test says, and what it was asked. */
export interface PlatformService {
  readonly url: string;
  readonly requests: readonly Received[];
  script(...replies: readonly Reply[]): void;
  close(): Promise<void>;
}

export async function startPlatformService(...replies: readonly Reply[]): Promise<PlatformService> {
  const requests: Received[] = [];
  const left = [...replies];
  const server = await startLoopbackServer((request) => {
    requests.push(request);
    return left.shift() ?? { status: 500, body: "not in the script" };
  });
  return { ...server, requests, script: (...next) => void left.push(...next) };
}

export const json = (body: object, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** What a managed identity's endpoint answers. */
export const managedIdentityToken = (token: string): Reply =>
  json({
    access_token: token,
    expires_on: String(Math.floor(Date.now() / 1000) + 86_400),
    expires_in: "86400",
    token_type: "Bearer",
  });

export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "no failure",
    (error: unknown) => error,
  );
}
