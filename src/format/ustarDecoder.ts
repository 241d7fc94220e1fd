// Reading a ustar header (layout in ustar.ts) strictly: one legal form for each field, so that no two readers see two members. All
// failures are ARCHIVE_DAMAGED and name the field.

import { equalBytes, isZeroRange } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { longField, magicBytes, prefixLength, shortField, tarBlockLength, ustar } from "./ustar.ts";

/** Throws unless the checksum, the magic and the fields that are always empty are right. */
export function checkHeader(tar: Uint8Array, offset: number): void {
  if (offset + tarBlockLength > tar.length) throw damage(offset, "ends too early");
  const field = offset + ustar.checksum;
  let sum = 8 * 0x20;
  for (let index = offset; index < field; index++) sum += tar[index] as number;
  for (let index = field + 8; index < offset + tarBlockLength; index++) sum += tar[index] as number;
  if (tar[field + 7] !== 0x20 || readOctal(tar, offset, ustar.checksum, 7) !== sum) {
    throw damage(offset, "has a wrong checksum");
  }
  const magic = offset + ustar.magic;
  if (!equalBytes(tar.subarray(magic, magic + magicBytes.length), magicBytes)) throw damage(offset, "is not ustar");
  const clear =
    isZeroRange(tar, offset + ustar.uname, offset + ustar.devmajor) &&
    isZeroRange(tar, offset + ustar.tail, offset + tarBlockLength);
  if (!clear) throw damage(offset, "has bytes in fields that must be empty");
}

/** A number field of `length` bytes: octal digits up to one final NUL. */
export function readOctal(tar: Uint8Array, offset: number, field: number, length: number): number {
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

/** The path in prefix and name: a view where there is no prefix. */
export function readPath(tar: Uint8Array, offset: number, name: Uint8Array): Uint8Array {
  if (tar[offset + ustar.prefix] === 0) {
    readName(tar, offset, ustar.prefix, prefixLength);
    return name;
  }
  const prefix = readName(tar, offset, ustar.prefix, prefixLength);
  const path = new Uint8Array(prefix.length + 1 + name.length);
  path.set(prefix);
  path[prefix.length] = 0x2f;
  path.set(name, prefix.length + 1);
  return path;
}

export function damage(offset: number, message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `the tar header at byte ${offset} of its block ${message}`);
}
