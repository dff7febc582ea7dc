import { z } from "zod";
import type { ApiClient } from "./api-client.ts";

/** The kinds that hold text by name and that the scenarios encrypt. */
export type Kind = "secrets" | "configmaps";

const Stored = z.looseObject({ data: z.object({ text: z.string() }) });

/** Where kube-apiserver keeps an object of the namespace `default`. */
export function etcdKey(kind: Kind, name: string): string {
  return `/registry/${kind}/default/${name}`;
}

/** Path of an object, or of all of a kind, in the API's namespace `default`. */
function apiPath(kind: Kind, name?: string): string {
  return `/api/v1/namespaces/default/${kind}${name === undefined ? "" : `/${name}`}`;
}

/** A Secret or ConfigMap of one entry, `text`. */
function manifest(kind: Kind, name: string, text: string): object {
  const metadata = { name, namespace: "default" };
  return kind === "secrets"
    ? { apiVersion: "v1", kind: "Secret", metadata, stringData: { text } }
    : { apiVersion: "v1", kind: "ConfigMap", metadata, data: { text } };
}

/** Creates it; throws with the apiserver's answer if that is refused. */
export async function create(api: ApiClient, kind: Kind, name: string, text: string) {
  const { status, text: answer } = await api.post(apiPath(kind), manifest(kind, name, text));
  if (status !== 201) throw new Error(`creating ${kind}/${name} answered ${status}: ${answer}`);
}

/** Its `text`; throws with the apiserver's answer if it cannot be read. */
export async function read(api: ApiClient, kind: Kind, name: string): Promise<string> {
  const answer = await api.get(apiPath(kind, name));
  if (answer.status !== 200) {
    throw new Error(`reading ${kind}/${name} answered ${answer.status}: ${answer.text}`);
  }
  const { text } = Stored.parse(answer.json()).data;
  return kind === "secrets" ? Buffer.from(text, "base64").toString("utf8") : text;
}

/** Reads and writes it unchanged, which moves it to the key of the day. */
export async function rewrite(api: ApiClient, kind: Kind, name: string): Promise<void> {
  const path = apiPath(kind, name);
  const { status, text } = await api.put(path, Stored.parse((await api.get(path)).json()));
  if (status !== 200) throw new Error(`rewriting ${kind}/${name} answered ${status}: ${text}`);
}
