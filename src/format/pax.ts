// PAX extended records: `LENGTH KEYWORD=VALUE\n`, LENGTH in decimal counting itself (IEEE Std 1003.1, pax, "pax Extended Header"). Building them
// into one reused buffer, since most entries of a live file system need one for their nanoseconds.

import { utf8 } from "../base/bytes.ts";

/** Keywords in the order in which they stand (docs/FORMAT.md, section 5.1); extended attributes come last, by name. */
export const paxKeywords = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "GNU.sparse.major",
  "GNU.sparse.minor",
  "GNU.sparse.name",
  "GNU.sparse.realsize",
  "SCHILY.acl.access",
  "SCHILY.acl.default",
] as const;
export type PaxKeyword = (typeof paxKeywords)[number];

export const attributeKeyword = "SCHILY.xattr.";

const keywordBytes = Object.fromEntries(paxKeywords.map((keyword) => [keyword, utf8(`${keyword}=`)])) as Record<
  PaxKeyword,
  Uint8Array
>;
const attributeKeywordBytes = utf8(attributeKeyword);

const newline = 0x0a;
const space = 0x20;
const minus = 0x2d;
const point = 0x2e;
const zeroDigit = 0x30;
const equals = 0x3d;
const percent = 0x25;

/** Number of decimal digits of a safe integer ≥ 0. */
export function decimalLength(value: number): number {
  let length = 1;
  for (let bound = 10; value >= bound; bound *= 10) length++;
  return length;
}

/** Writes a safe integer ≥ 0 in decimal at `at`; returns the offset after it. */
export function writeDecimal(target: Uint8Array, at: number, value: number): number {
  const end = at + decimalLength(value);
  let rest = value;
  for (let index = end - 1; index >= at; index--) {
    const digit = rest % 10;
    target[index] = zeroDigit + digit;
    rest = (rest - digit) / 10;
  }
  return end;
}

/**
 * Writes a time as decimal seconds at `at`, exactly: at most 9 digits of fraction, no trailing zeros; −1.5 is seconds −2, nanoseconds 500,000,000. Needs up
 * to 27 bytes; returns the offset after it.
 */
export function writeTime(target: Uint8Array, at: number, seconds: number, nanoseconds: number): number {
  let end = at;
  let whole = seconds;
  let fraction = nanoseconds;
  if (seconds < 0) {
    target[end++] = minus;
    whole = fraction === 0 ? -seconds : -(seconds + 1);
    if (fraction !== 0) fraction = 1_000_000_000 - fraction;
  }
  end = writeDecimal(target, end, whole);
  if (fraction === 0) return end;
  target[end++] = point;
  for (let scale = 100_000_000; fraction > 0; scale /= 10) {
    const digit = Math.floor(fraction / scale);
    target[end++] = zeroDigit + digit;
    fraction -= digit * scale;
  }
  return end;
}

/** Length of a whole record with a body (keyword, `=`, value) of that many bytes. */
export function paxRecordLength(bodyLength: number): number {
  const rest = bodyLength + 2; // space and newline
  let digits = decimalLength(rest);
  if (decimalLength(rest + digits) > digits) digits++;
  return rest + digits;
}

/** The name of an attribute as it stands in a keyword: `%` as `%25`, `=` as `%3D` (GNU tar's own encoding). */
export function encodeAttributeName(name: Uint8Array): Uint8Array {
  if (!name.includes(percent) && !name.includes(equals)) return name;
  const encoded: number[] = [];
  for (const byte of name) {
    if (byte === percent) encoded.push(percent, 0x32, 0x35);
    else if (byte === equals) encoded.push(percent, 0x33, 0x44);
    else encoded.push(byte);
  }
  return Uint8Array.from(encoded);
}

/** The records of one entry, one after the other, in a buffer that is used again for the next. */
export class PaxBuilder {
  bytes = new Uint8Array(4096);
  length = 0;
  readonly #number = new Uint8Array(32);

  clear(): void {
    this.length = 0;
  }

  value(keyword: PaxKeyword, value: Uint8Array): void {
    this.#record(keywordBytes[keyword], value, value.length);
  }

  integer(keyword: PaxKeyword, value: number): void {
    this.#record(keywordBytes[keyword], this.#number, writeDecimal(this.#number, 0, value));
  }

  time(keyword: PaxKeyword, seconds: number, nanoseconds: number): void {
    this.#record(keywordBytes[keyword], this.#number, writeTime(this.#number, 0, seconds, nanoseconds));
  }

  attribute(name: Uint8Array, value: Uint8Array): void {
    const encoded = encodeAttributeName(name);
    const keyword = new Uint8Array(attributeKeywordBytes.length + encoded.length + 1);
    keyword.set(attributeKeywordBytes);
    keyword.set(encoded, attributeKeywordBytes.length);
    keyword[keyword.length - 1] = equals;
    this.#record(keyword, value, value.length);
  }

  /** A record whose keyword ends in `=`. */
  #record(keyword: Uint8Array, value: Uint8Array, valueLength: number): void {
    const length = paxRecordLength(keyword.length + valueLength);
    this.#reserve(length);
    const bytes = this.bytes;
    let at = writeDecimal(bytes, this.length, length);
    bytes[at++] = space;
    bytes.set(keyword, at);
    at += keyword.length;
    if (valueLength > 64) bytes.set(value.length === valueLength ? value : value.subarray(0, valueLength), at);
    else for (let index = 0; index < valueLength; index++) bytes[at + index] = value[index] as number;
    bytes[at + valueLength] = newline;
    this.length += length;
  }

  #reserve(length: number): void {
    if (this.length + length <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.length + length, 2 * this.bytes.length));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}
