// The plan: walks a source in depth-first order, numbers its entries and cuts them into jobs before any content is read.
// Invariant: what it decides depends on names, types and sizes only, so the archive is the same whatever the number of workers and their timing.

import { limits } from "../base/limits.ts";
import { EntryKind } from "../model/entry.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../sys/constants.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { EINVAL, EIO, ENAMETOOLONG } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { batchFlags } from "./batch.ts";
import { JobCutter, type PlannedEntry, type PlannedJob } from "./job-cutter.ts";
import { LinkTable } from "./links.ts";
import { MemberPath } from "../format/member-path.ts";
import type { Listing, ScanAhead } from "./scan-ahead.ts";
import { type LargeFilePlan, planLargeFile } from "./slices.ts";

export interface PlanOptions {
  readonly scan: ScanAhead;
  readonly root: DirectoryHandle;
  /** Stat record of the root. */
  readonly rootStat: Uint8Array;
  /** Member name prefix: `./`, `0/`, … */
  readonly prefix: Uint8Array;
  readonly firstEntry: number;
  readonly blockSize: number;
  /** True for the archive being written: it is never saved into itself. */
  readonly isArchive: (stat: DataView, at: number) => boolean;
  readonly signal: AbortSignal;
}

interface Frame {
  readonly listing: Listing;
  /** Next entry, and where its name stands. */
  entry: number;
  nameOffset: number;
  /** Below a directory that cannot be archived: walked to keep in step with the scan, and left out. */
  readonly dropped: boolean;
}

const tarHeader = 512;
const noBytes = new Uint8Array(0);
/** uid or gid −1 means "no owner" to every chown: such an entry cannot be restored. */
const noOwner = 0xffffffff;

/** Walks one source and hands out its jobs in order. Returns the number after its last entry. */
export async function* planSource(options: PlanOptions): AsyncGenerator<PlannedJob, number> {
  const { scan, blockSize, root } = options;
  const path = new MemberPath(options.prefix);
  const jobs = new JobCutter(path, options.firstEntry, blockSize);
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
    const nameEnd = frame.nameOffset + 2 + (listing.names[frame.nameOffset + 1] as number);
    const name = listing.names.subarray(frame.nameOffset + 2, nameEnd);
    const index = frame.entry++;
    frame.nameOffset = nameEnd;
    const entryPath = scan.filter.empty ? noBytes : path.join(name).subarray(options.prefix.length);
    const entered = scan.isEntered(listing.statView, at, entryPath);
    const child = entered ? await scan.child(listing, index) : undefined;
    if (!entered && !planner.accepts(listing, at, entryPath)) continue;
    let dropped = frame.dropped;
    if (!dropped) {
      const entry = planner.plan(listing, index, at, name, child?.errno ?? 0);
      dropped = entry.kind === EntryKind.absent;
      if (jobs.isFull(entry.estimate, entry.large !== undefined)) yield jobs.take() as PlannedJob;
      jobs.add(entry, false);
      if (entry.large !== undefined) yield jobs.take() as PlannedJob;
    }
    if (child !== undefined) {
      path.enter(name);
      stack.push({ listing: child, entry: 0, nameOffset: 0, dropped });
    }
  }
  const last = jobs.take();
  if (last !== undefined) yield last;
  return jobs.nextEntry;
}

const kindOfType: Readonly<Record<number, EntryKind>> = {
  [S_IFREG]: EntryKind.file,
  [S_IFDIR]: EntryKind.directory,
  [S_IFLNK]: EntryKind.symlink,
  [S_IFCHR]: EntryKind.charDevice,
  [S_IFBLK]: EntryKind.blockDevice,
  [S_IFIFO]: EntryKind.fifo,
  [S_IFSOCK]: EntryKind.socket,
};

/** Turns what the scan saw of an entry into what the job cutter takes. */
class EntryPlanner {
  readonly #options: PlanOptions;
  readonly #path: MemberPath;
  readonly #jobs: JobCutter;
  readonly #links = new LinkTable();

  constructor(options: PlanOptions, path: MemberPath, jobs: JobCutter) {
    this.#options = options;
    this.#path = path;
    this.#jobs = jobs;
  }

  addRoot(handle: DirectoryHandle, stats: Uint8Array, errno: number): void {
    const entry = { handle, name: noBytes, kind: EntryKind.directory, flags: 0, depth: 0, errno };
    const none = { linkEntry: -1, linkPath: noBytes, large: undefined };
    this.#jobs.add({ ...entry, ...none, stats, statOffset: 0, estimate: tarHeader }, true);
  }

  /** Not left out by a filter, and not the archive itself. Directories that are entered have been asked already. */
  accepts(listing: Listing, at: number, entryPath: Uint8Array): boolean {
    const { scan, isArchive } = this.#options;
    const view = listing.statView;
    if (isArchive(view, at)) return false;
    if (scan.filter.empty) return true;
    const isDirectory = (view.getUint32(at + statLayout.mode, true) & S_IFMT) === S_IFDIR;
    return scan.filter.accepts(entryPath, isDirectory);
  }

  plan(listing: Listing, index: number, at: number, name: Uint8Array, childErrno: number): PlannedEntry {
    const view = listing.statView;
    const { blockSize } = this.#options;
    const entry = {
      handle: listing.handle,
      name,
      flags: 0,
      depth: this.#path.depth + 1,
      errno: childErrno,
      stats: listing.stats,
      statOffset: at,
      linkEntry: -1,
      linkPath: noBytes,
      estimate: tarHeader,
      large: undefined,
    };
    const absentErrno = this.#absentErrno(view, at, name);
    if (absentErrno !== 0) return { ...entry, kind: EntryKind.absent, errno: absentErrno };
    const kind = kindOfType[view.getUint32(at + statLayout.mode, true) & S_IFMT] ?? EntryKind.absent;
    if (kind === EntryKind.absent) return { ...entry, kind, errno: EIO };
    if (kind === EntryKind.directory) return { ...entry, kind };
    const map = listing.maps.get(index);
    if (map !== undefined && map.errno !== 0) return { ...entry, kind: EntryKind.absent, errno: map.errno };

    let flags = 0;
    const nlink = view.getUint32(at + statLayout.nlink, true);
    if (nlink > 1) {
      const device =
        view.getUint32(at + statLayout.devMajor, true) * 2 ** 20 + view.getUint32(at + statLayout.devMinor, true);
      const inode = view.getBigUint64(at + statLayout.ino, true);
      const target = this.#links.find(device, inode);
      if (target !== undefined) {
        // A socket has no member that tar could link to.
        if (kind === EntryKind.socket) return { ...entry, kind, linkEntry: target.entry };
        return { ...entry, kind: EntryKind.hardlink, linkEntry: target.entry, linkPath: target.path };
      }
      // The number it will get: taking the open job first does not change it.
      this.#links.add(device, inode, nlink, { entry: this.#jobs.nextEntry, path: this.#path.join(name) });
      flags = batchFlags.linked;
    }
    if (kind !== EntryKind.file) return { ...entry, kind, flags };
    const size = Number(view.getBigInt64(at + statLayout.sizeBytes, true));
    let large: LargeFilePlan | undefined;
    if (size > blockSize) large = planLargeFile(map?.map ?? Float64Array.of(0, size), size);
    const allocated = Number(view.getBigInt64(at + statLayout.blocks, true)) * 512;
    const content = Math.min(Math.ceil(size / 512) * 512, allocated + 4096);
    return { ...entry, kind, flags, estimate: tarHeader + content, large };
  }

  /** Why an entry cannot be archived at all; 0: it can. */
  #absentErrno(view: DataView, at: number, name: Uint8Array): number {
    const errno = view.getUint32(at + statLayout.error, true);
    if (errno !== 0) return errno;
    if (view.getUint32(at + statLayout.uid, true) === noOwner || view.getUint32(at + statLayout.gid, true) === noOwner)
      return EINVAL;
    if (this.#path.length + name.length + 1 > limits.pathBytes || this.#path.depth >= limits.depth) return ENAMETOOLONG;
    return 0;
  }
}
