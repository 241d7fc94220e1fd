// Files that shared storage in the source share it again. Addresses of the archive say only who might: the kernel compares the bytes of both
// files before it lets them share (FIDEDUPERANGE), so that no archive can put one file's content into another. Memory: one item per extent, up to a limit.

import { formatSize } from "../base/units.ts";
import { limits } from "../base/limits.ts";
import type { SharedExtent } from "../model/entry.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { ENOTSUP, ENOTTY, errnoName } from "../sys/errors.ts";
import type { ShareInput, ShareOutput, SharedFile } from "./protocol.ts";
import { StorageMap } from "./storage-map.ts";

/** A file that this restore made. */
export interface MadeFile {
  readonly directory: DirectoryHandle;
  /** In bytes of its own: a view of its row would keep a whole segment of the catalog. */
  readonly name: Uint8Array;
  readonly ino: bigint;
  readonly size: number;
}

/** Part of a file whose storage an earlier file's part may serve for. */
interface Piece {
  readonly from: MadeFile;
  readonly fromOffset: number;
  readonly toOffset: number;
  readonly length: number;
}

interface Encoded {
  readonly owner: MadeFile;
  readonly offset: number;
  readonly length: number;
}

/** Extents that are remembered, about 150 bytes each: files that come when it is full share storage with those before, and not with each other. */
const rememberedMax = 1_048_576;
/** Files that one job opens. */
const filesPerJob = 64;

export type RunShare = (input: ShareInput) => Promise<ShareOutput>;

export class Sharing {
  readonly #run: RunShare;
  readonly #parallel: number;
  readonly #running = new Set<Promise<void>>();
  #extents = new StorageMap<MadeFile>(rememberedMax);
  #encoded = new Map<number, Encoded>();
  /** The target said that its files cannot share. */
  #isRefused = false;
  #failure: { readonly error: unknown } | undefined;
  #sharedBytes = 0;
  #otherBytes = 0;
  #errno = 0;

  /** `run`: runs a job; at most `parallel` at a time. */
  constructor(run: RunShare, parallel: number) {
    this.#run = run;
    this.#parallel = parallel;
  }

  /** Addresses of one source mean nothing in another. */
  startSource(): void {
    this.#extents = new StorageMap(rememberedMax);
    this.#encoded = new Map();
    this.#isRefused = false;
  }

  /** Remembers the file's extents. Returns what is to be done for those that are known already, or undefined: nothing. */
  add(file: MadeFile, extents: readonly SharedExtent[]): (() => Promise<void>) | undefined {
    if (this.#isRefused) return undefined;
    const pieces: Piece[] = [];
    const found = (from: MadeFile, fromOffset: number, toOffset: number, length: number): boolean => {
      // The last block of a file reaches beyond its end.
      const inside = Math.min(length, from.size - fromOffset, file.size - toOffset);
      if (inside > 0 && (from !== file || fromOffset !== toOffset))
        pieces.push({ from, fromOffset, toOffset, length: inside });
      return pieces.length < limits.sharedExtents;
    };
    for (const { offset, length, address, encoded } of extents) {
      if (pieces.length >= limits.sharedExtents) break;
      if (encoded) this.#addEncoded(file, offset, length, address, found);
      else {
        this.#extents.claim(address, address + length, file, offset, (at, part, from, fromOffset) =>
          found(from, fromOffset, offset + at - address, part),
        );
      }
    }
    return pieces.length === 0 ? undefined : () => this.#start(file, pieces);
  }

  /** Waits for everything. Throws what a job failed with. Returns a line for people; undefined: there was nothing to share. */
  async finish(): Promise<string | undefined> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#sharedBytes + this.#otherBytes === 0) return undefined;
    const shared = `${formatSize(this.#sharedBytes)} share storage with other files again`;
    if (this.#otherBytes === 0) return shared;
    const why = this.#errno === 0 ? "they differ" : errnoName(this.#errno);
    return `${shared}, ${formatSize(this.#otherBytes)} do not (${why})`;
  }

  #addEncoded(
    file: MadeFile,
    offset: number,
    length: number,
    address: number,
    found: (from: MadeFile, fromOffset: number, toOffset: number, length: number) => boolean,
  ): void {
    const known = this.#encoded.get(address);
    if (known !== undefined) found(known.owner, known.offset, offset, Math.min(known.length, length));
    else if (this.#encoded.size < rememberedMax) this.#encoded.set(address, { owner: file, offset, length });
  }

  async #start(file: MadeFile, pieces: readonly Piece[]): Promise<void> {
    for (const job of jobsOf(file, pieces)) {
      while (this.#running.size >= this.#parallel) await Promise.race(this.#running);
      if (this.#isRefused || this.#failure !== undefined) return;
      const running: Promise<void> = this.#share(job)
        .catch((error: unknown) => {
          this.#failure ??= { error };
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  async #share({ to, from, pieces }: Job): Promise<void> {
    const held: DirectoryHandle[] = [];
    const open = ({ directory, name, ino }: MadeFile): SharedFile => {
      const dirFd = directory.acquire();
      held.push(directory);
      return { dirFd, name, dev: directory.dev, ino };
    };
    let output: ShareOutput;
    try {
      output = await this.#run({ to: open(to), from: from.map(open), pieces });
    } finally {
      for (const directory of held) directory.release();
    }
    this.#sharedBytes += output.sharedBytes;
    this.#otherBytes += output.otherBytes;
    if (output.errno !== 0) this.#errno = output.errno;
    if (output.errno === ENOTSUP || output.errno === ENOTTY) this.#isRefused = true;
  }
}

interface Job {
  readonly to: MadeFile;
  readonly from: readonly MadeFile[];
  /** As in ShareInput. */
  readonly pieces: Float64Array;
}

/** Pieces of one file, cut so that no job opens too many others. */
function* jobsOf(to: MadeFile, pieces: readonly Piece[]): Generator<Job, void> {
  let from = new Map<MadeFile, number>();
  let packed: number[] = [];
  for (const { from: file, fromOffset, toOffset, length } of pieces) {
    if (!from.has(file) && from.size === filesPerJob) {
      yield { to, from: [...from.keys()], pieces: Float64Array.from(packed) };
      from = new Map();
      packed = [];
    }
    const index = from.get(file) ?? from.size;
    from.set(file, index);
    packed.push(index, fromOffset, toOffset, length);
  }
  yield { to, from: [...from.keys()], pieces: Float64Array.from(packed) };
}
