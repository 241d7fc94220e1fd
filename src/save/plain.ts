// The fast lane of packing, for what nearly every entry is: a regular file within one block, without attributes, holes or anything to tell of it. It goes
// from the batch record (what the plan saw) and the gather record (what opening it told) straight into header and catalog row; all other entries
// become drafts (drafter.ts). Invariant: both ways give the same bytes.

import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../codec/leaves.ts";
import type { PlainFile } from "../format/plain-file.ts";
import type { MemberEncoder } from "../format/member.ts";
import { PlainRows, type RowEncoder } from "../format/segment.ts";
import { nameLength, shortFieldMax } from "../format/ustar.ts";
import { EntryKind, nanosecondsMax } from "../model/entry.ts";
import { STATX_BTIME } from "../sys/constants.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import { gatherLayout, readInt64, statLayout } from "../sys/layout.ts";
import { batchFlags, batchLayout, type EntryBatch } from "./batch.ts";
import type { PackJob } from "./job.ts";
import { directoryName } from "./member-name.ts";
import type { PackInput } from "./protocol.ts";

/** What place() answers for an entry that is not plain. */
export const notPlain = -1;
/** Bytes of tar that place() may need beyond the end of the entry before. */
export const plainHeaderMax = 1536;

const noStats = new Uint8Array(0);
const none = -1;

/** The plain files of one run: placed one after the other, then read in one call, then taken into the catalog. One per worker. */
export class PlainFiles {
  readonly #digest: Digest;
  readonly #members: MemberEncoder;
  readonly #rows = new PlainRows();
  readonly #digests: Uint8Array;
  readonly #indexes: Int32Array;
  readonly #directories: Int32Array;
  readonly #fds: Int32Array;
  readonly #sizes: Float64Array;
  readonly #offsets: Float64Array;
  readonly #status: Float64Array;
  readonly #file: PlainFile;
  /** Entries of the job that were in trouble: they take the other way from then on. */
  readonly #troubled = new Set<number>();
  #input: PackInput | undefined;
  #count = 0;
  #taken = 0;
  #limit = 0;
  /** Directory whose member name stands in #file.path; its bytes there. */
  #directory = none;
  #directoryLength = 0;
  /** Of the entry placed last: where its data starts in the block, and its bytes. */
  dataOffset = 0;
  size = 0;

  /** `runMax`: entries of one run at most. */
  constructor(digest: Digest, members: MemberEncoder, runMax: number) {
    this.#digest = digest;
    this.#members = members;
    this.#digests = new Uint8Array(runMax * digest.length);
    this.#indexes = new Int32Array(runMax);
    this.#directories = new Int32Array(runMax);
    this.#fds = new Int32Array(runMax);
    this.#sizes = new Float64Array(runMax);
    this.#offsets = new Float64Array(runMax);
    this.#status = new Float64Array(runMax);
    this.#file = emptyFile();
  }

  /** Starts a job; `limit`: size of the largest file that is one. */
  startJob(input: PackInput, limit: number): void {
    this.#input = input;
    this.#limit = limit;
    this.#directory = none;
    this.#troubled.clear();
  }

  /** Forgets what was placed before. */
  startRun(): void {
    this.#count = 0;
    this.#taken = 0;
    this.#rows.clear();
  }

  /** Undoes the last place(): the entry waits for another block. */
  takeBack(): void {
    this.#count--;
  }

  /**
   * Writes the header of entry `index` at `offset` of `tar`, which must have room for plainHeaderMax bytes, if it is plain. Returns where the entry will end, its data and padding
   * included, or notPlain. `gathered`, `at`: its gather record; `fd`: its descriptor.
   */
  place(
    batch: EntryBatch,
    index: number,
    gathered: DataView,
    at: number,
    fd: number,
    tar: Uint8Array,
    offset: number,
  ): number {
    const { bytes, view } = batch;
    const record = batch.offsetOf(index);
    if (fd < 0 || bytes[record + batchLayout.kind] !== EntryKind.file || this.#isSpecial(index, gathered, at)) {
      return notPlain;
    }
    const stat = record + batchLayout.stat;
    const size = readInt64(view, stat + statLayout.sizeBytes);
    const firstHole = readInt64(gathered, at + gatherLayout.firstHole);
    if (size > this.#limit || (firstHole >= 0 && firstHole < size)) return notPlain;
    const file = this.#file;
    const directory = view.getUint32(record + batchLayout.directory, true);
    if (directory !== this.#directory) this.#enter(directory);
    const nameAt = record + batchLayout.name;
    const nameBytes = bytes[record + batchLayout.nameLength] as number;
    if (this.#directoryLength + nameBytes > nameLength) return notPlain;
    for (let i = 0; i < nameBytes; i++) file.path[this.#directoryLength + i] = bytes[nameAt + i] as number;
    file.nameStart = this.#directoryLength;
    file.pathLength = this.#directoryLength + nameBytes;
    if (!this.#takeTimes(view, stat, gathered, at)) return notPlain;
    file.uid = view.getUint32(stat + statLayout.uid, true);
    file.gid = view.getUint32(stat + statLayout.gid, true);
    if (file.uid > shortFieldMax || file.gid > shortFieldMax) return notPlain;
    file.mode = view.getUint32(stat + statLayout.mode, true) & 0o7777;
    file.size = size;
    file.depth = view.getUint32(record + batchLayout.depth, true);
    file.linked = ((bytes[record + batchLayout.flags] as number) & batchFlags.linked) !== 0;
    file.inodeFlags = gathered.getUint32(at + gatherLayout.inodeFlags, true);
    file.projectId = gathered.getUint32(at + gatherLayout.projectId, true);
    file.entryNumber = (this.#input as PackInput).firstEntry + index;
    file.offset = offset;
    const dataOffset = this.#members.encodePlain(tar, offset, file);
    this.#rows.add(file);
    const k = this.#count++;
    this.#indexes[k] = index;
    this.#directories[k] = directory;
    this.#fds[k] = fd;
    this.#sizes[k] = size;
    this.#offsets[k] = dataOffset;
    this.dataOffset = dataOffset;
    this.size = size;
    return dataOffset + Math.ceil(size / 512) * 512;
  }

  /** Reads the content of all placed files into the block and closes them. False: one is not as planned, and all are to be placed again. */
  read(tree: TreeSource, tar: Uint8Array): boolean {
    const count = this.#count;
    if (count === 0) return true;
    const native = this.#digest.name === "xxh128";
    const digests = native ? this.#digests : noStats;
    tree.readFiles(this.#fds, this.#sizes, this.#offsets, count, tar, digests, this.#status, noStats);
    let isAsPlanned = true;
    for (let k = 0; k < count; k++) {
      if (this.#status[k] === this.#sizes[k]) continue;
      this.#troubled.add(this.#indexes[k] as number);
      isAsPlanned = false;
    }
    if (isAsPlanned && !native) {
      for (let k = 0; k < count; k++) this.#digests.set(this.#digestOf(tar, k), k * this.#digest.length);
    }
    return isAsPlanned;
  }

  /** Takes the next file into the catalog: its row and its numbers. */
  accept(job: PackJob, rows: RowEncoder): void {
    const k = this.#taken++;
    job.acceptPlain(this.#directories[k] as number, this.#sizes[k] as number, rows.count === 0);
    rows.addPlain(this.#rows, k, this.#digests, this.#digest.length);
  }

  #digestOf(tar: Uint8Array, k: number): Uint8Array {
    const size = this.#sizes[k] as number;
    const leaves = digestLeaves(this.#digest, tar, this.#offsets[k] as number, Float64Array.of(0, size), 0, size);
    return digestOfLeaves(this.#digest, leaves, size);
  }

  /** Something of it wants more than header, data and row; or it goes on in other blocks. */
  #isSpecial(index: number, gathered: DataView, at: number): boolean {
    const { count, large } = this.#input as PackInput;
    return (
      (large !== undefined && index === count - 1) ||
      gathered.getUint32(at + gatherLayout.error, true) !== 0 ||
      gathered.getUint32(at + gatherLayout.attributeCount, true) !== 0 ||
      gathered.getUint32(at + gatherLayout.attributeError, true) !== 0 ||
      gathered.getUint32(at + gatherLayout.flagsError, true) !== 0 ||
      gathered.getUint32(at + gatherLayout.unwritten, true) !== 0 ||
      gathered.getUint32(at + gatherLayout.shared, true) !== 0 ||
      (this.#troubled.size > 0 && this.#troubled.has(index))
    );
  }

  /** False: one of its times is none that a plain header or a row of an archive holds. */
  #takeTimes(view: DataView, stat: number, gathered: DataView, at: number): boolean {
    const file = this.#file;
    file.mtimeSeconds = readInt64(gathered, at + gatherLayout.mtime);
    file.mtimeNanoseconds = gathered.getUint32(at + gatherLayout.mtimeNs, true);
    file.atimeSeconds = readInt64(view, stat + statLayout.atime);
    file.atimeNanoseconds = view.getUint32(stat + statLayout.atimeNs, true);
    file.hasBirth = (view.getUint32(stat + statLayout.mask, true) & STATX_BTIME) !== 0;
    file.btimeSeconds = readInt64(view, stat + statLayout.btime);
    file.btimeNanoseconds = view.getUint32(stat + statLayout.btimeNs, true);
    return (
      isPlainTime(file.mtimeSeconds, file.mtimeNanoseconds) &&
      isPlainTime(file.atimeSeconds, file.atimeNanoseconds) &&
      isPlainTime(file.btimeSeconds, file.btimeNanoseconds)
    );
  }

  /** Puts the member name of a directory before the names of its files, if a file's could still fit. */
  #enter(directory: number): void {
    const name = directoryName(this.#input as PackInput, directory);
    this.#directory = directory;
    this.#directoryLength = name.length;
    if (name.length <= nameLength) this.#file.path.set(name);
  }
}

/** After 1970, and of this or the next centuries: nothing that needs a wide field. */
function isPlainTime(seconds: number, nanoseconds: number): boolean {
  return seconds >= 0 && seconds <= 0xffff_ffff && nanoseconds <= nanosecondsMax;
}

function emptyFile(): PlainFile {
  return {
    path: new Uint8Array(nameLength),
    pathLength: 0,
    nameStart: 0,
    entryNumber: 0,
    depth: 0,
    offset: 0,
    linked: false,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    atimeSeconds: 0,
    atimeNanoseconds: 0,
    hasBirth: false,
    btimeSeconds: 0,
    btimeNanoseconds: 0,
    inodeFlags: 0,
    projectId: 0,
  };
}
