import { status } from "@grpc/grpc-js";

/** Google's canonical statuses, and the HTTP statuses that they have over REST. */
const HTTP_STATUSES = {
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
} as const;

export type GoogleStatusName = keyof typeof HTTP_STATUSES;
export const GOOGLE_STATUS_NAMES = Object.keys(HTTP_STATUSES) as GoogleStatusName[];

/** google.rpc.ErrorInfo. */
export interface ErrorInfo {
  readonly reason: string;
  readonly domain: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** google.rpc.Status, as an error of the fake's. */
export class GoogleStatus extends Error {
  override readonly name = "GoogleStatus";
  readonly status: GoogleStatusName;
  readonly info: ErrorInfo | undefined;

  constructor(status: GoogleStatusName, message: string, info?: ErrorInfo) {
    super(message);
    this.status = status;
    this.info = info;
  }

  get grpc(): status {
    return status[this.status];
  }

  get http(): number {
    return HTTP_STATUSES[this.status];
  }

  /** As Google's JSON has it (google.aip.dev/193). */
  toJson() {
    const details = this.info && [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", ...this.info }];
    const { http: code, message, status } = this;
    return { error: { code, message, status, ...(details !== undefined && { details }) } };
  }
}
