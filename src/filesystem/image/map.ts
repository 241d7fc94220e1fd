// What an allocation map is, whatever file system it is of.

import { limits } from "../../base/limits.ts";

/** The blocks of a file system that hold something, from its own books. */
export interface AllocationMap {
  /** Runs of used bytes of the device. */
  readonly runs: Float64Array;
  /** Where the file system ends: what a device must hold to take it. */
  readonly endBytes: number;
}

/** One is kept for what a map must close with (docs/FORMAT.md, section 5.2). */
export const mapRunsMax: number = limits.sparseSegments - 1;
