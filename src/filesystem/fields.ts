// Integers, texts and UUIDs out of a superblock's bytes. A field beyond the bytes at hand reads as zero, so that a
// truncated or hostile superblock is never an exception: its magic or plausibility check fails instead.

import { viewOf } from "../base/bytes.ts";

export class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(bytes: Uint8Array, endian: "little" | "big" = "little") {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
    this.#little = endian === "little";
  }

  u8(offset: number): number {
    return this.bytes[offset] ?? 0;
  }

  u16(offset: number): number {
    return this.#holds(offset, 2) ? this.#view.getUint16(offset, this.#little) : 0;
  }

  u32(offset: number): number {
    return this.#holds(offset, 4) ? this.#view.getUint32(offset, this.#little) : 0;
  }

  u64(offset: number): bigint {
    return this.#holds(offset, 8) ? this.#view.getBigUint64(offset, this.#little) : 0n;
  }

  /** A u64 as a number: Infinity when it passes 2^53, which no plausibility check accepts. */
  count(offset: number): number {
    const value = this.u64(offset);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.POSITIVE_INFINITY;
  }

  /** The ASCII text stands at offset. */
  is(offset: number, text: string): boolean {
    if (!this.#holds(offset, text.length)) return false;
    for (let at = 0; at < text.length; at += 1) {
      if (this.bytes[offset + at] !== text.charCodeAt(at)) return false;
    }
    return true;
  }

  slice(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }

  /** Bytes up to the first NUL; undefined when there are none. */
  label(offset: number, length: number): Uint8Array | undefined {
    const field = this.slice(offset, length);
    const end = field.indexOf(0);
    const label = end < 0 ? field : field.subarray(0, end);
    return label.length === 0 ? undefined : label;
  }

  /** Like label, in types that pad with spaces (vfat, iso9660). */
  paddedLabel(offset: number, length: number): Uint8Array | undefined {
    const label = this.label(offset, length);
    if (label === undefined) return undefined;
    let end = label.length;
    while (end > 0 && label[end - 1] === 0x20) end -= 1;
    return end === 0 ? undefined : label.subarray(0, end);
  }

  /** Like label, of UTF-16 in little-endian order; as UTF-8. */
  utf16Label(offset: number, length: number): Uint8Array | undefined {
    const [text = ""] = new TextDecoder("utf-16le").decode(this.slice(offset, length)).split("\0", 1);
    return text === "" ? undefined : new TextEncoder().encode(text);
  }

  /** 16 bytes as a UUID in text; undefined when they are all zero. */
  uuid(offset: number): string | undefined {
    const bytes = this.slice(offset, 16);
    return bytes.length < 16 || bytes.every((byte) => byte === 0) ? undefined : formatUuid(bytes);
  }

  #holds(offset: number, length: number): boolean {
    return offset >= 0 && offset + length <= this.bytes.length;
  }
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** RFC 9562 text form, lower case. */
export function formatUuid(bytes: Uint8Array): string {
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The value is a power of two of at least `least` and at most `most`. */
export function isPowerOfTwo(value: number, least: number, most: number): boolean {
  return value >= least && value <= most && Number.isInteger(Math.log2(value));
}

/** Names of the set bits of `mask`, of which a number has 32 (negative after & or ~); a bit without a name gives `prefix_N` like e2fsprogs' `FEATURE_C7`. */
export function namesOfBits(mask: bigint | number, names: Readonly<Record<number, string>>, prefix: string): string[] {
  const result: string[] = [];
  let rest = typeof mask === "number" ? BigInt(mask >>> 0) : mask;
  for (let bit = 0; rest !== 0n; bit += 1, rest >>= 1n) {
    if ((rest & 1n) === 1n) result.push(names[bit] ?? `${prefix}${bit}`);
  }
  return result;
}
