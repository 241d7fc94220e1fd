// What differs between an archive and a tree, or between two archives; the archive named first is the one that counts.

import type { Extent } from "./entry.ts";

export type DifferenceField =
  | "kind"
  | "content"
  | "size"
  | "mode"
  | "owner"
  | "mtime"
  | "atime"
  | "btime"
  | "target"
  | "device"
  | "hardlink"
  | "attribute"
  | "flags"
  | "project"
  | "holes"
  | "unwritten"
  | "subvolume";

/** One property that differs. The values are for people and scripts: short text, exact where it is given, names in it escaped as on a terminal. */
export interface FieldDifference {
  readonly field: DifferenceField;
  /** Of attributes: which one, bytes. */
  readonly name?: Uint8Array;
  readonly archived?: string;
  readonly found?: string;
  /** Content of images: the first places that differ, in bytes. */
  readonly ranges?: readonly Extent[];
}

export interface Difference {
  /** removed: only in the archive. added: not in the archive. Of a directory, only itself is told. */
  readonly change: "removed" | "added" | "changed";
  /** Id of the source in the archive. */
  readonly source: number;
  /** Below the source's root; empty for the root. */
  readonly path: Uint8Array;
  /** Of changed entries: one or more. */
  readonly fields: readonly FieldDifference[];
}

/** What is compared besides content and the metadata that a restore brings back. */
export interface CompareOptions {
  /** Holes and preallocated extents, exactly. */
  readonly holes: boolean;
  readonly atime: boolean;
  readonly btime: boolean;
}
