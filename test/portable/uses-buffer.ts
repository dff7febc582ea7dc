/** Must not compile in the program of what runs on Workers: see portable.test.ts. */
export const bytes = Buffer.from("Node only");
