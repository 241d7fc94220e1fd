// The jobs of reading an archive: a block goes to a worker by its place in the archive file (or with its bytes, from a pipe); the worker checks it against
// its catalog rows and, when it restores, writes below the directories it was given. Nothing of the content comes back.

import { type FramePlace, framePlace } from "../archive/frames.ts";
import type { BlockLocation } from "../archive/reader.ts";
import type { Leaves } from "../codec/leaves.ts";
import type { BlockOutline } from "../format/segmentDecoder.ts";
import type { Codec, DigestName } from "../model/archive.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { ExtendedAttribute, Extent } from "../model/entry.ts";
import type { CompareOptions, FieldDifference } from "../model/difference.ts";
import type { Warning } from "../model/events.ts";
import type { RowPlace } from "./row-path.ts";

/** Fixed for a run; given to each worker when it starts. */
export interface RestoreWorkerData {
  readonly codec: Codec;
  readonly digest: DigestName;
  readonly policy: WritePolicy;
}

/** What of the metadata is set, and what may be replaced. */
export interface WritePolicy {
  /** Replace what exists (never directories, never through links). */
  readonly overwrite: boolean;
  /** The destination has a default ACL, which new entries inherit: remove it where the archive has none. */
  readonly clearInheritedAcl: boolean;
  /** Ids that new entries get by themselves. */
  readonly uid: number;
  readonly gid: number;
}

/** A block that is no continuation, and its rows. */
export interface PlainBlock extends RowPlace {
  readonly frame: FramePlace;
  /** Encoded rows and digests (format/segment). */
  readonly count: number;
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
  /** The end-of-archive block: its tar bytes are zeros, its rows have no members. */
  readonly end: boolean;
}

/** The block for a job, with copies of its rows: the segment that holds them stays here. `fd`: of the archive, where it is a file. */
export function plainBlock(
  location: BlockLocation,
  { count, rows, digests }: BlockOutline,
  { parentPath, firstDepth, prefixes }: RowPlace,
  fd: number | undefined,
): PlainBlock {
  const frame = framePlace(location, fd);
  const { end } = location.record;
  return { frame, count, rows: rows.slice(), digests: digests.slice(), parentPath, firstDepth, prefixes, end };
}

/** A plain block to be written or verified. */
export interface UnpackInput extends PlainBlock {
  readonly write: boolean;
  /** Rely on no default of new entries (see PlacedBlock). */
  readonly careful: boolean;
  /** Open directory of each row; −1: not to be written. Directories are made by the main thread. */
  readonly dirFds: Int32Array;
  /** Rows that get another name than their own. */
  readonly renamed: ReadonlyMap<number, Uint8Array>;
  /** Descriptor to write the block's large file to; −1: none; undefined: leave the large file to another job of the same block. */
  readonly largeFd: number | undefined;
  /** What can be had of the files of a damaged block is written. */
  readonly keepDamaged: boolean;
}

/** A continuation block. */
export interface SliceRestoreInput {
  readonly frame: FramePlace;
  readonly fd: number;
  readonly fileOffset: number;
  /** Logical size of the file. */
  readonly size: number;
  /** Data runs of the slice: pairs of offset, length. */
  readonly segments: Float64Array;
  /** Shared extents of the file in the slice. */
  readonly shared: readonly Extent[];
}

/** The row under the name it gets. */
export function renamedRow(row: CatalogRow, name: Uint8Array | undefined): CatalogRow {
  return name === undefined ? row : { ...row, name };
}

export interface UnpackOutput {
  /** Undefined: the block was whole and agreed with its rows. Else why not; nothing of it was written. */
  readonly damage: string | undefined;
  readonly hostile: boolean;
  readonly warnings: readonly Warning[];
  /** Attributes of the directories in the block, by row. */
  readonly directories: readonly { readonly row: number; readonly attributes: readonly ExtendedAttribute[] }[];
  /** Digests of the member names that hard links of the block point to, as latin1, by row. */
  readonly links: readonly { readonly row: number; readonly target: string }[];
  /** Inode numbers of the entries that later hard links may point to, by row. */
  readonly inodes: readonly { readonly row: number; readonly ino: number | bigint }[];
  /** Rows that were not made; verifying: files whose content is not what was saved. */
  readonly failed: readonly number[];
  /** Files of a damaged block of which something was written, by row. */
  readonly kept?: ReadonlyMap<number, KeptFile>;
  readonly large: LargeStart | undefined;
  readonly bytes: number;
  readonly leaves?: Leaves;
}

/** A file out of a damaged block. */
export interface KeptFile {
  /** Its digest is right, and it has its own name; else it has a marked one. */
  readonly whole: boolean;
  readonly name: Uint8Array;
  /** Bytes of its content that were written. */
  readonly bytes: number;
  /** It had extended attributes, which nothing proves: they are left out. */
  readonly hadAttributes: boolean;
}

/** The large file that begins in the block: what its completion needs. */
export interface LargeStart {
  readonly attributes: readonly ExtendedAttribute[];
  /** Data runs of the whole file; undefined: it has no holes. */
  readonly segments: Float64Array | undefined;
  readonly leaves: Leaves;
  readonly dataInBlock: number;
}

/** A file below a held directory, and which one it must be. */
export interface SharedFile {
  readonly dirFd: number;
  readonly name: Uint8Array;
  /** deviceKey of its directory. */
  readonly dev: number;
  readonly ino: bigint;
}

/** Ranges of a file that may use the storage of others. */
export interface ShareInput {
  readonly to: SharedFile;
  readonly from: readonly SharedFile[];
  /** Fours of f64: index in `from`, offset there, offset in `to`, length. */
  readonly pieces: Float64Array;
}

export interface ShareOutput {
  readonly sharedBytes: number;
  /** Those that do not share. */
  readonly otherBytes: number;
  /** Of the last call that failed; 0: none did. */
  readonly errno: number;
}

/** Rows made from the tar bytes of a block whose catalog segment is lost. */
export interface IndexOutput {
  readonly damage: string | undefined;
  readonly count: number;
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
  /** Member name of the first entry. */
  readonly firstPath: Uint8Array;
}

/** A plain block to be compared with live entries. */
export interface CompareInput extends PlainBlock {
  /** Open directory of each row in the live tree (its own for roots); −1: not to be compared. */
  readonly dirFds: Int32Array;
  readonly options: CompareOptions;
}

export interface CompareOutput {
  /** As in UnpackOutput. */
  readonly damage: string | undefined;
  readonly hostile: boolean;
  /** What differs, by row. Undefined fields: it vanished since its directory was read. */
  readonly differences: readonly { readonly row: number; readonly fields: readonly FieldDifference[] | undefined }[];
  /** Identity of live entries that have several names, or should, by row. */
  readonly inodes: readonly {
    readonly row: number;
    readonly device: number;
    readonly ino: bigint;
    readonly linked: boolean;
  }[];
  /** Entries that could not be looked at. */
  readonly unreadable: readonly { readonly row: number; readonly errno: number }[];
  readonly bytes: number;
}

/** A range of a live file. */
export interface LeavesInput {
  readonly fd: number;
  /** Logical range: multiples of 1 MiB but for the end of the file. */
  readonly start: number;
  readonly end: number;
  /** Data runs inside the range: pairs of offset, length. */
  readonly segments: Float64Array;
}

/** A file that became shorter meanwhile reads as zeros. errno 0: read. */
export interface LeavesOutput {
  readonly leaves: Leaves;
  readonly errno: number;
}

export interface RestoreJobs {
  unpack: { input: UnpackInput; output: UnpackOutput };
  slice: { input: SliceRestoreInput; output: UnpackOutput };
  index: { input: { readonly frame: FramePlace; readonly prefixes: readonly Uint8Array[] }; output: IndexOutput };
  compare: { input: CompareInput; output: CompareOutput };
  share: { input: ShareInput; output: ShareOutput };
  leaves: { input: LeavesInput; output: LeavesOutput };
  /** Proves a frame by its checksum alone; why it is damaged, or undefined. */
  check: { input: FramePlace; output: string | undefined };
}
