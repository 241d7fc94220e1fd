// The 512-byte POSIX ustar header (IEEE Std 1003.1, pax, "ustar Interchange Format"): layout, and writing without allocation. A header starts
// as a copy of a template whose sum is known, and each write returns what it adds to that sum: the checksum costs no pass over 512 bytes.
//
//     0 100 name    100 8 mode   108 8 uid   116 8 gid   124 12 size   136 12 mtime   148 8 checksum   156 1 type
//   157 100 linkname   257 6 'ustar\0'   263 2 '00'   265 32 uname   297 32 gname   329 8 devmajor   337 8 devminor
//   345 155 prefix   500 12 zero
//
// Numbers are octal with leading zeros and one final NUL; the checksum is six digits, NUL, space.

import { utf8 } from "../base/bytes.ts";

export const tarBlockLength = 512;

export const ustar = {
  name: 0,
  mode: 100,
  uid: 108,
  gid: 116,
  size: 124,
  mtime: 136,
  checksum: 148,
  type: 156,
  linkname: 157,
  magic: 257,
  uname: 265,
  devmajor: 329,
  devminor: 337,
  prefix: 345,
  tail: 500,
} as const;

export const nameLength = 100;
export const prefixLength = 155;
/** Bytes of the short (mode, ids, device) and long (size, mtime) number fields, the final NUL included. */
export const shortField = 8;
export const longField = 12;
/** Greatest values of those fields: 7 and 11 octal digits. */
export const shortFieldMax: number = 8 ** 7 - 1;
export const longFieldMax: number = 8 ** 11 - 1;

/** `ustar`, NUL, version `00`. */
export const magicBytes: Uint8Array = utf8("ustar\u000000");

const zeroDigit = 0x30;

function makeTemplate(): Uint8Array {
  const header = new Uint8Array(tarBlockLength);
  for (const field of [ustar.mode, ustar.uid, ustar.gid, ustar.devmajor, ustar.devminor]) {
    header.fill(zeroDigit, field, field + shortField - 1);
  }
  for (const field of [ustar.size, ustar.mtime]) header.fill(zeroDigit, field, field + longField - 1);
  header.fill(0x20, ustar.checksum, ustar.checksum + 8);
  header.set(magicBytes, ustar.magic);
  return header;
}

/** A header whose numbers are 0, without names and type, its checksum field still eight spaces. */
export const headerTemplate: Uint8Array = makeTemplate();
/** The sum of its bytes, to which the writers below add. */
export const headerTemplateSum: number = headerTemplate.reduce((sum, byte) => sum + byte, 0);

/** Writes an octal number over the zeros of a template's field of `length` bytes; returns what the sum grows by. */
export function writeOctal(target: Uint8Array, field: number, length: number, value: number): number {
  let at = field + length - 2;
  let rest = value;
  let sum = 0;
  while (rest > 0x7fff_ffff) {
    const digit = rest % 8;
    target[at--] = zeroDigit + digit;
    sum += digit;
    rest = (rest - digit) / 8;
  }
  for (let low = rest | 0; low !== 0; low >>>= 3) {
    const digit = low & 7;
    target[at--] = zeroDigit + digit;
    sum += digit;
  }
  return sum;
}

/** Copies source[from..to) into a zeroed name field; returns what the sum grows by. */
export function writeName(target: Uint8Array, field: number, source: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let index = from, at = field; index < to; index++, at++) {
    const byte = source[index] as number;
    target[at] = byte;
    sum += byte;
  }
  return sum;
}

/** Writes the checksum field of the header at `offset` once everything else stands. */
export function writeChecksum(target: Uint8Array, offset: number, sum: number): void {
  let at = offset + ustar.checksum + 5;
  let rest = sum;
  for (let count = 0; count < 6; count++) {
    target[at--] = zeroDigit + (rest & 7);
    rest >>>= 3;
  }
  target[offset + ustar.checksum + 6] = 0;
}

/** Where a name that is over 100 bytes is cut into prefix and name (at the first slash that makes the name fit), or −1 when it cannot be. */
export function splitName(path: Uint8Array): number {
  const first = Math.max(path.length - nameLength - 1, 1);
  const last = Math.min(prefixLength, path.length - 2);
  for (let at = first; at <= last; at++) {
    if (path[at] === 0x2f) return at;
  }
  return -1;
}

/** Length with the zeros that fill the last 512 bytes. */
export function padded(length: number): number {
  const rest = length % tarBlockLength;
  return rest === 0 ? length : length + tarBlockLength - rest;
}
