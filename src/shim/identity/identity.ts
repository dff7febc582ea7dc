/** The request a token is for. */
export interface SignedRequest {
  readonly method: "GET" | "POST";
  /** Path of the request target, without query. */
  readonly path: string;
  /** Empty for GET. */
  readonly body: Uint8Array;
  /** Milliseconds since the epoch by the broker's clock. */
  readonly wall: number;
}

/** Where the JWT comes from that brokers know the shim by. */
export interface Identity {
  /**
   * The token to send with this request.
   * @throws BrokerCallError `NoIdentity`; its message says what to mend and holds nothing of the token.
   */
  token(request: SignedRequest): Promise<string>;
  /** The brokers refused it: whatever is remembered is read anew before the next use. */
  refused(): void;
}
