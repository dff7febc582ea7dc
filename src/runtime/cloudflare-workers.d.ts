/** What is used of it; the runtime brings it. */
declare module "cloudflare:workers" {
  /** Keeps the request that is under way going until the promise settles, for half a minute at most. */
  export function waitUntil(promise: Promise<unknown>): void;
}
