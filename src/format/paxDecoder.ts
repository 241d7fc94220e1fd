// Reading PAX extended records (form in pax.ts) strictly: each keyword at most once and in its place, no other keyword, one spelling of each number.
// Broken records are ARCHIVE_DAMAGED; records that are whole but illegal (another reader might read something else in them) are ARCHIVE_HOSTILE.

import { compareBytes, decodeUtf8, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { ExtendedAttribute, Timestamp } from "../model/entry.ts";
import { aclFromText } from "./acl.ts";
import { aclAttributes } from "./member.ts";
import { attributeKeyword, encodeAttributeName, paxKeywords } from "./pax.ts";

/** What the extended header of one entry says. */
export interface PaxValues {
  path?: Uint8Array;
  linkPath?: Uint8Array;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: Timestamp;
  /** GNU sparse 1.0: name and real size of a file with holes. */
  sparse?: { name: Uint8Array; realSize: number };
  /** ACLs in the kernel's form first, then the others by the bytes of their names. */
  attributes: ExtendedAttribute[];
}

interface SparseKeywords {
  major?: number;
  minor?: number;
  name?: Uint8Array;
  realSize?: number;
}

const space = 0x20;
const newline = 0x0a;
const equals = 0x3d;
const minus = 0x2d;
const fullStop = 0x2e;
const zeroDigit = 0x30;
const attributeRank = paxKeywords.length;
const accessAclName = utf8(aclAttributes.access);
const defaultAclName = utf8(aclAttributes.default);

/** Reads the records in tar[from..to). Values are views. */
export function decodePax(tar: Uint8Array, from: number, to: number): PaxValues {
  const values: PaxValues = { attributes: [] };
  const sparse: SparseKeywords = {};
  let at = from;
  let lastRank = -1;
  while (at < to) {
    const { keywordStart, valueStart, end } = readRecord(tar, at, to);
    const rank = rankOf(tar, keywordStart, valueStart - 1);
    if (rank < lastRank || (rank === lastRank && rank !== attributeRank)) {
      throw illegal("keywords that are repeated or out of order");
    }
    lastRank = rank;
    const value = tar.subarray(valueStart, end - 1);
    if (rank === attributeRank) {
      addAttribute(values.attributes, tar.subarray(keywordStart + attributeKeywordBytes.length, valueStart - 1), value);
    } else setValue(values, sparse, rank, value);
    at = end;
  }
  setSparse(values, sparse);
  return values;
}

/** Bounds of the record at `at`: its length is decimal without leading zeros, its last byte a newline. */
function readRecord(
  tar: Uint8Array,
  at: number,
  to: number,
): { readonly keywordStart: number; readonly valueStart: number; readonly end: number } {
  let length = 0;
  let digits = 0;
  while (at + digits < to && digits < 9 && tar[at + digits] !== space) {
    const digit = (tar[at + digits] as number) - zeroDigit;
    if (digit < 0 || digit > 9 || (digit === 0 && digits === 0)) throw damage("a length that is no number");
    length = length * 10 + digit;
    digits++;
  }
  const keywordStart = at + digits + 1;
  const end = at + length;
  if (tar[at + digits] !== space || end > to || end <= keywordStart || tar[end - 1] !== newline) {
    throw damage("a record of wrong length");
  }
  let valueStart = keywordStart;
  while (valueStart < end && tar[valueStart++] !== equals);
  if (valueStart === end || valueStart === keywordStart + 1) throw damage("a record without keyword");
  return { keywordStart, valueStart, end };
}

const keywordBytes: readonly Uint8Array[] = paxKeywords.map(utf8);
const attributeKeywordBytes = utf8(attributeKeyword);

/** Place of the keyword tar[from..to) in the order of records. */
function rankOf(tar: Uint8Array, from: number, to: number): number {
  for (let rank = 0; rank < attributeRank; rank++) {
    const known = keywordBytes[rank] as Uint8Array;
    if (known.length === to - from && startsWith(tar, from, known)) return rank;
  }
  if (to - from > attributeKeywordBytes.length && startsWith(tar, from, attributeKeywordBytes)) return attributeRank;
  throw illegal(`the unknown keyword ${JSON.stringify(decodeUtf8(tar.subarray(from, Math.min(to, from + 64))) ?? "")}`);
}

/** The caller has checked that there are enough bytes. */
function startsWith(bytes: Uint8Array, from: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (bytes[from + index] !== expected[index]) return false;
  }
  return true;
}

function setValue(values: PaxValues, sparse: SparseKeywords, rank: number, value: Uint8Array): void {
  switch (paxKeywords[rank]) {
    case "path":
      values.path = value;
      return;
    case "linkpath":
      values.linkPath = value;
      return;
    case "size":
      values.size = readInteger(value);
      return;
    case "uid":
      values.uid = readInteger(value);
      return;
    case "gid":
      values.gid = readInteger(value);
      return;
    case "mtime":
      values.mtime = readTime(value);
      return;
    case "GNU.sparse.major":
      sparse.major = readInteger(value);
      return;
    case "GNU.sparse.minor":
      sparse.minor = readInteger(value);
      return;
    case "GNU.sparse.name":
      sparse.name = value;
      return;
    case "GNU.sparse.realsize":
      sparse.realSize = readInteger(value);
      return;
    case "SCHILY.acl.access":
      values.attributes.push({ name: accessAclName, value: readAcl(value) });
      return;
    case "SCHILY.acl.default":
      values.attributes.push({ name: defaultAclName, value: readAcl(value) });
  }
}

function setSparse(values: PaxValues, { major, minor, name, realSize }: SparseKeywords): void {
  if (major === undefined && minor === undefined && name === undefined && realSize === undefined) return;
  if (major !== 1 || minor !== 0 || name === undefined || realSize === undefined || values.path !== undefined) {
    throw illegal("a sparse file that is not GNU sparse 1.0");
  }
  values.sparse = { name, realSize };
}

/** Names ascend strictly, so none stands twice; ACLs have keywords of their own. */
function addAttribute(attributes: ExtendedAttribute[], encoded: Uint8Array, value: Uint8Array): void {
  const name = decodeAttributeName(encoded);
  const isAcl = compareBytes(name, accessAclName) === 0 || compareBytes(name, defaultAclName) === 0;
  if (name.length === 0 || name.length > 255 || name.includes(0) || isAcl) throw illegal("an illegal attribute name");
  const previous = attributes.at(-1);
  const follows = previous === undefined || isAclName(previous.name) || compareBytes(previous.name, name) < 0;
  if (!follows) throw illegal("attributes that are repeated or out of order");
  attributes.push({ name, value });
}

/** ACL names are pushed as the very same arrays. */
function isAclName(name: Uint8Array): boolean {
  return name === accessAclName || name === defaultAclName;
}

function decodeAttributeName(encoded: Uint8Array): Uint8Array {
  if (!encoded.includes(0x25)) return encoded;
  const text = String.fromCharCode(...encoded.subarray(0, 1024)).replaceAll(/%25|%3D/g, (code) =>
    code === "%25" ? "%" : "=",
  );
  const name = Uint8Array.from(text, (character) => character.charCodeAt(0));
  if (compareBytes(encodeAttributeName(name), encoded) !== 0) throw illegal("an illegal attribute name");
  return name;
}

/** Decimal without sign and leading zeros, up to 2^53 − 1. */
function readInteger(value: Uint8Array): number {
  let number = 0;
  if (value.length === 0 || value.length > 16 || (value.length > 1 && value[0] === zeroDigit)) {
    throw illegal("an illegal number");
  }
  for (const byte of value) number = number * 10 + digitOf(byte); // exact up to 2^53
  if (!Number.isSafeInteger(number)) throw illegal("a number over 2^53 - 1");
  return number;
}

/** Decimal seconds in the one form that writeTime() gives them: no `+`, no `-0`, no superfluous zeros, at most 9 digits of fraction. */
function readTime(value: Uint8Array): Timestamp {
  const negative = value[0] === minus;
  const point = value.indexOf(fullStop);
  const whole = readInteger(value.subarray(negative ? 1 : 0, point < 0 ? value.length : point));
  let fraction = 0;
  if (point >= 0) {
    const digits = value.length - point - 1;
    if (digits < 1 || digits > 9 || value.at(-1) === zeroDigit) throw illegal("an illegal time");
    for (let at = point + 1; at < value.length; at++) fraction = fraction * 10 + digitOf(value[at] as number);
    fraction *= 10 ** (9 - digits);
  }
  if (!negative) return { seconds: whole, nanoseconds: fraction };
  if (whole === 0 && fraction === 0) throw illegal("an illegal time");
  if (fraction === 0) return { seconds: -whole, nanoseconds: 0 };
  if (whole === Number.MAX_SAFE_INTEGER) throw illegal("a time over 2^53 seconds");
  return { seconds: -whole - 1, nanoseconds: 1_000_000_000 - fraction };
}

function digitOf(byte: number): number {
  if (byte < zeroDigit || byte > zeroDigit + 9) throw illegal("an illegal number");
  return byte - zeroDigit;
}

function readAcl(value: Uint8Array): Uint8Array {
  const acl = value.length > 1024 * 1024 ? undefined : aclFromText(value);
  if (acl === undefined) throw illegal("an illegal ACL");
  return acl;
}

function damage(message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `an extended header has ${message}`);
}

function illegal(message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_HOSTILE", `an extended header has ${message}`);
}
