// What a user can ask for, as values: the cli makes them from argv, the commands take them.

import type { CatalogRow } from "./catalog.ts";
import type { Codec, DigestName, Head, Summary } from "./archive.ts";
import type { CompareOptions } from "./difference.ts";
import type { Reporter } from "./events.ts";
import type { SnapshotInfo, SnapshotMethod, SnapshotOptions } from "./snapshot.ts";

/** Everything a command needs from the outside besides its options. Commands print nothing themselves. */
export interface CommandContext {
  readonly reporter: Reporter;
  /** Aborted by SIGINT, SIGTERM, SIGHUP: the command undoes what it made and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Shows a plan and asks on a terminal. Where nobody is asked: --yes, or `unasked` (default: no). */
  readonly confirm: (lines: readonly string[], unasked?: boolean) => Promise<boolean>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** How a command ended that did not throw: 1 when there were warnings (or, for diff, differences). */
export interface Outcome<Details> {
  readonly status: 0 | 1;
  readonly warnings: number;
  readonly details: Details;
}

export interface Compression {
  readonly codec: Codec;
  /** zstd: −131072 to 22, 0 = store (raw blocks). lz4: 1. */
  readonly level: number;
  /** Target block size in bytes: a multiple of 1 MiB, 1 to 32 MiB. */
  readonly blockSize: number;
}

export interface SaveOptions {
  /** Path, or `-` for standard output. */
  readonly archive: string;
  /** Devices, mount points, images (savefs) or directories (savedir). */
  readonly sources: readonly string[];
  readonly compression: Compression;
  readonly digest: DigestName;
  /** Worker threads, ≥ 1. */
  readonly workers: number;
  /** Exclude patterns in order (docs: gitignore-like, anchored at the source root, matched on bytes). */
  readonly excludes: readonly string[];
  readonly excludeCaches: boolean;
  /** Only these paths (NUL or newline separated file, `-` = stdin): relative to the source root. */
  readonly filesFrom?: string;
  readonly label: string;
  readonly overwrite: boolean;
  readonly allowRw: boolean;
  readonly strict: boolean;
  /** savedir: go into other file systems mounted below. */
  readonly crossMounts: boolean;
  /** savefs: through a mount, or from the blocks of a device that is not mounted. */
  readonly reader: "mount" | "block";
  readonly verify: boolean;
  readonly dryRun: boolean;
  /** savefs: what is mounted read-write is frozen first. */
  readonly snapshot?: SnapshotOptions;
}

export interface SnapshotCommandOptions {
  readonly action: "plan" | "create" | "list" | "status" | "remove" | "merge";
  /** Mount points and devices (plan, create) or names of snapshots. */
  readonly names: readonly string[];
  readonly snapshot: SnapshotOptions;
}

/** How one volume would be frozen. */
export interface SnapshotPlan {
  readonly path: string;
  /** null: nothing of it is mounted read-write, so it needs none; or none fits. */
  readonly method: SnapshotMethod | null;
  readonly reason: string;
  readonly passedOver: readonly string[];
  readonly commands: readonly string[];
}

export interface SnapshotDetails {
  /** For people. */
  readonly lines: readonly string[];
  readonly snapshots?: readonly SnapshotInfo[];
  readonly plans?: readonly SnapshotPlan[];
}

export interface SaveimgOptions extends SaveOptions {
  /** Read all blocks, whatever the file system says. */
  readonly raw: boolean;
}

export interface SaveDetails {
  readonly archive: string;
  readonly head: Head;
  readonly summary: Summary;
  readonly archiveBytes: number;
  readonly verified: boolean;
}

export interface RestoreTarget {
  /** Source id in the archive. */
  readonly id: number;
  /** Block device or image file. */
  readonly dest: string;
  /** File system to make instead of the saved one. */
  readonly mkfs?: string;
  /** Extra words for mkfs. */
  readonly mkfsopt?: readonly string[];
  readonly label?: string;
  /** keep, new, or a UUID. */
  readonly uuid?: string;
}

export interface RestoreOptions {
  /** Path, or `-` for standard input. */
  readonly archive: string;
  readonly workers: number;
  readonly excludes: readonly string[];
  readonly includes: readonly string[];
  readonly stripComponents: number;
  readonly overwrite: boolean;
  readonly strict: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

export interface RestfsOptions extends RestoreOptions {
  readonly targets: readonly RestoreTarget[];
}

export interface RestimgOptions {
  /** Path, or `-` for standard input. */
  readonly archive: string;
  readonly targets: readonly RestoreTarget[];
  readonly workers: number;
  readonly overwrite: boolean;
  /** Discard all blocks of a device first. */
  readonly discard: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

export interface RestdirOptions extends RestoreOptions {
  readonly destination: string;
}

export interface ExtractOptions {
  /** Path, or `-` for standard input. */
  readonly archive: string;
  readonly patterns: readonly string[];
  readonly destination: string;
  /** Only this source of the archive, directly below the destination; undefined: all, each below its prefix. */
  readonly source: number | undefined;
  readonly workers: number;
  readonly overwrite: boolean;
  readonly strict: boolean;
  /** Images are the files that they are in the archive; else what is meant is the files inside. */
  readonly asFiles: boolean;
}

export interface CatOptions {
  /** Path, or `-` for standard input. */
  readonly archive: string;
  /** Below the root of the source; a leading slash is taken off. */
  readonly path: string;
  readonly source: number | undefined;
  /** Images are the files that they are in the archive; else what is meant is the files inside. */
  readonly asFiles: boolean;
}

export interface CatDetails {
  readonly bytes: number;
}

export interface RestoreDetails {
  readonly entries: number;
  readonly bytes: number;
  /** Entries that could not be restored whole, by warning. */
  readonly incomplete: number;
  /** restfs --plan: what it would do. */
  readonly plans?: readonly TargetPlan[];
}

/** What restfs would do to one target. */
export interface TargetPlan {
  /** Source id in the archive. */
  readonly source: number;
  readonly target: string;
  /** What is there now, for people. */
  readonly holds: string;
  /** It is not touched without --overwrite. */
  readonly needsOverwrite: boolean;
  /** What will be there. */
  readonly filesystem: string;
  readonly label: Uint8Array;
  readonly uuid: string;
  readonly sizeBytes: number;
  /** argv of each tool; bytes where a word is not UTF-8. */
  readonly commands: readonly (readonly (string | Uint8Array)[])[];
  /** What will be lost of the saved file system, one sentence each. */
  readonly notKept: readonly string[];
  /** All of it, for people; command lines can be given to a shell. */
  readonly lines: readonly string[];
}

export interface SalvageOptions {
  /** Path of a file or device. */
  readonly archive: string;
  /** Restore below a directory, or write a new archive. */
  readonly to: { readonly directory: string } | { readonly archive: string };
  /** Directory only: what can be had of damaged files, under marked names. */
  readonly keepDamaged: boolean;
  readonly workers: number;
  readonly overwrite: boolean;
}

export interface SalvageDetails {
  readonly entries: number;
  readonly bytes: number;
  /** Entries that are known by name and were not had whole. */
  readonly lostEntries: number;
  /** Blocks that are damaged or missing, as far as their numbers are known. */
  readonly damagedBlocks: readonly number[];
  /** Where the archive is not what was written. */
  readonly damagedRanges: readonly { readonly offset: number; readonly length: number }[];
  /** Length of the new archive. */
  readonly archiveBytes?: number;
}

export const listOrders = ["size", "name", "path", "mtime"] as const;
export type ListOrder = (typeof listOrders)[number];

export interface ListOptions {
  readonly archive: string;
  readonly patterns: readonly string[];
  readonly source: number | undefined;
  /** Undefined: the archive's order. Sorting holds all that is listed. */
  readonly sort: ListOrder | undefined;
  /** Images are the files that they are in the archive; else what is meant is the files inside. */
  readonly asFiles: boolean;
}

export interface DuOptions {
  readonly archive: string;
  readonly patterns: readonly string[];
  readonly source: number | undefined;
  /** Directories so far below the root are told of; Infinity: all. */
  readonly depth: number;
  /** Images are the files that they are in the archive; else what is meant is the files inside. */
  readonly asFiles: boolean;
}

/** What stands below a directory, at any depth. */
export interface DirectorySum {
  readonly source: number;
  /** Below the source's root; empty for the root. */
  readonly path: Uint8Array;
  /** 0 for the root. */
  readonly depth: number;
  readonly entries: number;
  readonly files: number;
  /** Sum of the files' logical sizes, each file once. */
  readonly bytes: number;
}

/** One row of a listing with its whole path (without the source's prefix; the root is empty). */
export interface ListedEntry {
  readonly source: number;
  readonly number: number;
  readonly path: Uint8Array;
  readonly row: CatalogRow;
  /** Hard links: path of the object, where it is known. */
  readonly linkPath?: Uint8Array;
}

export interface ArchiveInformation {
  readonly head: Head;
  /** Absent when the archive comes from a pipe or has lost its end. */
  readonly summary?: Summary;
  readonly archiveBytes?: number;
  readonly stockRestoreCommand: string;
}

export interface DiffOptions {
  readonly archive: string;
  /** Directory, device, image, or another archive. */
  readonly target: string;
  /** Source that the target is compared with; undefined: the only one, or each below its prefix in a directory. */
  readonly source: number | undefined;
  readonly workers: number;
  readonly excludes: readonly string[];
  readonly includes: readonly string[];
  readonly compare: CompareOptions;
}

export interface DiffDetails {
  /** Entries that both sides have. */
  readonly compared: number;
  readonly removed: number;
  readonly added: number;
  readonly changed: number;
  /** How contents were compared. */
  readonly content: "digest" | "size and mtime";
}

export interface VerifyOptions {
  readonly archive: string;
  readonly workers: number;
  /** Block checksums only: nothing is decompressed. */
  readonly quick: boolean;
  /** Then compare with this, as diff does. */
  readonly against?: DiffOptions;
}

export interface VerifyDetails {
  readonly blocks: number;
  readonly entries: number;
  readonly bytes: number;
  readonly damagedBlocks: readonly number[];
  readonly against?: DiffDetails;
}

export interface ProbeOptions {
  /** Block devices and image files; empty: all block devices of the machine. */
  readonly devices: readonly string[];
}
