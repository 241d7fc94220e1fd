// A draft: one entry on its way into a block.

import type { Leaves } from "../codec/leaves.ts";
import type { MemberFields } from "../format/member.ts";
import type { EntryKind, Extent, SharedExtent, Subvolume } from "../model/entry.ts";
import type { Gathered } from "../sys/gathered.ts";
import type { ReadEntry } from "./batch.ts";
import type { DraftWarning } from "./loss.ts";

export interface EntryDraft {
  readonly entry: ReadEntry;
  /** Tar header; undefined for entries without member. */
  fields: MemberFields | undefined;
  readonly gathered: Gathered | undefined;
  /** Kind as it will stand in the catalog (absent when it could not be read). */
  readonly kind: EntryKind;
  /** Logical size of a file. */
  readonly size: number;
  /** Bytes of data that follow the header in this block, and the zeros after them. */
  readonly stored: number;
  readonly padding: number;
  /** Bytes of the file that are data, in all its blocks. */
  readonly dataBytes: number;
  /** Data runs of a file in one block that is read run by run. */
  readonly segments: Float64Array | undefined;
  readonly unwritten: readonly Extent[] | undefined;
  readonly shared: readonly SharedExtent[] | undefined;
  readonly large: { readonly segments: Float64Array; readonly sliceEnd: number; leaves?: Leaves } | undefined;
  readonly exactMap: Float64Array | undefined;
  readonly subvolume: Subvolume | undefined;
  attributesLost: boolean;
  readonly absentErrno: number;
  readonly warnings: DraftWarning[];
  fd: number;
  /** Offset of the first header and of the data in the block. */
  offset: number;
  dataOffset: number;
  changed: boolean;
  readErrno: number;
  damagedRanges: Extent[];
  digest: Uint8Array | undefined;
}
