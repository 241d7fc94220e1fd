// A catalog row: all that a listing shows of one entry, and what tar cannot hold (docs/FORMAT.md, section 6).

import type { Device, EntryKind, ExtendedAttribute, Extent, SharedExtent, Subvolume, Timestamp } from "./entry.ts";

export interface CatalogRow {
  readonly kind: EntryKind;
  /** 0 for a source's root. */
  readonly depth: number;
  /** Last component; empty for a root. */
  readonly name: Uint8Array;
  /** Offset of its first header in the tar bytes of its block, in bytes; 0 without member. */
  readonly offset: number;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Logical size of a file, length of a symlink's target, else 0. Bytes; ≤ 2^53 in practice, checked at decode. */
  readonly size: number;
  /** Char and block devices only. */
  readonly device?: Device | undefined;
  readonly mtime: Timestamp;
  readonly atime: Timestamp;
  readonly btime?: Timestamp | undefined;
  readonly inodeFlags: number;
  readonly projectId: number;
  /** nlink > 1: a later entry may be a hard link to this one. */
  readonly linked: boolean;
  readonly changed: boolean;
  readonly damaged: boolean;
  readonly sparse: boolean;
  readonly attributesLost: boolean;
  /** The file has several blocks; its digest stands in a completion, in this or a later segment. */
  readonly continued: boolean;
  /** Digest of the content (files of one block). */
  readonly digest?: Uint8Array | undefined;
  readonly symlinkTarget?: Uint8Array | undefined;
  /** Hard links: entry number of the object. */
  readonly linkEntry?: number | undefined;
  readonly damagedRanges?: readonly Extent[] | undefined;
  readonly unwrittenExtents?: readonly Extent[] | undefined;
  readonly dataMap?: readonly Extent[] | undefined;
  /** Files only. */
  readonly sharedExtents?: readonly SharedExtent[] | undefined;
  /** Directories only. */
  readonly subvolume?: Subvolume | undefined;
  /** Entries without member only. */
  readonly attributes?: readonly ExtendedAttribute[] | undefined;
  readonly absentReason?: string | undefined;
  /** Kind of an absent entry, where it is known. */
  readonly absentKind?: EntryKind | undefined;
  /** Tags with bit 7 set that this version does not know. */
  readonly unknownCriticalTags?: readonly number[] | undefined;
}

/** What is known of a file of several blocks once its last one is there. */
export interface Completion {
  readonly entry: number;
  readonly damaged: boolean;
  readonly changed: boolean;
  readonly digest: Uint8Array;
  readonly damagedRanges: readonly Extent[];
}
