/** The command cannot do what it is asked; the message is all a person needs. */
export class IssuerCommandError extends Error {
  override readonly name = "IssuerCommandError";
}
