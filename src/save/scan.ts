// The scan job: lists directories with the stat of every entry, depth-first from the ones asked for, until its budget is used, so that one
// message carries about a block's worth of work. Directories stay open: the plan and the packers work below their descriptors.

import { limits } from "../base/limits.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import {
  O_DIRECTORY,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../sys/constants.ts";
import { EPERM } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { EntryFilter } from "./filter.ts";
import { unwrittenExtents } from "./metadata.ts";
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
import { dataSegments } from "./segments.ts";

/** Entries whose stat comes with the listing; a larger directory gets the rest by stat jobs, a part at a time. */
export const statsPerListing = 16_384;
/** Directories one scan keeps open at most. */
const directoriesPerScan = 256;
/** A file of several blocks with more data runs than this is read as if its smallest holes were data. */
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
  readonly #live: boolean;

  constructor(data: SaveWorkerData) {
    this.#sources = data.sources;
    this.#filters = data.sources.map((source) => new EntryFilter(source.filter));
    this.#largeBytes = data.compression.blockSize;
    this.#live = data.recheck;
  }

  scan(input: ScanInput): JobResult<ScanOutput> {
    const directories: ScannedDirectory[] = [];
    const maps: ScannedMap[] = [];
    let budget = input.budget;
    let rootsDone = 0;
    const stack: Pending[] = rootsOf(input).reverse();
    while (stack.length > 0 && (directories.length === 0 || (budget > 0 && directories.length < directoriesPerScan))) {
      const next = stack.pop() as Pending;
      const scanned = this.#list(next, (this.#sources[input.source] as SourceConfig).excludeCaches);
      const index = directories.push(scanned) - 1;
      if (next.parent === -1) rootsDone++;
      budget -= scanned.count + 1;
      if (scanned.fd >= 0) this.#descend(input.source, scanned, index, next.path, stack, maps);
    }
    const transfer = new Set<ArrayBuffer>();
    for (const { names, stats } of directories) {
      transfer.add(names.buffer as ArrayBuffer);
      transfer.add(stats.buffer as ArrayBuffer);
    }
    for (const { map } of maps) transfer.add(map.buffer as ArrayBuffer);
    transfer.delete(empty.buffer as ArrayBuffer);
    return { output: { directories, maps, rootsDone }, transfer: [...transfer] };
  }

  stat(input: StatInput): JobResult<StatOutput> {
    const { stats, nextOffset } = statRange(input.dirFd, input.names, input.offset, input.count);
    const maps: ScannedMap[] = [];
    this.#mapLargeFiles(input.dirFd, input.names, input.offset, stats, 0, maps);
    const transfer = [stats.buffer as ArrayBuffer, ...maps.map(({ map }) => map.buffer as ArrayBuffer)];
    return { output: { stats, nextOffset, maps }, transfer };
  }

  #list(pending: Pending, excludeCaches: boolean): ScannedDirectory {
    const { parent, entry, nameOffset } = pending;
    const native = addon();
    const none = { parent, entry, nameOffset, fd: -1, names: empty, count: 0, stats: empty };
    const fd = pending.name.length === 0 ? pending.parentFd : openDirectory(pending.parentFd, pending.name);
    if (fd < 0) return { ...none, errno: -fd };
    const listed = native.readDirectory(fd);
    if (typeof listed === "number") {
      if (pending.name.length > 0) native.close(fd);
      return { ...none, errno: -listed };
    }
    const names = excludeCaches && isCacheDirectory(fd) ? onlyName(listed, cacheTagName) : listed;
    const count = countNames(names);
    const { stats } = statRange(fd, names, 0, Math.min(count, statsPerListing));
    return { parent, entry, nameOffset, fd, errno: 0, names, count, stats };
  }

  /** Puts the child directories on the stack (the first on top) and maps the large files. */
  #descend(
    source: number,
    scanned: ScannedDirectory,
    index: number,
    path: Uint8Array,
    stack: Pending[],
    maps: ScannedMap[],
  ): void {
    const config = this.#sources[source] as SourceConfig;
    const filter = this.#filters[source] as EntryFilter;
    const view = new DataView(scanned.stats.buffer, scanned.stats.byteOffset, scanned.stats.byteLength);
    const children: Pending[] = [];
    let nameAt = 0;
    for (let i = 0; i * statLayout.size < scanned.stats.length; i++) {
      const length = scanned.names[nameAt + 1] as number;
      const at = i * statLayout.size;
      const mode = view.getUint32(at + statLayout.mode, true);
      if ((mode & S_IFMT) === S_IFDIR && view.getUint32(at + statLayout.error, true) === 0) {
        const name = scanned.names.subarray(nameAt + 2, nameAt + 2 + length);
        const childPath = filter.empty ? path : joinPath(path, name);
        if (isEnterable(config, view, at) && (filter.empty || filter.accepts(childPath, true))) {
          children.push({ parent: index, entry: i, nameOffset: nameAt, parentFd: scanned.fd, name, path: childPath });
        }
      }
      nameAt += 2 + length;
    }
    this.#mapLargeFiles(scanned.fd, scanned.names, 0, scanned.stats, index, maps);
    for (let i = children.length - 1; i >= 0; i--) stack.push(children[i] as Pending);
  }

  /** Files of several blocks: the plan needs to know where their data is before it cuts them. */
  #mapLargeFiles(
    dirFd: number,
    names: Uint8Array,
    offset: number,
    stats: Uint8Array,
    listing: number,
    maps: ScannedMap[],
  ): void {
    const view = new DataView(stats.buffer, stats.byteOffset, stats.byteLength);
    let nameAt = offset;
    for (let entry = 0; entry * statLayout.size < stats.length; entry++) {
      const length = names[nameAt + 1] as number;
      const at = entry * statLayout.size;
      const size = Number(view.getBigInt64(at + statLayout.sizeBytes, true));
      if (size > this.#largeBytes && (view.getUint32(at + statLayout.mode, true) & S_IFMT) === S_IFREG) {
        maps.push({
          listing,
          entry,
          ...mapFile(dirFd, names.subarray(nameAt + 2, nameAt + 2 + length), size, this.#live),
        });
      }
      nameAt += 2 + length;
    }
  }
}

/** A directory that belongs to the save: on the root's device, unless other file systems are to be crossed into. */
export function isEnterable(config: SourceConfig, stat: DataView, at: number): boolean {
  return (
    config.crossMounts ||
    (stat.getUint32(at + statLayout.devMajor, true) === config.devMajor &&
      stat.getUint32(at + statLayout.devMinor, true) === config.devMinor)
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
const cacheTagSignature = Buffer.from("Signature: 8a477f597d28d172789f06886806bc55");

/** Holds a valid CACHEDIR.TAG (https://bford.info/cachedir/). */
function isCacheDirectory(dirFd: number): boolean {
  const native = addon();
  const fd = native.openAt(dirFd, cacheTagName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0);
  if (fd < 0) return false;
  const start = Buffer.alloc(cacheTagSignature.length);
  const read = native.read(fd, start, 0, start.length, 0);
  native.close(fd);
  return read === start.length && start.equals(cacheTagSignature);
}

function onlyName(names: Uint8Array, wanted: Uint8Array): Uint8Array {
  for (let at = 0; at < names.length; at += 2 + (names[at + 1] as number)) {
    const end = at + 2 + (names[at + 1] as number);
    if (Buffer.compare(names.subarray(at + 2, end), wanted) === 0) return names.slice(at, end);
  }
  return names.slice(0, 0);
}

/** Reading a directory must not change its access time where we may prevent it. */
function openDirectory(dirFd: number, name: Uint8Array): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const fd = addon().openAt(dirFd, name, flags | O_NOATIME, 0, 0);
  return fd === -EPERM ? addon().openAt(dirFd, name, flags, 0, 0) : fd;
}

function countNames(names: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < names.length; at += 2 + (names[at + 1] as number)) count++;
  return count;
}

function statRange(
  dirFd: number,
  names: Uint8Array,
  offset: number,
  count: number,
): { stats: Uint8Array; nextOffset: number } {
  const stats = new Uint8Array(count * statLayout.size);
  const nextOffset = count === 0 ? offset : addon().statNames(dirFd, names, offset, count, stats);
  if (nextOffset < 0) throw new Error(`statNames failed: ${nextOffset}`);
  return { stats, nextOffset };
}

function mapFile(dirFd: number, name: Uint8Array, size: number, live: boolean): { errno: number; map: Float64Array } {
  const native = addon();
  const fd = native.openAt(dirFd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0);
  if (fd < 0) return { errno: -fd, map: new Float64Array(0) };
  try {
    const runs = dataSegments(fd, size, mapLimit, unwrittenExtents(fd, live));
    return { errno: 0, map: runs ?? Float64Array.of(0, size) };
  } finally {
    native.close(fd);
  }
}
