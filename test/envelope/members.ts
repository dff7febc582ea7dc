import { MemberFailure } from "../../src/envelope/member.ts";
import type { EnvelopeMember } from "../../src/envelope/member.ts";

/**
 * Members in memory. The wrapping is deliberately the worst a cloud could be: a fixed pad, so every flipped bit of
 * a wrap opens without complaint to another W. What the tests see refused, the envelope itself refused.
 */
export interface FakeMember extends EnvelopeMember {
  /** Each call that reached the member, in order. */
  readonly calls: readonly ("wrap" | "unwrap")[];
  /** Buffers that held W outside the envelope's code: given to `wrap`, or handed out by `unwrap`. */
  readonly held: readonly Uint8Array[];
}

export interface FakeOptions {
  readonly symmetric?: boolean;
  readonly openVersion?: Uint8Array<ArrayBuffer>;
  readonly keyVersion?: string;
}

export function fakeMember(name: string, options: FakeOptions = {}): FakeMember {
  const { symmetric = true, openVersion, keyVersion = `${name}-1` } = options;
  const calls: ("wrap" | "unwrap")[] = [];
  const held: Uint8Array[] = [];
  return {
    name,
    symmetric,
    calls,
    held,
    async wrap(w) {
      calls.push("wrap");
      held.push(w);
      return { wrap: padded(name, w), ...(openVersion && { openVersion }) };
    },
    async unwrap(wrap) {
      calls.push("unwrap");
      const plaintext = padded(name, wrap);
      held.push(plaintext);
      return { plaintext, keyVersion };
    },
  };
}

function padded(name: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes, (byte, index) => byte ^ (31 * index + name.charCodeAt(index % name.length)));
}

/** Opens every wrap to the same W, whatever it holds: flips in a wrap can then only be seen through the head. */
export function stubbornMember(name: string, w: Uint8Array<ArrayBuffer>): EnvelopeMember {
  return { ...fakeMember(name), unwrap: async () => ({ plaintext: w.slice(), keyVersion: "1" }) };
}

export interface Faults {
  /** Fails without having acted, or having acted but with the answer lost. */
  readonly wrap?: "before" | "after";
  readonly unwrap?: "before" | "after";
  readonly final?: boolean;
  readonly unclear?: boolean;
}

/** The same member with one of its calls failing. */
export function failing(member: FakeMember, faults: Faults): FakeMember {
  const failure = new MemberFailure("as the test wants it", {
    final: faults.final ?? false,
    unclear: faults.unclear ?? false,
  });
  return {
    ...member,
    async wrap(w) {
      if (faults.wrap === "before") throw failure;
      const made = await member.wrap(w);
      if (faults.wrap === "after") throw failure;
      return made;
    },
    async unwrap(wrap, openVersion) {
      if (faults.unwrap === "before") throw failure;
      const opened = await member.unwrap(wrap, openVersion);
      if (faults.unwrap === "after") throw failure;
      return opened;
    },
  };
}

export const unreachable = (member: FakeMember): FakeMember =>
  failing(member, { wrap: "before", unwrap: "before" });
