// Collects planned entries into pack jobs of about one block each.

import { limits } from "../base/limits.ts";
import type { MemberPath } from "../format/member-path.ts";
import type { EntryKind } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { planLayout, statLayout } from "../sys/layout.ts";
import { BatchWriter } from "./batch.ts";
import { acquireIfThere } from "./lost-directory.ts";
import type { Listing } from "./scan-ahead.ts";
import type { LargeFilePlan } from "./slices.ts";

/** Entries for one pack job. Its directories are acquired as far as they are still there; whoever runs the job calls release(). */
export interface PlannedJob {
  readonly firstEntry: number;
  readonly count: number;
  readonly entries: Uint8Array;
  readonly dirFds: Int32Array;
  readonly dirPaths: Uint8Array;
  readonly dirPathEnds: Uint32Array;
  /** The last entry is a file of several blocks: how it is cut, and what its later slices need to open it. */
  readonly large: PlannedLarge | undefined;
  /** Objects in earlier jobs that its entries are links to. */
  readonly objects: readonly number[];
  release(): void;
}

export interface PlannedLarge {
  readonly plan: LargeFilePlan;
  readonly entry: number;
  readonly directory: DirectoryHandle;
  readonly name: Uint8Array;
  readonly stat: Uint8Array;
}

/** An entry as the plan sees it. One object serves for all entries of a walk, one after the other. */
export interface PlannedEntry {
  handle: DirectoryHandle;
  kind: EntryKind;
  flags: number;
  depth: number;
  errno: number;
  names: Uint8Array;
  nameStart: number;
  nameLength: number;
  stats: DataView;
  statOffset: number;
  linkEntry: number;
  linkPath: Uint8Array;
  /** Bytes it will take in the tar stream, about. */
  estimate: number;
  large: LargeFilePlan | undefined;
}

/** Where a walk stands in a listing: the next entry, and where its name is. */
export interface Cursor {
  entry: number;
  nameOffset: number;
}

/** So many headers alone fill a block. */
const entriesPerJob = 8192;
/** A job holds a descriptor of each of its directories. Part of what the archive looks like, so the same on every machine. */
export const directoriesPerJob = 256;

export class JobCutter {
  readonly #path: MemberPath;
  readonly #blockSize: number;
  readonly #inodes: Uint32Array;
  readonly #state = new Float64Array(planLayout.length);
  #nextEntry: number;
  #open: OpenJob | undefined;

  /** `inodes`: lower 32 bits of those that are to be looked at one by one. */
  constructor(path: MemberPath, firstEntry: number, blockSize: number, inodes: Uint32Array) {
    this.#inodes = inodes;
    this.#path = path;
    this.#nextEntry = firstEntry;
    this.#blockSize = blockSize;
  }

  /** Number that the next entry will get. */
  get nextEntry(): number {
    return this.#nextEntry;
  }

  /** True when the entry must start a new job: take() the open one first. */
  isFull({ estimate, handle, large }: PlannedEntry): boolean {
    const open = this.#open;
    if (open === undefined || open.batch.count === 0) return false;
    if (large !== undefined || open.estimate + estimate > this.#blockSize) return true;
    return open.batch.count >= entriesPerJob || !open.hasRoomFor(handle);
  }

  /** Adds an entry of the current directory; after a large file the job must be taken. */
  add(entry: PlannedEntry): void {
    this.#open ??= new OpenJob(this.#nextEntry);
    this.#open.add(entry, this.#path, this.#nextEntry);
    this.#nextEntry++;
  }

  /**
   * Adds the plain files (regular, one name, one block, nothing to tell of them) that follow the entry just added, of the same directory, as far as the open job
   * takes them: to the same rules as entry by entry. Moves the cursor behind them.
   */
  addPlain({ names, stats, statStart }: Listing, cursor: Cursor): void {
    const open = this.#open;
    if (open === undefined || this.#path.depth >= limits.depth) return;
    const state = this.#state;
    const { records, length } = open.batch.room();
    state[planLayout.name] = cursor.nameOffset;
    state[planLayout.stat] = Math.min((cursor.entry - statStart) * statLayout.size, stats.length);
    state[planLayout.records] = length;
    state[planLayout.estimate] = open.estimate;
    const count = addon().planPlain(
      names,
      stats,
      entriesPerJob - open.batch.count,
      open.directory,
      this.#path.depth + 1,
      this.#path.length,
      limits.pathBytes,
      this.#blockSize,
      this.#inodes,
      records,
      state,
    );
    open.batch.added(count, state[planLayout.records] as number);
    open.estimate = state[planLayout.estimate] as number;
    cursor.entry += count;
    cursor.nameOffset = state[planLayout.name] as number;
    this.#nextEntry += count;
  }

  /** The open job, closed; undefined when it has no entries. */
  take(): PlannedJob | undefined {
    const open = this.#open;
    this.#open = undefined;
    return open?.close();
  }
}

class OpenJob {
  readonly batch = new BatchWriter();
  estimate = 0;
  readonly #firstEntry: number;
  readonly #directories = new Map<DirectoryHandle, number>();
  readonly #fds: number[] = [];
  readonly #paths: Uint8Array[] = [];
  readonly #objects: number[] = [];
  #large: PlannedLarge | undefined;
  #lastHandle: DirectoryHandle | undefined;
  #lastDirectory = -1;

  constructor(firstEntry: number) {
    this.#firstEntry = firstEntry;
  }

  /** That of the entry added last. */
  get directory(): number {
    return this.#lastDirectory;
  }

  hasRoomFor(handle: DirectoryHandle): boolean {
    return handle === this.#lastHandle || this.#directories.size < directoriesPerJob || this.#directories.has(handle);
  }

  add(entry: PlannedEntry, path: MemberPath, number: number): void {
    const { handle } = entry;
    if (handle !== this.#lastHandle) {
      this.#lastHandle = handle;
      this.#lastDirectory = this.#directories.get(handle) ?? this.#addDirectory(handle, path);
    }
    this.batch.add(this.#lastDirectory, entry, entry);
    this.estimate += entry.estimate;
    if (entry.linkEntry >= 0 && entry.linkEntry < this.#firstEntry) this.#objects.push(entry.linkEntry);
    if (entry.large !== undefined) {
      const stat = bytesOf(entry.stats, entry.statOffset, statLayout.size);
      const name = entry.names.slice(entry.nameStart, entry.nameStart + entry.nameLength);
      this.#large = { plan: entry.large, entry: number, directory: handle, name, stat };
    }
  }

  #addDirectory(handle: DirectoryHandle, path: MemberPath): number {
    const directory = this.#directories.size;
    this.#directories.set(handle, directory);
    this.#fds.push(acquireIfThere(handle));
    this.#paths.push(path.bytes.slice());
    return directory;
  }

  close(): PlannedJob {
    const dirFds = Int32Array.from(this.#fds);
    const dirPathEnds = new Uint32Array(dirFds.length);
    let length = 0;
    for (const [i, path] of this.#paths.entries()) {
      length += path.length;
      dirPathEnds[i] = length;
    }
    const dirPaths = new Uint8Array(length);
    for (const [i, path] of this.#paths.entries()) dirPaths.set(path, (dirPathEnds[i] as number) - path.length);
    return {
      firstEntry: this.#firstEntry,
      count: this.batch.count,
      entries: this.batch.finish(),
      dirFds,
      dirPaths,
      dirPathEnds,
      large: this.#large,
      objects: this.#objects,
      release: () => {
        for (const [handle, index] of this.#directories) if ((this.#fds[index] as number) >= 0) handle.release();
      },
    };
  }
}

function bytesOf(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice();
}
