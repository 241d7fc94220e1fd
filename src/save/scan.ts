// The scan job: lists directories with the stat of every entry, depth-first from the ones asked for, until its budget is used, so that one
// message carries about a block's worth of work. Directories stay open: the plan and the packers work below their descriptors.

import { equalBytes, viewOf } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY, S_IFDIR, S_IFMT, S_IFREG } from "../sys/constants.ts";
import { check } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { EntryFilter } from "./filter.ts";
import { fileExtents } from "../sys/gathered.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import type {
  SaveWorkerData,
  ScanInput,
  ScannedDirectory,
  ScannedMap,
  ScanOutput,
  SourceConfig,
  StatInput,
  StatOutput,
} from "./protocol.ts";
import { dataSegments } from "../sys/data-runs.ts";
import { isOnMount } from "../sys/subvolume.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { Trees } from "./source-trees.ts";

/** Entries whose stat comes with the listing; a larger directory gets the rest by stat jobs, a part at a time. */
export const statsPerListing = 16_384;
/** Directories one scan keeps open at most; fewer where the process may open few. */
const directoriesPerScanMax = 256;
/** A file of several blocks with more data runs than this is read as if it had no holes. */
const mapLimit = 4 * limits.sparseSegments;

const empty = new Uint8Array(0);

interface Pending {
  readonly parent: number;
  readonly entry: number;
  readonly nameOffset: number;
  readonly parentFd: number;
  readonly name: Uint8Array;
  readonly path: Uint8Array;
}

export class Scanner {
  readonly #filters: readonly EntryFilter[];
  readonly #sources: readonly SourceConfig[];
  readonly #largeBytes: number;
  readonly #directoriesMax: number;
  readonly #live: boolean;
  readonly #trees: Trees;

  constructor(data: SaveWorkerData, trees: Trees) {
    this.#trees = trees;
    this.#sources = data.sources;
    this.#filters = data.sources.map((source) => new EntryFilter(source.filter));
    this.#largeBytes = data.compression.blockSize;
    this.#directoriesMax = Math.max(8, Math.min(directoriesPerScanMax, Math.floor(addon().openFileLimit() / 16)));
    this.#live = data.recheck;
  }

  scan(input: ScanInput): JobResult<ScanOutput> {
    const tree = this.#trees.of(input.source);
    const arena = new Arena(tree);
    const directories: ScannedDirectory[] = [];
    const maps: ScannedMap[] = [];
    let budget = input.budget;
    let rootsDone = 0;
    const stack: Pending[] = rootsOf(input).toReversed();
    while (
      stack.length > 0 &&
      (directories.length === 0 || (budget > 0 && directories.length < this.#directoriesMax))
    ) {
      const next = stack.pop() as Pending;
      const scanned = this.#list(tree, next, (this.#sources[input.source] as SourceConfig).excludeCaches, arena);
      const index = directories.push(scanned) - 1;
      if (next.parent === -1) rootsDone++;
      budget -= scanned.count + 1;
      if (scanned.fd >= 0) this.#descend(tree, input.source, scanned, arena, index, next.path, stack, maps);
    }
    const { names, stats } = arena.finish();
    const transfer = [names.buffer, stats.buffer, ...maps.map(({ map }) => map.buffer)] as ArrayBuffer[];
    return { output: { names, stats, directories, maps, rootsDone }, transfer };
  }

  stat(input: StatInput): JobResult<StatOutput> {
    const stats = new Uint8Array(input.count * statLayout.size);
    const tree = this.#trees.of(input.source);
    const nextOffset = statInto(tree, input.dirFd, input.names, input.offset, input.count, stats);
    const maps: ScannedMap[] = [];
    this.#mapLargeFiles(tree, input.dirFd, input.names, input.offset, stats, 0, maps);
    const transfer = [stats.buffer, ...maps.map(({ map }) => map.buffer as ArrayBuffer)];
    return { output: { stats, nextOffset, maps }, transfer };
  }

  #list(tree: TreeSource, pending: Pending, excludeCaches: boolean, arena: Arena): ScannedDirectory {
    const { parent, entry, nameOffset } = pending;
    const at = arena.end();
    const none = { parent, entry, nameOffset, fd: -1, ...at, namesLength: 0, count: 0, statsLength: 0 };
    const fd =
      pending.name.length === 0 ? pending.parentFd : openQuietly(pending.parentFd, pending.name, O_DIRECTORY, tree);
    if (fd < 0) return { ...none, errno: -fd };
    const listed = tree.readDirectory(fd);
    if (typeof listed === "number") {
      if (pending.name.length > 0) tree.close(fd);
      return { ...none, errno: -listed };
    }
    const tag = excludeCaches ? cacheTag(tree, fd, listed) : undefined;
    const names = tag ?? listed;
    const count = countNames(names);
    const statsLength = arena.add(fd, names, Math.min(count, statsPerListing));
    return { parent, entry, nameOffset, fd, errno: 0, ...at, namesLength: names.length, count, statsLength };
  }

  /** Puts the child directories on the stack (the first on top) and maps the large files. */
  #descend(
    tree: TreeSource,
    source: number,
    scanned: ScannedDirectory,
    arena: Arena,
    index: number,
    path: Uint8Array,
    stack: Pending[],
    maps: ScannedMap[],
  ): void {
    const config = this.#sources[source] as SourceConfig;
    const filter = this.#filters[source] as EntryFilter;
    const { names, stats } = arena.of(scanned);
    const view = viewOf(stats);
    const children: Pending[] = [];
    let nameAt = 0;
    for (let i = 0; i * statLayout.size < stats.length; i++) {
      const length = names[nameAt + 1] as number;
      const at = i * statLayout.size;
      const mode = view.getUint32(at + statLayout.mode, true);
      if ((mode & S_IFMT) === S_IFDIR && view.getUint32(at + statLayout.error, true) === 0) {
        const name = names.slice(nameAt + 2, nameAt + 2 + length);
        const childPath = filter.empty ? path : joinPath(path, name);
        if (isEnterable(config, view, at) && (filter.empty || filter.accepts(childPath, true))) {
          children.push({ parent: index, entry: i, nameOffset: nameAt, parentFd: scanned.fd, name, path: childPath });
        }
      }
      nameAt += 2 + length;
    }
    this.#mapLargeFiles(tree, scanned.fd, names, 0, stats, index, maps);
    for (let i = children.length - 1; i >= 0; i--) stack.push(children[i] as Pending);
  }

  /** Files of several blocks: the plan needs to know where their data is before it cuts them. */
  #mapLargeFiles(
    tree: TreeSource,
    dirFd: number,
    names: Uint8Array,
    offset: number,
    stats: Uint8Array,
    listing: number,
    maps: ScannedMap[],
  ): void {
    const view = viewOf(stats);
    let nameAt = offset;
    for (let entry = 0; entry * statLayout.size < stats.length; entry++) {
      const length = names[nameAt + 1] as number;
      const at = entry * statLayout.size;
      const size = Number(view.getBigInt64(at + statLayout.sizeBytes, true));
      if (
        size > this.#largeBytes &&
        Number.isSafeInteger(size) &&
        (view.getUint32(at + statLayout.mode, true) & S_IFMT) === S_IFREG
      ) {
        maps.push({
          listing,
          entry,
          ...mapFile(tree, dirFd, names.subarray(nameAt + 2, nameAt + 2 + length), size, this.#live),
        });
      }
      nameAt += 2 + length;
    }
  }
}

/** Names and stat records of all directories of a scan: two buffers, so that two move and not two for each directory. */
class Arena {
  readonly #tree: TreeSource;
  #names = new Uint8Array(64 * 1024);
  #stats = new Uint8Array(512 * 1024);
  #namesLength = 0;
  #statsLength = 0;

  constructor(tree: TreeSource) {
    this.#tree = tree;
  }

  /** Where the next directory's names and stats start. */
  end(): { readonly namesStart: number; readonly statsStart: number } {
    return { namesStart: this.#namesLength, statsStart: this.#statsLength };
  }

  /** Adds a directory's names and the stats of the first `count` of them; returns the bytes of the stats. */
  add(dirFd: number, names: Uint8Array, count: number): number {
    const statsLength = count * statLayout.size;
    this.#names = grown(this.#names, this.#namesLength, names.length);
    this.#stats = grown(this.#stats, this.#statsLength, statsLength);
    this.#names.set(names, this.#namesLength);
    statInto(
      this.#tree,
      dirFd,
      names,
      0,
      count,
      this.#stats.subarray(this.#statsLength, this.#statsLength + statsLength),
    );
    this.#namesLength += names.length;
    this.#statsLength += statsLength;
    return statsLength;
  }

  /** Views of a directory's part, valid until the next add(). */
  of(scanned: ScannedDirectory): { readonly names: Uint8Array; readonly stats: Uint8Array } {
    const { namesStart, namesLength, statsStart, statsLength } = scanned;
    return {
      names: this.#names.subarray(namesStart, namesStart + namesLength),
      stats: this.#stats.subarray(statsStart, statsStart + statsLength),
    };
  }

  finish(): { readonly names: Uint8Array; readonly stats: Uint8Array } {
    return { names: this.#names.slice(0, this.#namesLength), stats: this.#stats.slice(0, this.#statsLength) };
  }
}

/** `bytes`, or a larger copy of its first `length` with room for `more`. */
function grown(bytes: Uint8Array<ArrayBuffer>, length: number, more: number): Uint8Array<ArrayBuffer> {
  if (length + more <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.max(bytes.length * 2, length + more));
  larger.set(bytes.subarray(0, length));
  return larger;
}

/** A directory that belongs to the save: on the root's device or a subvolume on its mount, unless other file systems are to be crossed into. */
export function isEnterable(config: SourceConfig, stat: DataView, at: number): boolean {
  return (
    config.crossMounts ||
    (stat.getUint32(at + statLayout.devMajor, true) === config.devMajor &&
      stat.getUint32(at + statLayout.devMinor, true) === config.devMinor) ||
    isOnMount(stat, at, config.mountId)
  );
}

export function joinPath(path: Uint8Array, name: Uint8Array): Uint8Array {
  if (path.length === 0) return name.slice();
  const joined = new Uint8Array(path.length + 1 + name.length);
  joined.set(path);
  joined[path.length] = 0x2f;
  joined.set(name, path.length + 1);
  return joined;
}

function rootsOf(input: ScanInput): Pending[] {
  if (input.names.length === 0) {
    return [{ parent: -1, entry: 0, nameOffset: 0, parentFd: input.dirFd, name: empty, path: input.path }];
  }
  const roots: Pending[] = [];
  for (let at = 0; at < input.names.length; ) {
    const length = input.names[at + 1] as number;
    const name = input.names.subarray(at + 2, at + 2 + length);
    const path = joinPath(input.path, name);
    roots.push({ parent: -1, entry: roots.length, nameOffset: at, parentFd: input.dirFd, name, path });
    at += 2 + length;
  }
  return roots;
}

const cacheTagName = Buffer.from("CACHEDIR.TAG");
// d_type of getdents64(2), dirent.h: DT_REG, DT_UNKNOWN.
const typeRegular = 8;
const typeUnknown = 0;
const cacheTagSignature = Buffer.from("Signature: 8a477f597d28d172789f06886806bc55");

/** The packed name of a valid CACHEDIR.TAG (https://bford.info/cachedir/) among the names of a directory. */
function cacheTag(tree: TreeSource, dirFd: number, names: Uint8Array): Uint8Array | undefined {
  const tag = findName(names, cacheTagName);
  // Opening anything but a regular file could do more than tell its content.
  if (tag === undefined || (tag[0] !== typeRegular && tag[0] !== typeUnknown)) return undefined;
  const fd = openQuietly(dirFd, cacheTagName, 0, tree);
  if (fd < 0) return undefined;
  const start = Buffer.alloc(cacheTagSignature.length);
  const read = tree.read(fd, start, 0, start.length, 0);
  tree.close(fd);
  return read === start.length && start.equals(cacheTagSignature) ? tag : undefined;
}

/** The packed record of a name. */
function findName(names: Uint8Array, wanted: Uint8Array): Uint8Array | undefined {
  for (let at = 0; at < names.length; at += 2 + (names[at + 1] as number)) {
    const end = at + 2 + (names[at + 1] as number);
    if (equalBytes(names.subarray(at + 2, end), wanted)) return names.slice(at, end);
  }
  return undefined;
}

function countNames(names: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < names.length; at += 2 + (names[at + 1] as number)) count++;
  return count;
}

/** Stat records of `count` names from `offset` on; returns the offset after them. */
function statInto(
  tree: TreeSource,
  dirFd: number,
  names: Uint8Array,
  offset: number,
  count: number,
  stats: Uint8Array,
): number {
  return count === 0 ? offset : check(tree.statNames(dirFd, names, offset, count, stats), "statx");
}

function mapFile(
  tree: TreeSource,
  dirFd: number,
  name: Uint8Array,
  size: number,
  live: boolean,
): { errno: number; map: Float64Array } {
  const fd = openQuietly(dirFd, name, 0, tree);
  if (fd < 0) return { errno: -fd, map: new Float64Array(0) };
  try {
    const runs = dataSegments(fd, size, mapLimit, fileExtents(fd, live, tree).unwritten, tree);
    return { errno: 0, map: runs ?? Float64Array.of(0, size) };
  } finally {
    tree.close(fd);
  }
}
