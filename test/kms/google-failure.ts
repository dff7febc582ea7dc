import { expect } from "vitest";

import { ProviderError } from "../../src/kms/key-provider.ts";

/** A token, a key's name, a server's address, and what the tests wrap, in base64: all of it must stay inside. */
const UNTOLD = /ya29|projects\/|127\.0\.0\.1|BwcHBwcH|CQkJCQkJ/;

/** The ProviderError that the call ends with, which tells nothing that it must not. */
export async function failure(act: Promise<unknown>): Promise<ProviderError> {
  const error = await act.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof ProviderError)) throw new Error("not a ProviderError", { cause: error });
  expect(error.cause).toBeUndefined();
  expect(`${JSON.stringify(error)} ${error.stack}`).not.toMatch(UNTOLD);
  return error;
}
