import type { Sandbox } from "./sandbox.ts";
import type { Tools } from "./tools.ts";

/** What a scenario that runs beside others is given. */
export interface Scene {
  readonly sandbox: Sandbox;
  readonly tools: Tools;
  /** For the transcript. */
  readonly tell: (line: string) => void;
  /** One scene at a time, since starting is what costs most. */
  readonly setUp: <T>(start: () => Promise<T>) => Promise<T>;
  /** Closes it after the tests, however they end. */
  readonly keep: <T extends { close(): Promise<void> }>(made: Promise<T>) => Promise<T>;
}

/** The scene of this name, with a sandbox of its own. */
export type SceneOf = (name: string) => Scene;
