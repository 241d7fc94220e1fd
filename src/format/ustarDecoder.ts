// Reading a ustar header (layout in ustar.ts) strictly: one legal form for each field, so that no two readers see two members. All
// failures are ARCHIVE_DAMAGED and name the field.

import { isZeroRange } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { longField, magicBytes, nameLength, prefixLength, shortField, tarBlockLength, ustar } from "./ustar.ts";

const spaces = 8 * 0x20;

/** Which of the fields that are mostly empty a header uses. */
export const headerUses = { linkname: 1, prefix: 2 } as const;

/**
 * Throws unless the checksum, the magic and the fields that are always empty are right. Returns headerUses bits. One pass over the bytes, in pieces: a
 * piece whose sum is 0 holds zeros only.
 */
export function checkHeader(tar: Uint8Array, offset: number): number {
  const end = offset + tarBlockLength;
  if (end > tar.length) throw damage(offset, "ends too early");
  const field = offset + ustar.checksum;
  const magic = offset + ustar.magic;
  const numbers = sumBytes(tar, offset, field) + spaces + (tar[offset + ustar.type] as number);
  const linkname = sumBytes(tar, offset + ustar.linkname, magic);
  const owner = sumBytes(tar, offset + ustar.uname, offset + ustar.devmajor);
  const device =
    sumBytes(tar, magic, offset + ustar.uname) + sumBytes(tar, offset + ustar.devmajor, offset + ustar.prefix);
  const prefix = sumBytes(tar, offset + ustar.prefix, offset + ustar.tail);
  const tail = sumBytes(tar, offset + ustar.tail, end);
  const sum = numbers + linkname + owner + device + prefix + tail;
  if (tar[field + 7] !== 0x20 || readOctal(tar, offset, ustar.checksum, 7) !== sum) {
    throw damage(offset, "has a wrong checksum");
  }
  for (let index = 0, at = magic; index < magicBytes.length; index++, at++) {
    if (tar[at] !== magicBytes[index]) throw damage(offset, "is not ustar");
  }
  if (owner + tail !== 0) throw damage(offset, "has bytes in fields that must be empty");
  return (linkname === 0 ? 0 : headerUses.linkname) | (prefix === 0 ? 0 : headerUses.prefix);
}

function sumBytes(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let index = from; index < to; index++) sum += bytes[index] as number;
  return sum;
}

/** A number field of `length` bytes: octal digits up to one final NUL. */
function readOctal(tar: Uint8Array, offset: number, field: number, length: number): number {
  const end = offset + field + length - 1;
  let value = 0;
  for (let index = offset + field; index < end; index++) {
    const digit = (tar[index] as number) - 0x30;
    if (digit < 0 || digit > 7) throw damage(offset, `has an illegal number at byte ${field}`);
    value = value * 8 + digit;
  }
  if (tar[end] !== 0) throw damage(offset, `has an illegal number at byte ${field}`);
  return value;
}

export function readShort(tar: Uint8Array, offset: number, field: number): number {
  return readOctal(tar, offset, field, shortField);
}

export function readLong(tar: Uint8Array, offset: number, field: number): number {
  return readOctal(tar, offset, field, longField);
}

/** A view of a name field: bytes up to the first NUL, zeros after it. */
export function readName(tar: Uint8Array, offset: number, field: number, length: number): Uint8Array {
  const start = offset + field;
  const limit = start + length;
  let end = start;
  while (end < limit && tar[end] !== 0) end++;
  if (!isZeroRange(tar, end, limit)) throw damage(offset, `has bytes after the name at byte ${field}`);
  return tar.subarray(start, end);
}

/** The path in the prefix and name fields of a header that uses the prefix. */
export function readPrefixedPath(tar: Uint8Array, offset: number): Uint8Array {
  const prefix = readName(tar, offset, ustar.prefix, prefixLength);
  const name = readName(tar, offset, ustar.name, nameLength);
  const path = new Uint8Array(prefix.length + 1 + name.length);
  path.set(prefix);
  path[prefix.length] = 0x2f;
  path.set(name, prefix.length + 1);
  return path;
}

export function damage(offset: number, message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `the tar header at byte ${offset} of its block ${message}`);
}
