// The leaves of a file digest (docs/FORMAT.md, section 7) from data as it stands in tar bytes: runs of data one after the other, holes left out.

import { leafSizeBytes } from "../base/limits.ts";
import { addon } from "../sys/addon.ts";
import type { Digest } from "./digest.ts";

/** Leaves of a file or of a part of it, in order, those of zeros only left out. */
export interface Leaves {
  readonly numbers: Float64Array;
  /** One after the other, each of the digest's length. */
  readonly digests: Uint8Array;
}

/**
 * Leaf digests of the logical range [start, end), whose data runs stand one after the other in `tar` from `dataOffset`. `segments`: pairs of
 * offset, length inside the range, ascending. Leaves of zeros only are left out.
 */
export function digestLeaves(
  digest: Digest,
  tar: Uint8Array,
  dataOffset: number,
  segments: Float64Array,
  start: number,
  end: number,
): Leaves {
  const native = addon();
  const numbers: number[] = [];
  const digests: Uint8Array[] = [];
  let scratch: Uint8Array | undefined;
  let segment = 0;
  let segmentAt = dataOffset;
  for (let leaf = start; leaf < end; leaf += leafSizeBytes) {
    const leafEnd = Math.min(leaf + leafSizeBytes, end);
    let bytes: Uint8Array | undefined;
    // Pass over the runs that end before this leaf.
    while (segment * 2 < segments.length && segmentEnd(segments, segment) <= leaf) {
      segmentAt += segments[segment * 2 + 1] as number;
      segment++;
    }
    if (segment * 2 >= segments.length) break;
    const first = segments[segment * 2] as number;
    if (first >= leafEnd) {
      // On to the leaf in which data goes on: a hole of 8 PiB is 2^33 leaves.
      leaf = first - (first % leafSizeBytes) - leafSizeBytes;
      continue;
    }
    if (first <= leaf && segmentEnd(segments, segment) >= leafEnd) {
      const at = segmentAt + (leaf - first);
      bytes = tar.subarray(at, at + leafEnd - leaf);
    } else {
      scratch ??= new Uint8Array(leafSizeBytes);
      scratch.fill(0);
      let at = segmentAt;
      for (let i = segment; i * 2 < segments.length && (segments[i * 2] as number) < leafEnd; i++) {
        const runStart = segments[i * 2] as number;
        const from = Math.max(runStart, leaf);
        const to = Math.min(segmentEnd(segments, i), leafEnd);
        const source = at + (from - runStart);
        scratch.set(tar.subarray(source, source + to - from), from - leaf);
        at += segments[i * 2 + 1] as number;
      }
      bytes = scratch.subarray(0, leafEnd - leaf);
    }
    if (native.isZero(bytes, 0, bytes.length)) continue;
    numbers.push(leaf / leafSizeBytes);
    digests.push(digest.hash(bytes));
  }
  const packed = new Uint8Array(digests.length * digest.length);
  for (const [i, value] of digests.entries()) packed.set(value, i * digest.length);
  return { numbers: Float64Array.from(numbers), digests: packed };
}

/** File digest (docs/FORMAT.md, section 7) from all leaves in order. */
export function digestOfLeaves(digest: Digest, leaves: Leaves, size: number): Uint8Array {
  const file = digest.file();
  for (const [i, number] of leaves.numbers.entries()) {
    file.addLeaf(number, leaves.digests.subarray(i * digest.length, (i + 1) * digest.length));
  }
  return file.finish(size);
}

function segmentEnd(segments: Float64Array, index: number): number {
  return (segments[index * 2] as number) + (segments[index * 2 + 1] as number);
}
