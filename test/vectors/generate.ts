import { opensVectors } from "./opens.ts";
import { refusedVectors } from "./refused.ts";
import type { VectorFile } from "./vector.ts";

/**
 * The vectors as a text, always the same. test/envelope/vectors.test.ts holds the committed file against it; after
 * a change of the format that is meant, `npx vitest run --project unit test/envelope/vectors.test.ts -u` writes it.
 */
export async function generateVectors(): Promise<string> {
  const file: VectorFile = {
    about:
      "Envelopes of version 1 (docs/envelope.md). Bytes are lower-case hex. A member is a table: what it does not hold it refuses for good; one that is not available cannot be asked.",
    opens: await opensVectors(),
    refused: await refusedVectors(),
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}
