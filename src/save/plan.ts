// The plan: walks a source in depth-first order, numbers its entries and cuts them into jobs before any content is read.
// Invariant: what it decides depends on names, types and sizes only, so the archive is the same whatever the number of workers and their timing.

import { viewOf } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { EntryKind } from "../model/entry.ts";
import { S_IFDIR, S_IFMT } from "../sys/constants.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { EFBIG, EINVAL, EIO, ENAMETOOLONG } from "../sys/errors.ts";
import { entryFlags, readInt64, readUint64, statLayout } from "../sys/layout.ts";
import { kindOfMode } from "../sys/stat.ts";
import { maybeSubvolume } from "../sys/subvolume.ts";
import type { ArchiveFiles } from "./archive-files.ts";
import { type Cursor, JobCutter, type PlannedEntry, type PlannedJob } from "./job-cutter.ts";
import { LinkTable } from "./links.ts";
import { MemberPath } from "../format/member-path.ts";
import type { Listing, ScanAhead } from "./scan-ahead.ts";
import { planLargeFile } from "./slices.ts";

export interface PlanOptions {
  readonly scan: ScanAhead;
  readonly root: DirectoryHandle;
  /** Stat record of the root. */
  readonly rootStat: Uint8Array;
  /** Member name prefix: `./`, `0/`, … */
  readonly prefix: Uint8Array;
  readonly firstEntry: number;
  readonly blockSize: number;
  /** They are not saved. */
  readonly archive: ArchiveFiles;
  readonly signal: AbortSignal;
}

interface Frame extends Cursor {
  readonly listing: Listing;
  /** Below a directory that cannot be archived: walked to keep in step with the scan, and left out. */
  readonly dropped: boolean;
}

const tarHeader = 512;
/** Longer names stand in the extended header. */
const nameField = 100;
const noBytes = new Uint8Array(0);
const noStats = new DataView(new ArrayBuffer(0));
/** uid or gid −1 means "no owner" to every chown: such an entry cannot be restored. */
const noOwner = 0xffffffff;
/** A sparse file may be larger on some file systems; no number of ours holds it. */
const sizeMax = BigInt(Number.MAX_SAFE_INTEGER);

/** Walks one source and hands out its jobs in order. Returns the number after its last entry. */
export async function* planSource(options: PlanOptions): AsyncGenerator<PlannedJob, number> {
  const { scan, blockSize, root } = options;
  const path = new MemberPath(options.prefix);
  const jobs = new JobCutter(path, options.firstEntry, blockSize, options.archive.inodes);
  const planner = new EntryPlanner(options, path, jobs);
  const rootListing = await scan.root(root);
  planner.addRoot(root, options.rootStat, rootListing.errno);
  const stack: Frame[] = [{ listing: rootListing, entry: 0, nameOffset: 0, dropped: false }];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const { listing } = frame;
    if (frame.entry >= listing.count) {
      stack.pop();
      if (stack.length > 0) listing.handle.dispose();
      path.leave();
      continue;
    }
    const at = (frame.entry - listing.statStart) * statLayout.size;
    if (at >= listing.stats.length) {
      await scan.moreStats(listing, frame.nameOffset);
      continue;
    }
    options.signal.throwIfAborted();
    const nameStart = frame.nameOffset + 2;
    const nameEnd = nameStart + (listing.names[nameStart - 1] as number);
    const index = frame.entry++;
    frame.nameOffset = nameEnd;
    const entryPath = scan.filter.empty
      ? noBytes
      : path.join(listing.names.subarray(nameStart, nameEnd)).subarray(options.prefix.length);
    const entered = scan.isEntered(listing.statView, at, entryPath);
    const child = entered ? await scan.child(listing, index) : undefined;
    if (!entered && !planner.accepts(listing, at, entryPath)) continue;
    let dropped = frame.dropped;
    if (!dropped) {
      const entry = planner.plan(listing, index, at, nameStart, child?.errno ?? 0);
      dropped = entry.kind === EntryKind.absent;
      if (jobs.isFull(entry)) yield jobs.take() as PlannedJob;
      jobs.add(entry);
      if (entry.large !== undefined) yield jobs.take() as PlannedJob;
      else if (child === undefined && scan.filter.empty && !isOneOfSeveral(entry)) jobs.addPlain(listing, frame);
    }
    if (child !== undefined) {
      path.enter(listing.names.subarray(nameStart, nameEnd));
      stack.push({ listing: child, entry: 0, nameOffset: 0, dropped });
    }
  }
  const last = jobs.take();
  if (last !== undefined) yield last;
  return jobs.nextEntry;
}

/** A name of an inode with several: they come in crowds, so that what follows is seldom plain. */
function isOneOfSeveral({ linkEntry, flags }: PlannedEntry): boolean {
  return linkEntry >= 0 || (flags & entryFlags.linked) !== 0;
}

/** Bytes of the extended header that an entry's names and its time ask for, about; its attributes are not known yet. */
function extendedHeader(pathLength: number, linkLength: number, isWholeSecond: boolean): number {
  const names = (pathLength > nameField ? pathLength : 0) + (linkLength > nameField ? linkLength : 0);
  return names === 0 && isWholeSecond ? 0 : 2 * tarHeader + names;
}

function newEntry(handle: DirectoryHandle): PlannedEntry {
  return {
    handle,
    kind: EntryKind.directory,
    flags: 0,
    depth: 0,
    errno: 0,
    names: noBytes,
    nameStart: 0,
    nameLength: 0,
    stats: noStats,
    statOffset: 0,
    linkEntry: -1,
    linkPath: noBytes,
    estimate: tarHeader,
    large: undefined,
  };
}

/** Turns what the scan saw of an entry into what the job cutter takes. */
class EntryPlanner {
  readonly #options: PlanOptions;
  readonly #path: MemberPath;
  readonly #jobs: JobCutter;
  readonly #links = new LinkTable();
  #entry: PlannedEntry | undefined;

  constructor(options: PlanOptions, path: MemberPath, jobs: JobCutter) {
    this.#options = options;
    this.#path = path;
    this.#jobs = jobs;
  }

  addRoot(handle: DirectoryHandle, stats: Uint8Array, errno: number): void {
    const entry = newEntry(handle);
    entry.stats = viewOf(stats);
    entry.errno = errno;
    this.#jobs.add(entry);
  }

  /** Not left out by a filter, and not the archive itself. Directories that are entered have been asked already. */
  accepts(listing: Listing, at: number, entryPath: Uint8Array): boolean {
    const { scan, archive } = this.#options;
    const view = listing.statView;
    if (archive.includes(view, at)) return false;
    if (scan.filter.empty) return true;
    const isDirectory = (view.getUint32(at + statLayout.mode, true) & S_IFMT) === S_IFDIR;
    return scan.filter.accepts(entryPath, isDirectory);
  }

  /** The entry at `nameStart` and `at` of a listing, in an object that the next call uses again. */
  plan(listing: Listing, index: number, at: number, nameStart: number, childErrno: number): PlannedEntry {
    const entry = (this.#entry ??= newEntry(listing.handle));
    const view = listing.statView;
    const nameLength = listing.names[nameStart - 1] as number;
    entry.handle = listing.handle;
    entry.flags = 0;
    entry.depth = this.#path.depth + 1;
    entry.errno = childErrno;
    entry.names = listing.names;
    entry.nameStart = nameStart;
    entry.nameLength = nameLength;
    entry.stats = view;
    entry.statOffset = at;
    entry.linkEntry = -1;
    entry.linkPath = noBytes;
    entry.large = undefined;
    entry.kind = kindOfMode(view.getUint32(at + statLayout.mode, true));
    if (entry.kind === EntryKind.directory && maybeSubvolume(view, at)) entry.flags = entryFlags.subvolume;
    const map = listing.maps.get(index);
    const absentErrno = this.#absentErrno(view, at, nameLength, entry.kind) || (map?.errno ?? 0);
    entry.estimate = tarHeader;
    if (absentErrno !== 0) {
      entry.kind = EntryKind.absent;
      entry.errno = absentErrno;
      return entry;
    }
    const isFurther =
      entry.kind !== EntryKind.directory &&
      view.getUint32(at + statLayout.nlink, true) > 1 &&
      this.#isFurtherName(entry, view, at);
    const size = readInt64(view, at + statLayout.sizeBytes);
    const linkLength = entry.kind === EntryKind.symlink ? size : entry.linkPath.length;
    const isWholeSecond = view.getUint32(at + statLayout.mtimeNs, true) === 0;
    entry.estimate += extendedHeader(this.#path.length + nameLength, linkLength, isWholeSecond);
    if (isFurther || entry.kind !== EntryKind.file) return entry;
    if (size > this.#options.blockSize) entry.large = planLargeFile(map?.map ?? Float64Array.of(0, size), size);
    const allocated = readInt64(view, at + statLayout.blocks) * 512;
    entry.estimate += Math.min(Math.ceil(size / 512) * 512, allocated + 4096);
    return entry;
  }

  /** Makes the entry a link if its inode has been seen; else remembers it. */
  #isFurtherName(entry: PlannedEntry, view: DataView, at: number): boolean {
    const device =
      view.getUint32(at + statLayout.devMajor, true) * 2 ** 20 + view.getUint32(at + statLayout.devMinor, true);
    const inode = readUint64(view, at + statLayout.ino);
    const target = this.#links.find(device, inode);
    if (target === undefined) {
      const name = entry.names.subarray(entry.nameStart, entry.nameStart + entry.nameLength);
      const nlink = view.getUint32(at + statLayout.nlink, true);
      // The number it will get: taking the open job first does not change it.
      this.#links.add(device, inode, nlink, { entry: this.#jobs.nextEntry, path: this.#path.join(name) });
      entry.flags = entryFlags.linked;
      return false;
    }
    entry.linkEntry = target.entry;
    // A socket has no member that tar could link to.
    if (entry.kind !== EntryKind.socket) {
      entry.kind = EntryKind.hardlink;
      entry.linkPath = target.path;
    }
    return true;
  }

  /** Why an entry cannot be archived at all; 0: it can. */
  #absentErrno(view: DataView, at: number, nameLength: number, kind: EntryKind): number {
    const errno = view.getUint32(at + statLayout.error, true);
    if (errno !== 0) return errno;
    if (kind === EntryKind.absent) return EIO;
    if (view.getBigInt64(at + statLayout.sizeBytes, true) > sizeMax) return EFBIG;
    if (view.getUint32(at + statLayout.uid, true) === noOwner || view.getUint32(at + statLayout.gid, true) === noOwner)
      return EINVAL;
    if (this.#path.length + nameLength + 1 > limits.pathBytes || this.#path.depth >= limits.depth) return ENAMETOOLONG;
    return 0;
  }
}
