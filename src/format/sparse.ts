// The map of a GNU sparse 1.0 member (GNU tar manual, "Storing Sparse Files", PAX format 1.0; docs/FORMAT.md, section 5.2): decimal numbers, each with
// a newline: count, then offset and length of every segment; zeros up to 512. A map that stops short of the real size ends with `realsize 0`:
// without it GNU tar cuts the file at its last data byte.

import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Extent } from "../model/entry.ts";
import { decimalLength, writeDecimal } from "./pax.ts";
import { padded, tarBlockLength } from "./ustar.ts";

const newline = 0x0a;
const zeroDigit = 0x30;

/** A file with holes: its logical size and its data, ascending and without empty segments. */
export interface SparseLayout {
  readonly realSize: number;
  readonly segments: readonly Extent[];
}

/** Bytes of data in the member, without the map. */
export function sparseDataLength(layout: SparseLayout): number {
  return layout.segments.reduce((sum, segment) => sum + segment.length, 0);
}

/** The map with its padding: a multiple of 512 bytes. Throws INTERNAL for segments that break the rules. */
export function encodeSparseMap(layout: SparseLayout): Uint8Array {
  const flaw = flawOf(layout);
  if (flaw !== undefined) throw new TsfsaError("INTERNAL", `sparse map: ${flaw}`);
  const { realSize, segments } = layout;
  const last = segments.at(-1);
  const closes = last === undefined || last.offset + last.length < realSize;
  const count = segments.length + (closes ? 1 : 0);
  let length = decimalLength(count) + 1;
  for (const segment of segments) length += decimalLength(segment.offset) + decimalLength(segment.length) + 2;
  if (closes) length += decimalLength(realSize) + 3;
  const map = new Uint8Array(padded(length));
  let at = 0;
  const write = (value: number): void => {
    at = writeDecimal(map, at, value);
    map[at++] = newline;
  };
  write(count);
  for (const segment of segments) {
    write(segment.offset);
    write(segment.length);
  }
  if (closes) {
    write(realSize);
    write(0);
  }
  return map;
}

/** Why a layout is illegal, or undefined. */
function flawOf({ realSize, segments }: SparseLayout): string | undefined {
  if (segments.length > limits.sparseSegments) return `${segments.length} segments`;
  let end = 0;
  for (const { offset, length } of segments) {
    const next = offset + length;
    if (offset < end || length <= 0 || next > realSize) return `the segment at ${offset} is out of place`;
    if (offset % tarBlockLength !== 0 || (length % tarBlockLength !== 0 && next !== realSize)) {
      return `the segment at ${offset} is not aligned to ${tarBlockLength}`;
    }
    end = next;
  }
  return undefined;
}

/**
 * Reads the map at `offset` of some tar bytes. Returns the layout and the offset of the first data byte. Throws ARCHIVE_DAMAGED for a map that
 * encodeSparseMap() would not write.
 */
export function decodeSparseMap(
  bytes: Uint8Array,
  offset: number,
  realSize: number,
): { readonly layout: SparseLayout; readonly end: number } {
  let at = offset;
  const read = (): number => {
    let value = 0;
    const start = at;
    for (;;) {
      const byte = bytes[at++];
      if (byte === newline && at > start + 1) break;
      if (byte === undefined || byte < zeroDigit || byte > zeroDigit + 9) throw damage("an illegal number");
      if (value === 0 && at > start + 1) throw damage("a leading zero");
      value = value * 10 + (byte - zeroDigit); // exact up to 2^53 only in this order
      if (value > Number.MAX_SAFE_INTEGER) throw damage("a number over 2^53 - 1");
    }
    return value;
  };
  const count = read();
  if (count === 0 || count > limits.sparseSegments + 1) throw damage(`${count} segments`);
  const segments: Extent[] = [];
  for (let index = 0; index < count; index++) {
    const segment = { offset: read(), length: read() };
    if (segment.length > 0) segments.push(segment);
    else if (index < count - 1 || segment.offset !== realSize) throw damage("an empty segment");
  }
  const layout = { realSize, segments };
  const flaw = flawOf(layout);
  if (flaw !== undefined) throw damage(flaw);
  const last = segments.at(-1);
  const closes = last === undefined || last.offset + last.length < realSize;
  if (closes !== segments.length < count) throw damage("it does not end at the real size");
  const end = offset + padded(at - offset);
  if (end > bytes.length) throw damage("it does not stand in one block");
  for (; at < end; at++) {
    if (bytes[at] !== 0) throw damage("its padding is not zero");
  }
  return { layout, end };
}

function damage(message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `sparse map: ${message}`);
}
