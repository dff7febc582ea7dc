// A ZIP archive of a few small files that is the same, byte for byte, whenever it is made of the same files by the same
// Node: sorted, dated 1980, mode 0644. No `zip` need be installed, and none dates files as told.
import { crc32, deflateRawSync, constants } from "node:zlib";

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20;
/** Names are UTF-8. */
const FLAGS = 0x0800;
const DEFLATED = 8;
/** 1 January 1980, the first day that the format has. */
const DATE = 0x0021;
/** Made on Unix, so that the mode counts; a regular file, rw-r--r--. */
const MADE_BY = (3 << 8) | VERSION;
const MODE = 0o100644;

/**
 * @param {Readonly<Record<string, Uint8Array>>} files By path in the archive.
 * @returns {Buffer}
 */
export function zip(files) {
  const locals = [];
  const centrals = [];
  let offset = 0;
  for (const [name, bytes] of Object.entries(files).sort(([one], [other]) => (one < other ? -1 : 1))) {
    const path = Buffer.from(name, "utf8");
    const packed = deflateRawSync(bytes, { level: constants.Z_BEST_COMPRESSION });
    const facts = numbers([2, VERSION], [2, FLAGS], [2, DEFLATED], [2, 0], [2, DATE], [4, crc32(bytes)]);
    const sizes = numbers([4, packed.length], [4, bytes.length], [2, path.length], [2, 0]);
    const local = Buffer.concat([numbers([4, LOCAL_HEADER]), facts, sizes, path, packed]);
    locals.push(local);
    // After the sizes: comment length, disk, internal and external attributes, place of the local header.
    const place = numbers([2, 0], [2, 0], [2, 0], [4, MODE * 0x10000], [4, offset]);
    centrals.push(numbers([4, CENTRAL_HEADER], [2, MADE_BY]), facts, sizes, place, path);
    offset += local.length;
  }
  const central = Buffer.concat(centrals);
  const count = locals.length;
  const end = [
    [4, END],
    [2, 0],
    [2, 0],
    [2, count],
    [2, count],
    [4, central.length],
    [4, offset],
    [2, 0],
  ];
  return Buffer.concat([...locals, central, numbers(...end)]);
}

/** Unsigned integers, little-endian, each with its length in bytes. */
function numbers(...fields) {
  return Buffer.concat(
    fields.map(([length, value]) => {
      const bytes = Buffer.alloc(length);
      bytes.writeUIntLE(value, 0, length);
      return bytes;
    }),
  );
}
