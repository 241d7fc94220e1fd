// Data runs of a file as pairs of offset and length in one Float64Array: where they are, and aligned as tar wants them.

import { viewOf } from "../base/bytes.ts";
import type { Extent } from "../model/entry.ts";
import { addon } from "./addon.ts";
import type { TreeSource } from "./tree-source.ts";

/**
 * Data runs of an open file of `size` bytes without its unwritten extents, aligned outwards to 512 and merged; undefined where it has no holes. Unwritten
 * extents count as data for SEEK_DATA once their pages are cached, so they are taken out.
 */
export function dataSegments(
  fd: number,
  size: number,
  limit: number,
  unwritten: readonly Extent[] | undefined,
  tree: Pick<TreeSource, "dataMap"> = addon(),
): Float64Array | undefined {
  const runs = tree.dataMap(fd, size, limit);
  if (typeof runs === "number") return undefined;
  const view = viewOf(runs);
  const pairs = new Float64Array(runs.byteLength / 8);
  for (let i = 0; i < pairs.length; i++) pairs[i] = Number(view.getBigInt64(i * 8, true));
  return alignSegments(unwritten === undefined ? pairs : subtract(pairs, unwritten), size);
}

/** The runs without the extents; both ascending. */
function subtract(runs: Float64Array, extents: readonly Extent[]): Float64Array {
  const left: number[] = [];
  let next = 0;
  for (let i = 0; i < runs.length; i += 2) {
    let start = runs[i] as number;
    const end = start + (runs[i + 1] as number);
    while (next < extents.length && extentEnd(extents[next]) <= start) next++;
    for (let j = next; j < extents.length && (extents[j] as Extent).offset < end; j++) {
      const { offset } = extents[j] as Extent;
      if (offset > start) left.push(start, offset - start);
      start = Math.max(start, extentEnd(extents[j]));
    }
    if (end > start) left.push(start, end - start);
  }
  return Float64Array.from(left);
}

function extentEnd(extent: Extent | undefined): number {
  return extent === undefined ? Number.POSITIVE_INFINITY : extent.offset + extent.length;
}

/** Runs aligned outwards to 512 bytes (the last one ends at the file's size at most), touching ones merged. */
export function alignSegments(runs: Float64Array, size: number): Float64Array | undefined {
  const aligned: number[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    const offset = runs[i] as number;
    const start = offset - (offset % 512);
    const end = Math.min(Math.ceil((offset + (runs[i + 1] as number)) / 512) * 512, size);
    const last = aligned.length - 2;
    if (last >= 0 && start <= (aligned[last] as number) + (aligned[last + 1] as number)) {
      aligned[last + 1] =
        Math.max(end, (aligned[last] as number) + (aligned[last + 1] as number)) - (aligned[last] as number);
    } else if (end > start) aligned.push(start, end - start);
  }
  if (aligned.length === 2 && aligned[0] === 0 && aligned[1] === size) return undefined;
  return Float64Array.from(aligned);
}

export function segmentsToExtents(segments: Float64Array): Extent[] {
  const extents: Extent[] = [];
  for (let i = 0; i < segments.length; i += 2) {
    extents.push({ offset: segments[i] as number, length: segments[i + 1] as number });
  }
  return extents;
}

export function sumOfSegments(segments: Float64Array): number {
  let sum = 0;
  for (let i = 1; i < segments.length; i += 2) sum += segments[i] as number;
  return sum;
}
