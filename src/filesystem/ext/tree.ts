// The calls of a tree (sys/tree-source.ts) answered by the block-level reader: what the addon says of a mounted ext file system, said of one that is not.
// Descriptors are inode numbers: nothing is held open. Content is read in the order it has on the device.

import { viewOf } from "../../base/bytes.ts";
import { EntryKind } from "../../model/entry.ts";
import type { BytesResult, Result } from "../../sys/addon.ts";
import { O_DIRECTORY, O_NOFOLLOW } from "../../sys/constants.ts";
import { ELOOP, ENOENT, ENOKEY, ENOSPC, ENOTDIR, EOVERFLOW, ESTALE, EUCLEAN } from "../../sys/errors.ts";
import { statLayout } from "../../sys/layout.ts";
import type { TreeSource } from "../../sys/tree-source.ts";
import { type ExtDirectory, findName } from "./directory.ts";
import { FileReads } from "./file-reads.ts";
import type { ExtFilesystem } from "./filesystem.ts";
import { errnoOfFailure, ExtFlaw } from "./flaw.ts";
import { type ExtInode, inodeFlags } from "./inode.ts";
import { KnownRuns } from "./known-runs.ts";
import { type FileLayout, type GatherFields, writeGathered, writeGatherError, writeStat } from "./layout.ts";

const kindMask = 0xf000;
/** Type bits of each kind that can be opened or read. */
const typeOfKind: Readonly<Record<number, number>> = {
  [EntryKind.file]: 0x8000,
  [EntryKind.symlink]: 0xa000,
  [EntryKind.charDevice]: 0x2000,
  [EntryKind.blockDevice]: 0x6000,
  [EntryKind.directory]: 0x4000,
  [EntryKind.fifo]: 0x1000,
  [EntryKind.socket]: 0xc000,
};
const runsKept = 16;
const directoryType = 0x4000;
const symlinkType = 0xa000;
const unwrittenFlag = 0x800; // FIEMAP_EXTENT_UNWRITTEN
const endOfMaps = 2 ** 32; // no file has more blocks
const noBytes = new Uint8Array(0);
const noLayout: FileLayout = { firstHole: -1, hasUnwritten: false };

export class ExtTree implements TreeSource {
  readonly opensInodes = true;
  readonly #fs: ExtFilesystem;
  readonly #reads: FileReads;
  /** Of each directory listing: first position of every inode in it. */
  readonly #firstNames = new WeakMap<ExtDirectory, Map<number, number>>();
  /** Runs of the files of the last gather(): of those that have few. */
  readonly #runs = new KnownRuns();
  /** Position of the name that was looked up last. */
  #near = 0;

  constructor(fs: ExtFilesystem) {
    this.#fs = fs;
    this.#reads = new FileReads(fs, this.#runs);
  }

  readDirectory(fd: number): BytesResult {
    return attempt(() => this.#directory(fd).names);
  }

  statNames(dirFd: number, names: Uint8Array, offset: number, count: number, out: Uint8Array): Result {
    const view = viewOf(out);
    let at = offset;
    for (let i = 0; i < count; i++) {
      const end = at + 2 + (names[at + 1] as number);
      try {
        writeStat(view, i * statLayout.size, this.#fs.inode(this.#lookUp(dirFd, names, at + 2, end)));
      } catch (error) {
        out.fill(0, i * statLayout.size, (i + 1) * statLayout.size);
        view.setUint32(i * statLayout.size + statLayout.error, errnoOfFailure(error), true);
      }
      at = end;
    }
    return at;
  }

  openAt(dirFd: number, name: Uint8Array, flags: number): Result {
    return attempt(() => {
      const inode = this.#fs.inode(this.#lookUp(dirFd, name));
      const type = inode.mode & kindMask;
      if (type === symlinkType && (flags & O_NOFOLLOW) !== 0) return -ELOOP;
      if ((flags & O_DIRECTORY) === 0) {
        const isOpen = type === typeOfKind[EntryKind.file] || type === directoryType;
        if (isOpen && (inode.flags & inodeFlags.encrypt) !== 0) return -ENOKEY;
        return inode.number;
      }
      return type === directoryType ? this.#enter(dirFd, name, inode) : -ENOTDIR;
    });
  }

  close(): Result {
    return 0;
  }

  statAt(dirFd: number, name: Uint8Array, out: Uint8Array): Result {
    return attempt(() => {
      writeStat(viewOf(out), 0, this.#fs.inode(name.length === 0 ? dirFd : this.#lookUp(dirFd, name)));
      return 0;
    });
  }

  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): Result {
    return attempt(() => {
      const inode = this.#fs.inode(fd);
      const count = Math.max(0, Math.min(length, inode.size - position));
      if (count > 0) this.#fs.read(inode, buffer, offset, count, position);
      return count;
    });
  }

  dataMap(fd: number, size: number, limit: number): BytesResult {
    return attempt(() => {
      const inode = this.#fs.inode(fd);
      const runs: number[] = [];
      if ((inode.flags & inodeFlags.inlineData) !== 0) runs.push(0, Math.min(size, inode.size));
      const { blockSize } = this.#fs.geometry;
      this.#fs.walk(inode, 0, Math.ceil(size / blockSize), (logical, count, _physical, unwritten) => {
        if (unwritten) return;
        const start = logical * blockSize;
        const end = Math.min(start + count * blockSize, size);
        const last = runs.length - 2;
        if (last >= 0 && (runs[last] as number) + (runs[last + 1] as number) === start) {
          runs[last + 1] = end - (runs[last] as number);
        } else runs.push(start, end - start);
        if (runs.length > 2 * limit) throw new ExtFlaw(EOVERFLOW, "the file has too many runs of data");
      });
      return new Uint8Array(BigInt64Array.from(runs, BigInt).buffer);
    });
  }

  extentMap(fd: number, start: number, length: number, _sync: boolean, limit: number): BytesResult {
    return attempt(() => {
      const { blockSize } = this.#fs.geometry;
      const records: bigint[] = [];
      const first = Math.floor(start / blockSize);
      const last = Math.min(endOfMaps, Math.ceil((start + length) / blockSize));
      this.#fs.walk(this.#fs.inode(fd), first, last, (logical, count, physical, unwritten) => {
        if (records.length >= 4 * limit) throw new ExtFlaw(EOVERFLOW, "the file has too many extents");
        const bytes = [logical, physical, count].map((blocks) => BigInt(blocks * blockSize));
        records.push(...bytes, unwritten ? BigInt(unwrittenFlag) : 0n);
      });
      return new Uint8Array(BigUint64Array.from(records).buffer);
    });
  }

  gather(
    dirFds: Int32Array,
    names: Uint8Array,
    namesOffset: number,
    count: number,
    out: Uint8Array,
    fds: Int32Array,
  ): Result {
    const view = viewOf(out);
    this.#runs.clear();
    let at = namesOffset;
    let to = 0;
    for (let i = 0; i < count; i++) {
      const kind = names[at] as EntryKind;
      const end = at + 2 + (names[at + 1] as number);
      let length: number;
      fds[i] = -1;
      try {
        const dirFd = dirFds[i] as number;
        const inode = this.#fs.inode(end === at + 2 ? dirFd : this.#lookUp(dirFd, names, at + 2, end));
        length = this.#gatherOne(inode, kind, out, view, to);
        if (length > 0 && kind === EntryKind.file) fds[i] = inode.number;
      } catch (error) {
        length = writeGatherError(out, view, to, errnoOfFailure(error));
      }
      if (length === 0) return i > 0 ? i : -ENOSPC;
      to += length;
      at = end;
    }
    return count;
  }

  readFiles(
    fds: Int32Array,
    sizes: Float64Array,
    offsets: Float64Array,
    count: number,
    buffer: Uint8Array,
    digests: Uint8Array,
    status: Float64Array,
    stats: Uint8Array,
  ): Result {
    this.#reads.read(fds, sizes, offsets, count, buffer, status, digests);
    for (let i = 0; i < count; i++) {
      const fd = fds[i] as number;
      if (fd < 0) continue;
      if (stats.length > 0) this.statAt(fd, noBytes, stats.subarray(i * statLayout.size));
      fds[i] = -1;
    }
    return 0;
  }

  /** Writes the record of an entry. Returns its length; 0: it does not fit. Throws ExtFlaw. */
  #gatherOne(inode: ExtInode, kind: EntryKind, out: Uint8Array, view: DataView, at: number): number {
    if ((inode.mode & kindMask) !== typeOfKind[kind]) throw new ExtFlaw(ESTALE, "it is of another kind");
    const isFile = kind === EntryKind.file;
    if (isFile && (inode.flags & inodeFlags.encrypt) !== 0) throw new ExtFlaw(ENOKEY, "the file is encrypted");
    const fields: GatherFields = {
      found: this.#fs.attributes(inode),
      link: kind === EntryKind.symlink ? this.#fs.link(inode) : noBytes,
      layout: isFile ? this.#layoutOf(inode) : noLayout,
    };
    return writeGathered(out, view, at, inode, isFile || kind === EntryKind.directory, fields);
  }

  /** Where the data of a file is. Few runs are kept for reading it. */
  #layoutOf(inode: ExtInode): FileLayout {
    const { size } = inode;
    const { blockSize } = this.#fs.geometry;
    const isInline = (inode.flags & inodeFlags.inlineData) !== 0;
    const runs = this.#runs;
    let hasUnwritten = false;
    let dense = isInline ? Math.ceil(size / blockSize) : 0;
    runs.start(inode.number, size, runsKept);
    this.#fs.walk(inode, 0, endOfMaps, (logical, count, physical, unwritten) => {
      hasUnwritten ||= unwritten;
      if (unwritten) return;
      if (logical === dense) dense = logical + count;
      runs.add(logical, count, physical);
    });
    if (!isInline) runs.keep();
    return { firstHole: size === 0 ? -1 : Math.min(size, dense * blockSize), hasUnwritten };
  }

  #directory(fd: number): ExtDirectory {
    return this.#fs.directory(fd);
  }

  /** Inode of the name that stands in [start, end) of some bytes. Throws ExtFlaw. */
  #lookUp(dirFd: number, bytes: Uint8Array, start = 0, end: number = bytes.length): number {
    const directory = this.#directory(dirFd);
    const found = findName(directory, bytes, start, end, this.#near);
    if (found < 0) throw new ExtFlaw(ENOENT, "there is no such name");
    this.#near = found + 1;
    return directory.inodes[found] as number;
  }

  /**
   * A directory is entered from the one place that its `..` names, and there by one name only: so no tree of damaged directories is walked in circles or
   * over and over.
   */
  #enter(parent: number, name: Uint8Array, inode: ExtInode): number {
    const directory = this.#directory(parent);
    let firstNames = this.#firstNames.get(directory);
    if (firstNames === undefined) {
      firstNames = new Map();
      for (let i = directory.inodes.length - 1; i >= 0; i--) firstNames.set(directory.inodes[i] as number, i);
      this.#firstNames.set(directory, firstNames);
    }
    const isFirst = firstNames.get(inode.number) === findName(directory, name, 0, name.length, this.#near - 1);
    const isChild = inode.number !== parent && this.#fs.directory(inode.number).parent === parent;
    return isFirst && isChild && inode.number !== 2 ? inode.number : -EUCLEAN;
  }
}

/** What the call gives, or −errno of the flaw it met. */
function attempt<Value extends number | Uint8Array>(call: () => Value): Value | number {
  try {
    return call();
  } catch (error) {
    return -errnoOfFailure(error);
  }
}
