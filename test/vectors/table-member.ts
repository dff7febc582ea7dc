import { MemberFailure } from "../../src/envelope/member.ts";
import type { EnvelopeMember } from "../../src/envelope/member.ts";
import type { VectorMember } from "./vector.ts";

/** A vector's member: opens what its table holds, refuses everything else for good. */
export function tableMember({ name, symmetric, available, wraps }: VectorMember): EnvelopeMember {
  return {
    name,
    symmetric,
    async wrap() {
      throw new MemberFailure("it does not wrap", { final: false });
    },
    async unwrap(wrap, openVersion) {
      if (!available) throw new MemberFailure("it is away", { final: false });
      const asked = Buffer.from(wrap).toString("hex");
      const version = Buffer.from(openVersion ?? []).toString("hex");
      const entry = wraps.find((each) => each.wrap === asked && each.openVersion === version);
      if (entry === undefined) throw new MemberFailure("it cannot open that", { final: true });
      return { plaintext: Uint8Array.from(Buffer.from(entry.unwrapsTo, "hex")), keyVersion: "1" };
    },
  };
}
