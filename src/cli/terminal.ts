/** What a command may do to the world beside files. */
export interface Terminal {
  /** Standard output: what the command is asked for. */
  readonly out: (text: string) => void;
  /** Standard error: what a person should know beside it. */
  readonly err: (text: string) => void;
  /** Standard input, for a file named `-`. */
  readonly stdin: AsyncIterable<Uint8Array>;
}

/** How every command ends. */
export const EXIT = {
  ok: 0,
  /** What was checked has mistakes. */
  problems: 1,
  /** The command line is wrong, or a file cannot be read or written. */
  usage: 2,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command cannot do what it is asked; the message is all a person needs. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
