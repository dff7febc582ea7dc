/**
 * Whether an IP address, as text, is one that anybody on the Internet could reach. Everything else (private, loopback,
 * link-local with the clouds' metadata services, shared, documentation, multicast, reserved) is not public, and
 * neither is what cannot be read.
 */
export function isPublicAddress(address: string): boolean {
  const v4 = parseIpv4(address);
  if (v4 !== undefined) return isPublicIpv4(v4);
  const v6 = parseIpv6(address);
  return v6 !== undefined && isPublicIpv6(v6);
}

/** Prefixes of IPv4 that are not public (IANA special-purpose registry), as first address and length. */
const SPECIAL_IPV4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

function isPublicIpv4(value: number): boolean {
  return !SPECIAL_IPV4.some(([first, length]) => {
    const shift = 32 - length;
    return value >>> shift === (parseIpv4(first) ?? 0) >>> shift;
  });
}

function isPublicIpv6(groups: readonly number[]): boolean {
  const [first = 0, second = 0] = groups;
  const last32 = (((groups[6] ?? 0) << 16) | (groups[7] ?? 0)) >>> 0;
  // An IPv4 address in IPv6 clothes: mapped (::ffff:0:0/96) or translated (64:ff9b::/96).
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xff_ff) return isPublicIpv4(last32);
  if (first === 0x64 && second === 0xff_9b && groups.slice(2, 6).every((group) => group === 0)) {
    return isPublicIpv4(last32);
  }
  if (first >> 13 !== 1) return false;
  // Within global unicast (2000::/3): IETF protocol assignments with Teredo, documentation, and 6to4.
  if (first === 0x20_01 && (second < 0x2_00 || second === 0xd_b8)) return false;
  return first !== 0x20_02 && !(first === 0x3f_ff && second < 0x10_00);
}

/** An IPv4 address in its one usual form, as a number. */
function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (
    parts.length !== 4 ||
    !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  ) {
    return undefined;
  }
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

/** An IPv6 address as its eight groups. */
function parseIpv6(text: string): number[] | undefined {
  const [bare = "", zone] = text.split("%");
  if (zone !== undefined) return undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(bare);
  const v4 = dotted === null ? undefined : parseIpv4(dotted[2] ?? "");
  if (dotted !== null && v4 === undefined) return undefined;
  const hexadecimal =
    dotted === null || v4 === undefined
      ? bare
      : `${dotted[1]}${(v4 >>> 16).toString(16)}:${(v4 & 0xff_ff).toString(16)}`;
  const halves = hexadecimal.split("::");
  if (halves.length > 2) return undefined;
  const [head = [], tail = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.map((group) => Number.parseInt(group, 16));
}
