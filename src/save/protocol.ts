// The jobs of saving: what the main thread asks of a worker and what comes back. File content never passes here: a job names
// what to read (an open directory and a name), a result is a sealed, compressed block.

import type { ImagePlan } from "../archive/archived-image.ts";
import type { Leaves } from "../codec/leaves.ts";
import type { DigestName, SourceTotals } from "../model/archive.ts";
import type { Compression } from "../model/options.ts";
import type { Extent, Timestamp } from "../model/entry.ts";
import type { WarningCode } from "../model/events.ts";
import type { LinkTarget } from "./links.ts";
import type { WorkerPool } from "../pipeline/pool.ts";

/** Fixed for a run; given to each worker when it starts. */
export interface SaveWorkerData {
  readonly compression: Compression;
  readonly digest: DigestName;
  /** The source may be written while we read: check every file after reading it. */
  readonly recheck: boolean;
  /** Worker threads of the run, which share what the process may have open. */
  readonly workers: number;
  readonly sources: readonly SourceConfig[];
}

export interface SourceConfig {
  /** Device of the root: entries of other devices are not entered unless crossMounts. */
  readonly devMajor: number;
  readonly devMinor: number;
  /** Id of the default subvolume, on btrfs; undefined: unknown, or none. */
  readonly defaultSubvolume?: number | undefined;
  /** Mount of the root; 0: the kernel does not tell (before 5.8). */
  readonly mountId: bigint;
  readonly crossMounts: boolean;
  /** Of a directory with a CACHEDIR.TAG only the tag is saved. */
  readonly excludeCaches: boolean;
  readonly filter: FilterOptions;
  /** Bytes of the member name prefix, which messages leave out. */
  readonly prefixLength: number;
  /** It is read from its device, not from a mount: descriptors of it are inode numbers. */
  readonly block?: BlockSource | undefined;
}

/** An ext file system that is not mounted. */
export interface BlockSource {
  /** Descriptor of the device or image file. */
  readonly fd: number;
  /** What its journal holds newer (filesystem/ext/device.ts). */
  readonly overlay: ReadonlyMap<number, number>;
  /** It is an image in an archive. */
  readonly image?: ImagePlan;
}

/** Which entries a save leaves out (filter.ts). */
export interface FilterOptions {
  readonly excludes: readonly string[];
  /** What one of these patterns fits, with everything below; none: everything. */
  readonly includes?: readonly string[];
  /** Paths below the source root, without leading slash; undefined: everything. */
  readonly only: readonly Uint8Array[] | undefined;
}

/** Scans directories depth-first until `budget` entries are listed. */
export interface ScanInput {
  readonly source: number;
  /** Open directory that holds the directories to scan; with `names` empty it is the one to scan itself. */
  readonly dirFd: number;
  /** Packed as u8 d_type (ignored), u8 length, bytes. */
  readonly names: Uint8Array;
  /** Path of dirFd below the source root, no trailing slash; only needed by a filter. */
  readonly path: Uint8Array;
  readonly budget: number;
}

/** One directory of a scan; children stand in later listings of the same scan as far as the budget went. */
export interface ScannedDirectory {
  /** Index of the listing it is a child of, −1: it is one of the roots asked for. */
  readonly parent: number;
  /** Index of its entry in the parent's listing (or of the root in `names`). */
  readonly entry: number;
  /** Where its name stands in the parent's names (or in those asked for). */
  readonly nameOffset: number;
  /** Open descriptor, −1 when it could not be opened. */
  readonly fd: number;
  /** errno of open or readdir, 0 = fine. */
  readonly errno: number;
  /** Its sorted, packed names in the names of the scan: where they start, their bytes, their number. */
  readonly namesStart: number;
  readonly namesLength: number;
  readonly count: number;
  /** Its stat records in the stats of the scan: of the first entries, the rest is asked for with a stat job. */
  readonly statsStart: number;
  readonly statsLength: number;
}

/** Data runs of a file that is larger than a block: pairs of f64 offset, length. */
export interface ScannedMap {
  readonly listing: number;
  readonly entry: number;
  readonly errno: number;
  readonly map: Float64Array;
}

export interface ScanOutput {
  /** Names and stat records of all directories, one after the other. */
  readonly names: Uint8Array;
  readonly stats: Uint8Array;
  readonly directories: readonly ScannedDirectory[];
  readonly maps: readonly ScannedMap[];
  /** How many of the roots asked for were scanned. */
  readonly rootsDone: number;
}

export interface StatInput {
  readonly source: number;
  readonly dirFd: number;
  readonly names: Uint8Array;
  readonly offset: number;
  readonly count: number;
}

export interface StatOutput {
  readonly stats: Uint8Array;
  /** Offset in names after the last one. */
  readonly nextOffset: number;
  readonly maps: readonly ScannedMap[];
}

/** Objects of hard links that could not be read, by entry number: the further name that stands in their place, as far as one could be read. */
export type LostObjects = ReadonlyMap<number, LinkTarget | undefined>;

/** An entry with further names that could not be read. */
export interface LostEntry {
  readonly entry: number;
  readonly errno: number;
}

/** Packs whole entries, the last of which may go on in slices. */
export interface PackInput {
  readonly source: number;
  readonly firstEntry: number;
  readonly count: number;
  /** Entry records (batch.ts). */
  readonly entries: Uint8Array;
  /** −errno: the directory is not there any more. */
  readonly dirFds: Int32Array;
  /** Member names of the directories (prefix, path, `/`), one after the other, and where each ends. */
  readonly dirPaths: Uint8Array;
  readonly dirPathEnds: Uint32Array;
  /** The last entry is a file of several blocks: its whole data map (of bytes as planned), and where the first slice ends. */
  readonly large?: { readonly segments: Float64Array; readonly sliceEnd: number; readonly exactMap?: Float64Array };
  /** Objects of jobs before this one to which entries of this one are links. */
  readonly lost?: LostObjects;
  readonly slot: SharedArrayBuffer;
}

/** Packs one slice of a large file: a continuation block. */
export interface SliceInput {
  readonly source: number;
  readonly entry: number;
  readonly dirFd: number;
  readonly name: Uint8Array;
  /** Stat record the plan saw. */
  readonly stat: Uint8Array;
  /** Logical range [start, end) in bytes: multiples of 1 MiB but for the end of the file. */
  readonly start: number;
  readonly end: number;
  /** Data runs inside the range: pairs of offset, length. */
  readonly segments: Float64Array;
  /** Zeros after the last data byte, to a multiple of 512. */
  readonly padding: number;
  readonly slot: SharedArrayBuffer;
}

/** Packs a range of a device. */
export interface ImageSliceInput {
  readonly fd: number;
  /** The same with O_DIRECT; undefined: there is none. */
  readonly directFd: number | undefined;
  /** Logical range [start, end) in bytes: multiples of 1 MiB but for the end of the device. */
  readonly start: number;
  readonly end: number;
  /** Runs inside the range that are read: pairs of offset, length. */
  readonly segments: Float64Array;
  /** Zeros after the last byte, to a multiple of 512. */
  readonly padding: number;
  readonly slot: SharedArrayBuffer;
}

/** The first block of an image: its root, its headers, its first slice. */
export interface ImageInput extends ImageSliceInput {
  /** Number of the root; the image's is the next. */
  readonly firstEntry: number;
  /** Member name of the root. */
  readonly prefix: Uint8Array;
  readonly name: Uint8Array;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly size: number;
  /** Runs of the whole device. */
  readonly runs: Float64Array;
}

export interface PackedBlock {
  /** Compressed frame; undefined: it stands in the job's slot. */
  readonly frame?: Uint8Array;
  readonly compressedLength: number;
  readonly uncompressedLength: number;
  readonly entryCount: number;
  /** Index of the directory that holds its first entry; −1: that entry is the source's root, or none starts here. */
  readonly directory: number;
  /** Encoded catalog rows and their digests. */
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
  /** First 16 bytes of H over the frame. */
  readonly digest: Uint8Array;
}

export interface PackWarning {
  readonly code: WarningCode;
  /** Entry number. */
  readonly entry: number;
  readonly path: Uint8Array;
  readonly message: string;
  readonly errno?: string;
}

/** What a job adds to the totals of its source. */
export interface PackTotals extends SourceTotals {
  members: number;
}

export interface PackOutput {
  readonly blocks: readonly PackedBlock[];
  /** Rows of entries without member that no block of this job could carry: they go with the next block. `directory`: as of a block. */
  readonly carried: {
    readonly rows: Uint8Array;
    readonly digests: Uint8Array;
    readonly count: number;
    readonly directory: number;
  };
  readonly leaves?: Leaves;
  readonly damagedRanges: readonly Extent[];
  readonly changed: boolean;
  readonly warnings: readonly PackWarning[];
  /** Lost objects among the entries, and what became of those of the input. */
  readonly lost?: LostObjects;
  /** None for slices: their file was counted with its first block. */
  readonly totals: PackTotals | undefined;
}

/** What runs the jobs. */
export type SavePool = Pick<WorkerPool<SaveJobs>, "run" | "close">;

export interface SaveJobs {
  scan: { input: ScanInput; output: ScanOutput };
  stat: { input: StatInput; output: StatOutput };
  pack: { input: PackInput; output: PackOutput };
  slice: { input: SliceInput; output: PackOutput };
  image: { input: ImageInput; output: PackOutput };
  imageSlice: { input: ImageSliceInput; output: PackOutput };
}
