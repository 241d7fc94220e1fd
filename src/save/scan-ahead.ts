// Scanning ahead of the plan: keeps a few scan jobs running on the directories the plan will come to next, in its order, and holds what
// they found until the plan takes it. Bounded by the number of listed entries that the plan has not taken yet.

import { viewOf } from "../base/bytes.ts";
import { addon } from "../sys/addon.ts";
import { S_IFDIR, S_IFMT } from "../sys/constants.ts";
import type { DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { statLayout } from "../sys/layout.ts";
import { readStat } from "../sys/stat.ts";
import { EntryFilter } from "./filter.ts";
import { acquireIfThere } from "./lost-directory.ts";
import type { SavePool, ScannedDirectory, ScannedMap, ScanOutput, SourceConfig, StatOutput } from "./protocol.ts";
import { isEnterable, joinPath, statsPerListing } from "./scan.ts";

/** A directory's content as far as it is known; stats of large directories come in parts. */
export interface Listing {
  readonly handle: DirectoryHandle;
  /** Path below the source root; only kept where a filter needs it. */
  readonly path: Uint8Array;
  /** errno of reading it; then it is empty. */
  readonly errno: number;
  readonly names: Uint8Array;
  readonly count: number;
  /** Stat records of the entries from `statStart` on, and a view of them. */
  stats: Uint8Array;
  statView: DataView;
  statStart: number;
  /** Offset in names of entry `statStart`. */
  nameOffset: number;
  /** Data maps of large files, by entry index. */
  maps: Map<number, ScannedMap>;
  /** Listings of child directories not yet taken, by entry index. */
  readonly children: Map<number, Listing>;
}

/** Sibling directories that are still to be scanned, in order. */
interface Run {
  readonly listing: Listing;
  readonly entries: readonly number[];
  readonly nameOffsets: readonly number[];
  request: Promise<void> | undefined;
}

const scansAhead = 3;
const entriesPerScan = 2000;
const siblingsPerScan = 64;
/** Entries listed and not yet taken by the plan before scanning ahead pauses. */
const entriesAheadMax = 40_000;
/** Directories listed and not yet taken: their descriptors stay open meanwhile where the table has room (directoryCapacity). */
const directoriesAheadMax = 1024;
const noBytes = new Uint8Array(0);

export class ScanAhead {
  readonly filter: EntryFilter;
  readonly #pool: SavePool;
  readonly #table: Pick<DirectoryTable, "child">;
  readonly #source: number;
  readonly #config: SourceConfig;
  /** What is to be scanned, the next at the end. */
  readonly #runs: Run[] = [];
  #running = 0;
  #entriesAhead = 0;
  #directoriesAhead = 0;

  constructor(pool: SavePool, table: Pick<DirectoryTable, "child">, source: number, config: SourceConfig) {
    this.filter = new EntryFilter(config.filter);
    this.#pool = pool;
    this.#table = table;
    this.#source = source;
    this.#config = config;
  }

  /** Scans the source's root. */
  async root(handle: DirectoryHandle): Promise<Listing> {
    const output = await this.#scan(handle, noBytes, noBytes);
    const root = newListing(handle, noBytes, output.directories[0] as ScannedDirectory, output);
    this.#integrate(output, root, undefined);
    return root;
  }

  /** The listing of a child directory, which the plan takes now: `entry` is the next directory in depth-first order. */
  async child(parent: Listing, entry: number): Promise<Listing> {
    for (;;) {
      const found = parent.children.get(entry);
      if (found !== undefined) {
        parent.children.delete(entry);
        this.#entriesAhead -= found.count;
        this.#directoriesAhead--;
        this.#advance();
        return found;
      }
      const next = this.#runs.at(-1);
      if (next === undefined || next.listing !== parent || next.entries[0] !== entry) {
        throw new Error("the scan is not where the plan is");
      }
      next.request ??= this.#request(next);
      await next.request;
    }
  }

  /** Belongs to the save, and its content too: a child() call must follow for each directory this is true of. */
  isEntered(stat: DataView, at: number, path: Uint8Array): boolean {
    return (
      stat.getUint32(at + statLayout.error, true) === 0 &&
      (stat.getUint32(at + statLayout.mode, true) & S_IFMT) === S_IFDIR &&
      isEnterable(this.#config, stat, at) &&
      (this.filter.empty || this.filter.accepts(path, true))
    );
  }

  /** Stats of the next part of a large directory, of which the plan has taken all it knew. */
  async moreStats(listing: Listing, nameOffset: number): Promise<void> {
    const start = listing.statStart + listing.stats.length / statLayout.size;
    const count = Math.min(statsPerListing, listing.count - start);
    const output = await this.#stat(listing.handle, partOfNames(listing.names, nameOffset, count), count);
    listing.stats = output.stats;
    listing.statView = viewOf(output.stats);
    listing.statStart = start;
    listing.nameOffset = nameOffset;
    listing.maps = new Map(output.maps.map((map) => [start + map.entry, map]));
    this.#runs.push(...this.#unscanned(listing).toReversed());
    this.#advance();
  }

  async #stat(handle: DirectoryHandle, names: Uint8Array, count: number): Promise<StatOutput> {
    const dirFd = acquireIfThere(handle);
    if (dirFd < 0) return { stats: failedStats(count, -dirFd), nextOffset: names.length, maps: [] };
    try {
      return await this.#pool.run("stat", { source: this.#source, dirFd, names, offset: 0, count }, { urgent: true });
    } finally {
      handle.release();
    }
  }

  /** Starts scans of the runs that come next, as far as the bounds allow. */
  #advance(): void {
    const last = this.#runs.length - 1;
    for (let i = last; i >= 0 && i > last - scansAhead; i--) {
      if (this.#running >= scansAhead || this.#isFarAhead()) return;
      const run = this.#runs[i] as Run;
      if (run.request !== undefined) continue;
      run.request = this.#request(run);
      run.request.catch(() => {}); // child() awaits it and throws.
    }
  }

  #isFarAhead(): boolean {
    return this.#entriesAhead >= entriesAheadMax || this.#directoriesAhead >= directoriesAheadMax;
  }

  async #request(run: Run): Promise<void> {
    this.#running++;
    try {
      const { handle, names, path } = run.listing;
      this.#integrate(await this.#scan(handle, packNames(names, run.nameOffsets), path), undefined, run);
    } finally {
      this.#running--;
    }
    this.#advance();
  }

  async #scan(handle: DirectoryHandle, names: Uint8Array, path: Uint8Array): Promise<ScanOutput> {
    const dirFd = acquireIfThere(handle);
    if (dirFd < 0) return nothingScanned(names, -dirFd);
    try {
      const input = { source: this.#source, dirFd, names, path, budget: entriesPerScan };
      const discard = (output: ScanOutput): void => this.#close(output, dirFd);
      return await this.#pool.run("scan", input, { urgent: true, discard });
    } finally {
      handle.release();
    }
  }

  /** Closes what a scan opened: nobody takes it any more. */
  #close({ directories }: ScanOutput, scannedFd: number): void {
    if (this.#config.block !== undefined) return;
    for (const { fd } of directories) if (fd >= 0 && fd !== scannedFd) addon().close(fd);
  }

  /** Puts scanned directories into their places, and what they leave to scan into the place of the run they came from. */
  #integrate(output: ScanOutput, root: Listing | undefined, run: Run | undefined): void {
    const listings: Listing[] = [];
    for (const directory of output.directories) {
      const isRoot = directory.parent === -1;
      if (isRoot && root !== undefined) {
        listings.push(root);
        continue;
      }
      const parent = isRoot ? (run as Run).listing : (listings[directory.parent] as Listing);
      const entry = isRoot ? ((run as Run).entries[directory.entry] as number) : directory.entry;
      const nameOffset = isRoot ? ((run as Run).nameOffsets[directory.entry] as number) : directory.nameOffset;
      const listing = this.#childListing(parent, entry, nameOffset, directory, output);
      parent.children.set(entry, listing);
      listings.push(listing);
      this.#entriesAhead += listing.count;
      this.#directoriesAhead++;
    }
    for (const map of output.maps) listings[map.listing]?.maps.set(map.entry, map);
    const rest: Run[] = [];
    for (const [i, directory] of output.directories.entries()) {
      if (directory.parent === -1) rest.push(...this.#unscanned(listings[i] as Listing));
    }
    if (run === undefined) {
      this.#runs.push(...rest.toReversed());
      return;
    }
    const { rootsDone } = output;
    const { listing, entries, nameOffsets } = run;
    if (rootsDone < entries.length) {
      rest.push({
        listing,
        entries: entries.slice(rootsDone),
        nameOffsets: nameOffsets.slice(rootsDone),
        request: undefined,
      });
    }
    this.#runs.splice(this.#runs.lastIndexOf(run), 1, ...rest.toReversed());
  }

  #childListing(
    parent: Listing,
    entry: number,
    nameOffset: number,
    directory: ScannedDirectory,
    output: ScanOutput,
  ): Listing {
    const length = parent.names[nameOffset + 1] as number;
    const name = parent.names.slice(nameOffset + 2, nameOffset + 2 + length);
    const stat = readStat(parent.stats, (entry - parent.statStart) * statLayout.size);
    const handle = this.#table.child(parent.handle, name, directory.fd < 0 ? undefined : directory.fd, stat);
    return newListing(handle, this.filter.empty ? noBytes : joinPath(parent.path, name), directory, output);
  }

  /** Runs of directories below a listing that are not scanned yet, in depth-first order. Scans nest less than 256 deep. */
  #unscanned(listing: Listing): Run[] {
    const runs: Run[] = [];
    let entries: number[] = [];
    let nameOffsets: number[] = [];
    const flush = (): void => {
      if (entries.length > 0) runs.push({ listing, entries, nameOffsets, request: undefined });
      entries = [];
      nameOffsets = [];
    };
    let nameAt = listing.nameOffset;
    for (let i = 0; i * statLayout.size < listing.stats.length; i++) {
      const entry = listing.statStart + i;
      const next = nameAt + 2 + (listing.names[nameAt + 1] as number);
      const known = listing.children.get(entry);
      if (known !== undefined) {
        flush();
        runs.push(...this.#unscanned(known));
      } else if ((listing.statView.getUint32(i * statLayout.size + statLayout.mode, true) & S_IFMT) === S_IFDIR) {
        const path = this.filter.empty ? noBytes : joinPath(listing.path, listing.names.subarray(nameAt + 2, next));
        if (this.isEntered(listing.statView, i * statLayout.size, path)) {
          entries.push(entry);
          nameOffsets.push(nameAt);
          if (entries.length === siblingsPerScan) flush();
        }
      }
      nameAt = next;
    }
    flush();
    return runs;
  }
}

function newListing(handle: DirectoryHandle, path: Uint8Array, found: ScannedDirectory, output: ScanOutput): Listing {
  const stats = output.stats.subarray(found.statsStart, found.statsStart + found.statsLength);
  return {
    handle,
    path,
    errno: found.errno,
    names: output.names.subarray(found.namesStart, found.namesStart + found.namesLength),
    count: found.count,
    stats,
    statView: viewOf(stats),
    statStart: 0,
    nameOffset: 0,
    maps: new Map(),
    children: new Map(),
  };
}

/** What a scan of the packed names gives when the directory that holds them is not there any more. */
function nothingScanned(names: Uint8Array, errno: number): ScanOutput {
  const none = { parent: -1, fd: -1, errno, namesStart: 0, namesLength: 0, count: 0, statsStart: 0, statsLength: 0 };
  const directories: ScannedDirectory[] = [];
  for (let at = 0; at < names.length; at += 2 + (names[at + 1] as number)) {
    directories.push({ ...none, entry: directories.length, nameOffset: at });
  }
  return { names: noBytes, stats: noBytes, directories, maps: [], rootsDone: directories.length };
}

/** Stat records of a call that failed for all. */
function failedStats(count: number, errno: number): Uint8Array {
  const stats = new Uint8Array(count * statLayout.size);
  const view = viewOf(stats);
  for (let i = 0; i < count; i++) view.setUint32(i * statLayout.size + statLayout.error, errno, true);
  return stats;
}

/** The names at the given offsets, packed in a buffer of their own. */
function packNames(names: Uint8Array, offsets: readonly number[]): Uint8Array {
  let length = 0;
  for (const at of offsets) length += 2 + (names[at + 1] as number);
  const packed = new Uint8Array(length);
  let to = 0;
  for (const at of offsets) {
    const end = at + 2 + (names[at + 1] as number);
    packed.set(names.subarray(at, end), to);
    to += end - at;
  }
  return packed;
}

function partOfNames(names: Uint8Array, offset: number, count: number): Uint8Array {
  let end = offset;
  for (let i = 0; i < count; i++) end += 2 + (names[end + 1] as number);
  return names.slice(offset, end);
}
