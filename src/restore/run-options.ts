// What a run is given, and what it gives: the words that restoring, verifying and salvaging share.

import type { BlockLocation, GroupSource } from "../archive/reader.ts";
import type { Completion } from "../model/catalog.ts";
import type { Reporter } from "../model/events.ts";
import type { WorkerPool } from "../pipeline/pool.ts";
import type { LinkObject } from "./links.ts";
import type { PlacedBlock } from "./placed.ts";
import type { RestoreJobs, WritePolicy } from "./protocol.ts";
import type { Tree } from "./tree.ts";

export type RestorePool = Pick<WorkerPool<RestoreJobs>, "workers" | "run" | "close"> &
  Partial<Pick<WorkerPool<RestoreJobs>, "warmUp">>;

/** An open descriptor that takes an image of this logical size. */
export interface ImageSink {
  readonly fd: number;
  readonly sizeBytes: number;
  /** What stands where nothing is written, for messages. */
  readonly unwritten: string;
}

export interface RunOptions {
  readonly reader: GroupSource;
  readonly pool: RestorePool;
  readonly tree: Tree;
  readonly policy: WritePolicy;
  /** False: verify. */
  readonly write: boolean;
  /** What can be had of a damaged file stays, under a marked name. */
  readonly keepDamaged?: boolean | undefined;
  /** What was not whole when it was saved was told then. */
  readonly untold?: boolean | undefined;
  readonly observer?: RunObserver | undefined;
  /** By source id: where the image of this source goes. */
  readonly images: ReadonlyMap<number, ImageSink>;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** Hears what was found whole, in the order of the archive. Between two calls of `settled` only one block's worth is told. */
export interface RunObserver {
  /** A plain block whose rows are in order. `lost`: rows that are not whole; a large file in its last row is pending until largeEnded(). */
  block(location: BlockLocation, placed: PlacedBlock, found: FoundRows): void;
  /** Of a lost block only the directories are known. */
  lost(placed: PlacedBlock): void;
  /** A whole block that goes on with the pending file. */
  slice(location: BlockLocation, bytes: number): void;
  /** Undefined: it is not whole. */
  largeEnded(completion: Completion | undefined, object: LinkObject | undefined): void;
  /** Called after each of the above, and waited for. */
  settled(): Promise<void>;
}

export interface FoundRows {
  readonly lost: ReadonlySet<number>;
  /** Objects of hard links, by the row of the link. */
  readonly links: ReadonlyMap<number, LinkObject>;
  /** What links of later blocks may point to, by row. */
  readonly objects: ReadonlyMap<number, LinkObject>;
  /** Bytes of file content in the block, and those of them that are the pending file's. */
  readonly bytes: number;
  readonly pendingBytes: number | undefined;
}

export interface RunResult {
  readonly entries: number;
  readonly bytes: number;
  readonly damagedBlocks: readonly number[];
  /** Images that are whole. */
  readonly images: number;
  /** The first thing found that no writer of ours makes: an attack, or a defect. */
  readonly hostile: string | undefined;
}
