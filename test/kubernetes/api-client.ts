import { Agent, request } from "undici";
import { samples, type Sample } from "./metrics.ts";

/** An answer of the apiserver, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Throws if the text is not JSON. */
  json(): unknown;
}

type Method = "GET" | "POST" | "PUT";

/** The raw Kubernetes API of one apiserver, as an administrator. */
export class ApiClient {
  readonly origin: string;
  readonly #agent: Agent;
  readonly #token: string;

  constructor(origin: string, ca: string, token: string) {
    this.origin = origin;
    this.#agent = new Agent({ connect: { ca } });
    this.#token = token;
  }

  get(path: string): Promise<Answer> {
    return this.#request("GET", path);
  }

  post(path: string, body: object): Promise<Answer> {
    return this.#request("POST", path, body);
  }

  put(path: string, body: object): Promise<Answer> {
    return this.#request("PUT", path, body);
  }

  /** `/readyz`, `/livez`, `/healthz/kms-providers` and their like, with the reasons in the text. */
  health(path: `/${string}`): Promise<Answer> {
    return this.#request("GET", `${path}?verbose`);
  }

  /** The samples of one metric. */
  async metric(name: string): Promise<Sample[]> {
    const { status, text } = await this.#request("GET", "/metrics");
    if (status !== 200) throw new Error(`/metrics answered ${status}: ${text}`);
    return samples(text, name);
  }

  async #request(method: Method, path: string, body?: object): Promise<Answer> {
    const { statusCode, body: answer } = await request(this.origin + path, {
      dispatcher: this.#agent,
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      // A kept connection would not survive a restart of the apiserver.
      reset: true,
    });
    const text = await answer.text();
    return { status: statusCode, text, json: (): unknown => JSON.parse(text) };
  }
}
