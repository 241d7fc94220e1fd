// How a file of several blocks is cut: into slices of the logical content at multiples of the leaf size, each holding at most a block of data.

import { leafSizeBytes, limits } from "../base/limits.ts";
import { alignSegments } from "../sys/data-runs.ts";

export interface Slice {
  /** Logical range [start, end) in bytes. */
  readonly start: number;
  readonly end: number;
  /** Data runs inside the range: pairs of offset, length. */
  readonly segments: Float64Array;
}

export interface LargeFilePlan {
  readonly size: number;
  /** Data runs as they are archived: pairs of offset, length. */
  readonly segments: Float64Array;
  /** The exact runs, where there are too many for a sparse map and the smallest holes are archived as zeros. */
  readonly exactMap: Float64Array | undefined;
}

/** `runs`: the file's data, see segments.ts. At most `segmentsMax` (≥ 1) of them are archived. */
export function planLargeFile(
  runs: Float64Array,
  size: number,
  segmentsMax: number = limits.sparseSegments,
): LargeFilePlan {
  const aligned = alignSegments(runs, size) ?? Float64Array.of(0, size);
  if (aligned.length / 2 <= segmentsMax) return { size, segments: aligned, exactMap: undefined };
  return { size, segments: fillSmallestHoles(aligned, segmentsMax), exactMap: aligned };
}

/** Cuts before a leaf that might not fit any more; a slice that ends the file ends at its size. */
export function* cutSlices(plan: LargeFilePlan, blockSize: number): Generator<Slice, void> {
  const { segments, size } = plan;
  let start = 0;
  let runs: number[] = [];
  let data = 0;
  let leaf = -1;
  for (let i = 0; i < segments.length; i += 2) {
    const end = (segments[i] as number) + (segments[i + 1] as number);
    let runStart = segments[i] as number;
    for (let at = runStart; at < end; ) {
      const leafOfAt = Math.floor(at / leafSizeBytes);
      if (leafOfAt !== leaf) {
        const leafStart = leafOfAt * leafSizeBytes;
        if (data + leafSizeBytes > blockSize && leafStart > start) {
          if (at > runStart) runs.push(runStart, at - runStart);
          yield { start, end: leafStart, segments: Float64Array.from(runs) };
          start = leafStart;
          runs = [];
          data = 0;
          runStart = at;
        }
        leaf = leafOfAt;
      }
      const next = Math.min((leafOfAt + 1) * leafSizeBytes, end);
      data += next - at;
      at = next;
    }
    if (end > runStart) runs.push(runStart, end - runStart);
  }
  yield { start, end: size, segments: Float64Array.from(runs) };
}

/** Merges runs across the smallest holes until at most `count` are left. */
function fillSmallestHoles(runs: Float64Array, count: number): Float64Array {
  const holes = new Float64Array(runs.length / 2 - 1);
  for (let i = 0; i < holes.length; i++)
    holes[i] = (runs[2 * i + 2] as number) - (runs[2 * i] as number) - (runs[2 * i + 1] as number);
  const excess = runs.length / 2 - count;
  const threshold = holes.toSorted()[excess - 1] as number;
  let equalToFill = excess - holes.filter((hole) => hole < threshold).length;
  const merged: number[] = [runs[0] as number, runs[1] as number];
  for (let i = 0; i < holes.length; i++) {
    const hole = holes[i] as number;
    const offset = runs[2 * i + 2] as number;
    const length = runs[2 * i + 3] as number;
    const fill = hole < threshold || (hole === threshold && equalToFill-- > 0);
    if (fill) merged[merged.length - 1] = offset + length - (merged[merged.length - 2] as number);
    else merged.push(offset, length);
  }
  return Float64Array.from(merged);
}
