// Pure byte helpers and the bounded reader and growable writer on which every binary layout of the archive stands:
// little-endian integers, shortest-form LEB128 varints, zigzag, length-prefixed byte strings (docs/FORMAT.md, top).
// A reader never reads past its end: it throws ARCHIVE_DAMAGED. A writer given a value it cannot hold throws INTERNAL.

import { TsfsaError } from "./errors.ts";

const u32Range = 2 ** 32;
const varintBytesMax = 10;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text of bytes that are valid UTF-8 (no overlong forms, no surrogates), else undefined. A byte order mark is kept as a character. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** One character for each byte: of a short name this takes a fraction of the memory of an array. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** The bytes of such a text. */
export function fromLatin1(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Order of unsigned bytes, a prefix before what it begins: negative, 0 or positive. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index++) {
    const difference = (left[index] as number) - (right[index] as number);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0;
}

/** True when bytes from `from` up to (not with) `to` are all zero. */
export function isZeroRange(bytes: Uint8Array, from: number, to: number): boolean {
  for (let index = from; index < to; index++) {
    if (bytes[index] !== 0) return false;
  }
  return true;
}

const hexDigits: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Lower-case hex digits, two per byte. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += hexDigits[byte] as string;
  return text;
}

/** Bytes of lower-case hex digits; undefined for anything else. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

/** Standard base64 with padding (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  const chunkBytes = 0x2000; // spread as arguments: far below the engine's limit
  let binary = "";
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    binary += String.fromCharCode(...bytes.subarray(offset, offset + chunkBytes));
  }
  return btoa(binary);
}

/** Bytes of canonical base64 (no white space, right padding, spare bits zero); undefined for anything else. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = binary.charCodeAt(index);
  return toBase64(bytes) === text ? bytes : undefined;
}

/** Reads values one after the other from `start` up to `end` of some bytes. `what` names them in errors. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly what: string;
  position: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, what: string, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.what = what;
    this.position = start;
    this.end = end;
    this.#view = viewOf(bytes);
  }

  get remaining(): number {
    return this.end - this.position;
  }

  /** The error for an illegal value at the present position. */
  damage(message: string): TsfsaError {
    return new TsfsaError("ARCHIVE_DAMAGED", `${this.what}: ${message} (at byte ${this.position})`);
  }

  #advance(length: number): number {
    const at = this.position;
    if (length > this.end - at) throw this.damage(`ends too early: ${length} bytes expected, ${this.end - at} left`);
    this.position = at + length;
    return at;
  }

  u8(): number {
    const at = this.position;
    if (at >= this.end) throw this.damage("ends too early");
    this.position = at + 1;
    return this.bytes[at] as number;
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** A u64 that must be a safe integer. */
  u64(): number {
    const at = this.#advance(8);
    const value = this.#view.getUint32(at + 4, true) * u32Range + this.#view.getUint32(at, true);
    if (value > Number.MAX_SAFE_INTEGER) throw this.damage("an integer is over 2^53 - 1");
    return value;
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.bytes.subarray(at, at + length);
  }

  /** A varint that must be a safe integer. */
  varint(): number {
    const first = this.u8();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let count = 2; count <= 8; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0) throw this.damage("a varint is not in shortest form");
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw this.damage("a varint is over 2^53 - 1");
  }

  /** A varint over the whole range of u64. */
  varint64(): bigint {
    let value = 0n;
    for (let count = 0; count < varintBytesMax; count++) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte < 0x80) {
        if (byte === 0 && count > 0) throw this.damage("a varint is not in shortest form");
        if (value >= 1n << 64n) break;
        return value;
      }
    }
    throw this.damage("a varint is over 2^64 - 1");
  }

  /** A zigzag varint over the whole range of i64. */
  zigzag64(): bigint {
    const coded = this.varint64();
    return (coded >> 1n) ^ -(coded & 1n);
  }

  /** A zigzag varint added to `origin`. The sum, exact where it is a safe integer; the caller checks that it is. */
  zigzagAdded(origin: number): number {
    const start = this.position;
    let coded = 0;
    let scale = 1;
    for (let count = 0; count < 6; count++) {
      const byte = this.u8();
      coded += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && count > 0) throw this.damage("a varint is not in shortest form");
        return origin + (coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2);
      }
      scale *= 0x80;
    }
    this.position = start;
    return Number(BigInt(origin) + this.zigzag64());
  }

  /** A byte string: varint length, then a view of that many bytes, at most `limit`. */
  byteString(limit: number): Uint8Array {
    const length = this.varint();
    if (length > limit) throw this.damage(`a byte string has ${length} bytes, at most ${limit} are legal`);
    return this.raw(length);
  }

  /** Throws unless everything was read. */
  finish(): void {
    if (this.position !== this.end) throw this.damage(`${this.remaining} bytes too many`);
  }
}

/** Appends values to bytes that grow as needed. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** Makes room and returns where it is. May replace #bytes and #view: call it before naming them. */
  #advance(length: number): number {
    const at = this.#length;
    if (at + length > this.#bytes.length) this.#grow(at + length);
    this.#length = at + length;
    return at;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  u8(value: number): void {
    const at = this.#advance(1);
    this.#bytes[at] = checked(value, 0xff);
  }

  u16(value: number): void {
    const at = this.#advance(2);
    this.#view.setUint16(at, checked(value, 0xffff), true);
  }

  u32(value: number): void {
    const at = this.#advance(4);
    this.#view.setUint32(at, checked(value, 0xffff_ffff), true);
  }

  u64(value: number): void {
    checked(value, Number.MAX_SAFE_INTEGER);
    const at = this.#advance(8);
    this.#view.setUint32(at, value % u32Range, true);
    this.#view.setUint32(at + 4, Math.floor(value / u32Range), true);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#advance(bytes.length);
    this.#bytes.set(bytes, at);
  }

  zeros(length: number): void {
    const at = this.#advance(length);
    this.#bytes.fill(0, at, at + length);
  }

  varint(value: number): void {
    let at = this.#advance(8);
    const bytes = this.#bytes;
    let low = value | 0;
    if (low !== value || low < 0) {
      // Over 31 bits.
      let rest = checked(value, Number.MAX_SAFE_INTEGER);
      for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
      low = rest;
    }
    for (; low >= 0x80; low >>>= 7) bytes[at++] = (low & 0x7f) | 0x80;
    bytes[at++] = low;
    this.#length = at;
  }

  varint64(value: bigint): void {
    if (value < 0n || value >= 1n << 64n) throw outOfRange(value);
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) this.u8(Number(rest & 0x7fn) | 0x80);
    this.u8(Number(rest));
  }

  /** Signed, whole range of i64; a number must be a safe integer. */
  zigzag(value: number | bigint): void {
    if (typeof value === "number" && Math.abs(value) <= 2 ** 52) {
      this.varint(value < 0 ? -2 * value - 1 : 2 * value);
      return;
    }
    const wide = BigInt(value);
    if (BigInt.asIntN(64, wide) !== wide) throw outOfRange(wide);
    this.varint64(BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n)));
  }

  /** Varint length, then the bytes. */
  byteString(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** The buffer as it is now, of which the first `length` bytes are written. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  /** A view of what was written; the next write may change or leave it behind. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written, in a buffer of its own. */
  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Forgets what was written and keeps the capacity. */
  clear(): void {
    this.#length = 0;
  }
}

function checked(value: number, maximum: number): number {
  if (!Number.isInteger(value) || value < 0 || value > maximum) throw outOfRange(value);
  return value;
}

function outOfRange(value: number | bigint): TsfsaError {
  return new TsfsaError("INTERNAL", `${value} is out of the range of its field`);
}
