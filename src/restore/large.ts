// A file of several blocks while it is restored or verified: its slices are written by many workers, its metadata and digest come when all are in.

import { formatRanges } from "../base/units.ts";
import type { Digest, FileDigest } from "../codec/digest.ts";
import type { Leaves } from "../codec/leaves.ts";
import { mapRunsMax } from "../filesystem/image/map.ts";
import { RunBuilder, spansWithout } from "../filesystem/image/runs.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import type { ExtendedAttribute, Extent } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } from "../sys/constants.ts";
import { EEXIST, errnoName } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { preallocate } from "./create.ts";
import { reasonOf, throwIfFinal } from "./failures.ts";
import { firstBytes } from "./member-row.ts";
import { keptMessage, moveAside, partRow } from "./marked.ts";
import { isRemembered, MetadataWriter, noName, unlinkableFlags } from "./metadata.ts";
import type { LargeStart, UnpackOutput, WritePolicy } from "./protocol.ts";
import type { PlacedBlock } from "./placed.ts";
import type { ImageSink } from "./run-options.ts";

/** How a file ends. */
export interface LargeEnd {
  readonly policy: WritePolicy;
  /** One that is not whole stays, under a marked name. */
  readonly keepDamaged: boolean;
  readonly warn: (warning: Warning) => void;
}

/** Which file it is. */
export interface LargePlace {
  readonly entry: number;
  readonly row: CatalogRow;
  /** Path below the source root, for messages. */
  readonly path: Uint8Array;
  /** The block in which it starts, and its row there. */
  readonly placed: PlacedBlock;
  readonly index: number;
  /** Number of that block. */
  readonly block: number;
  /** It is the image of its source: what is whole of it stands for itself. */
  readonly isImage: boolean;
}

export class LargeRestore {
  readonly entry: number;
  readonly row: CatalogRow;
  readonly path: Uint8Array;
  readonly placed: PlacedBlock;
  readonly index: number;
  readonly block: number;
  /** Descriptor the slices are written to; −1: nothing is written. */
  readonly fd: number;
  readonly isImage: boolean;
  /** Why the file cannot be right; after finish(), why it is not. */
  damage: string | undefined;
  /** Its damage is that of blocks, which are told of by themselves. */
  isPartLost = false;
  readonly #directory: DirectoryHandle | undefined;
  /** Written to a descriptor of the caller. */
  readonly #sink: ImageSink | undefined;
  readonly #digest: FileDigest;
  readonly #digestLength: number;
  #lastLeaf = -1;
  /** Bytes of data that came whole, and logical offset up to which slices were handed out. */
  #received = 0;
  #handedOut = 0;
  #ended = false;
  /** Settles once the block in which the file starts has been unpacked. */
  #started: Promise<void> = Promise.resolve();
  #start: LargeStart | undefined;
  /** Position in the data runs up to which slices were handed out. */
  #cursor = 0;
  /** First of its shared extents that does not end before the slices handed out. */
  #sharedCursor = 0;
  /** Of an image: runs that came whole. */
  readonly #whole = new RunBuilder(mapRunsMax);

  private constructor(
    place: LargePlace,
    digest: Digest,
    directory: DirectoryHandle | undefined,
    fd: number,
    sink?: ImageSink,
  ) {
    this.isImage = place.isImage;
    this.#sink = sink;
    this.entry = place.entry;
    this.row = place.row;
    this.path = place.path;
    this.placed = place.placed;
    this.index = place.index;
    this.block = place.block;
    this.#digest = digest.file();
    this.#digestLength = digest.length;
    this.#directory = directory;
    this.fd = fd;
  }

  /** Creates the file, or only follows it where it is not to be written. `warn` is told when it cannot be created. */
  static open(place: LargePlace, digest: Digest, policy: WritePolicy, warn: (warning: Warning) => void): LargeRestore {
    const { row, path, placed, index } = place;
    const directory = placed.parents[index];
    if (directory === undefined) return new LargeRestore(place, digest, undefined, -1);
    const native = addon();
    const dirFd = directory.acquire();
    const create = (): number => native.openAt(dirFd, row.name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600, 0);
    let fd = create();
    if (fd === -EEXIST && policy.overwrite && native.unlinkAt(dirFd, row.name, 0) >= 0) fd = create();
    if (fd >= 0) {
      const metadata = new MetadataWriter(policy, (warning) => warn({ ...warning, path }));
      metadata.prepare(fd, row, []);
      const sized = native.truncate(fd, row.size);
      if (sized >= 0) return new LargeRestore(place, digest, directory, fd);
      native.close(fd);
      native.unlinkAt(dirFd, row.name, 0);
      fd = sized;
    }
    directory.release();
    throwIfFinal(-fd, "creating it", path);
    const message = `it was not restored: creating it failed: ${reasonOf(-fd)}`;
    warn({ code: "ENTRY_NOT_RESTORED", path, message, errno: errnoName(-fd) });
    return new LargeRestore(place, digest, undefined, -1);
  }

  /** Writes to an open descriptor, which stays the caller's; the file's metadata are left out. */
  static over(place: LargePlace, digest: Digest, sink: ImageSink): LargeRestore {
    return new LargeRestore(place, digest, undefined, sink.fd, sink);
  }

  /** A block that holds a part of it is damaged. */
  losePart(why: string): void {
    this.damage ??= why;
    this.isPartLost = true;
  }

  /** Waits for the block in which the file starts. */
  follow(result: Promise<UnpackOutput>): void {
    this.#started = result.then(
      (output) => {
        this.#start = output.large;
      },
      () => {},
    );
  }

  /**
   * Data runs of the next slice: `length` bytes of tar from logical offset `fileOffset` on. Without holes they are known at once; else the map in the
   * first block tells, and undefined says that it is lost.
   */
  async nextRuns(fileOffset: number, length: number): Promise<Float64Array | undefined> {
    if (fileOffset < this.#handedOut || fileOffset >= this.row.size) {
      this.damage ??= "its parts are not in order";
      return undefined;
    }
    this.#handedOut = fileOffset + 1;
    if (!this.row.sparse) return Float64Array.of(fileOffset, Math.min(length, this.row.size - fileOffset));
    await this.#started;
    const runs = this.#start?.segments;
    if (runs === undefined) {
      this.damage ??= "the block in which it starts is lost";
      return undefined;
    }
    const taken: number[] = [];
    let left = length;
    while (this.#cursor < runs.length && endOfRun(runs, this.#cursor) <= fileOffset) this.#cursor += 2;
    for (let i = this.#cursor; i < runs.length && left > 0; i += 2) {
      const from = Math.max(runs[i] as number, fileOffset);
      const part = Math.min(endOfRun(runs, i) - from, left);
      taken.push(from, part);
      left -= part;
    }
    return Float64Array.from(taken);
  }

  /** Shared extents that reach into the runs of the next slice, without their addresses. Slices come in order. */
  sharedIn(runs: Float64Array): readonly Extent[] {
    const extents = this.row.sharedExtents ?? [];
    const start = runs[0] ?? 0;
    const end = (runs.at(-2) ?? 0) + (runs.at(-1) ?? 0);
    const isBefore = (extent: Extent | undefined): boolean =>
      extent !== undefined && extent.offset + extent.length <= start;
    while (isBefore(extents[this.#sharedCursor])) this.#sharedCursor++;
    const found: Extent[] = [];
    for (let i = this.#sharedCursor; i < extents.length; i++) {
      const { offset, length } = extents[i] as Extent;
      if (offset >= end) break;
      found.push({ offset, length });
    }
    return found;
  }

  /** Adds the leaves of data that came whole, in order. */
  add(leaves: Leaves, runs: Float64Array): void {
    this.#received += sumOfSegments(runs);
    for (let i = 0; this.isImage && i < runs.length; i += 2) {
      this.#whole.add(runs[i] as number, runs[i + 1] as number);
    }
    for (const [i, number] of leaves.numbers.entries()) {
      if (number <= this.#lastLeaf) {
        this.damage ??= "its parts overlap";
        return;
      }
      this.#lastLeaf = number;
      this.#digest.addLeaf(number, leaves.digests.subarray(i * this.#digestLength, (i + 1) * this.#digestLength));
    }
  }

  /** Adds what came with the block in which it starts. */
  addFirst({ leaves, dataInBlock }: LargeStart): void {
    this.add(leaves, firstBytes(this.#dataRuns(), dataInBlock));
  }

  /**
   * Ends the file: compares its digest, then sets its metadata; a file that is not what was saved is removed. Without a completion (its segment is
   * lost) all data must have come in whole blocks. Returns its inode number if it was made and is whole.
   */
  finish(completion: Completion | undefined, { policy, keepDamaged, warn }: LargeEnd): bigint | undefined {
    const { path, row, fd } = this;
    this.#ended = true;
    this.damage ??= this.#flaw(completion);
    if (this.damage !== undefined && this.isImage) this.damage = this.#imageLoss(this.damage);
    const why = this.damage;
    const directory = this.#directory;
    if (directory === undefined) {
      if (why !== undefined) warn({ code: "ENTRY_DAMAGED", path, message: why });
      return undefined;
    }
    const native = addon();
    const metadata = new MetadataWriter(policy, (warning) => warn({ ...warning, path }));
    try {
      if (why !== undefined) {
        const dirFd = directory.acquire();
        const kept = keepDamaged && this.#received > 0 ? moveAside(dirFd, row.name) : undefined;
        if (kept === undefined) native.unlinkAt(dirFd, row.name, 0);
        else metadata.apply({ fd, name: noName }, partRow(row), []);
        directory.release();
        const result =
          kept === undefined ? "it was not restored" : keptMessage(kept, this.#received, this.#dataBytes());
        warn({ code: "ENTRY_DAMAGED", path, message: `${result}: ${why}` });
        return undefined;
      }
      const attributes: readonly ExtendedAttribute[] = this.#start?.attributes ?? [];
      preallocate(fd, row, metadata);
      metadata.apply({ fd, name: noName }, row, attributes);
      metadata.flags(fd, row.inodeFlags, attributes, isRemembered(row) ? ~unlinkableFlags : ~0);
      const stat = new Uint8Array(statLayout.size);
      native.statAt(fd, noName, stat);
      return new DataView(stat.buffer).getBigUint64(statLayout.ino, true);
    } finally {
      native.close(fd);
      directory.release();
    }
  }

  /** Gives up a file that is not whole, after a failure of the run: nothing that only looks whole is left. */
  abandon(): void {
    if (this.#ended || this.#directory === undefined) return;
    this.#ended = true;
    const native = addon();
    native.close(this.fd);
    native.unlinkAt(this.#directory.acquire(), this.row.name, 0);
    this.#directory.release();
  }

  /** What the catalog says of the whole file, or would have said if it were not lost. */
  completion(found: Completion | undefined): Completion {
    const { entry, row } = this;
    return (
      found ?? {
        entry,
        damaged: row.damaged,
        changed: row.changed,
        digest: this.#digest.finish(row.size),
        damagedRanges: [],
      }
    );
  }

  #dataRuns(): Float64Array {
    return this.#start?.segments ?? Float64Array.of(0, this.row.size);
  }

  #dataBytes(): number {
    return sumOfSegments(this.#dataRuns());
  }

  /** The flaw of an image, in words of its bytes. */
  #imageLoss(damage: string): string {
    if (this.#start === undefined) return `${damage}; the map of the image is lost with it, and so is all of it`;
    const spans = spansWithout(this.#dataRuns(), this.#whole.finish());
    if (spans.length === 0) return damage;
    const lost = `what it held in ${formatRanges(spans)} is lost`;
    return this.#sink === undefined ? lost : `${lost}: ${this.#sink.unwritten}`;
  }

  #flaw(completion: Completion | undefined): string | undefined {
    if (this.#start === undefined) return "the block in which it starts is lost";
    if (completion === undefined) return this.#received === this.#dataBytes() ? undefined : "its end is lost";
    if (Buffer.compare(this.#digest.finish(this.row.size), completion.digest) !== 0) {
      return "its content is not the content that was saved: the digests differ";
    }
    return undefined;
  }
}

function endOfRun(runs: Float64Array, index: number): number {
  return (runs[index] as number) + (runs[index + 1] as number);
}
