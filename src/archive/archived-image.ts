// The image of a source as bytes by place: holes are zeros, the rest comes out of the archive's blocks when it is asked for. Each block is proved by its
// checksum; a few are kept. Of a damaged archive the rest can be read.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { formatRanges } from "../base/units.ts";
import type { RandomAccess } from "../filesystem/random-access.ts";
import { prefixBytes } from "../format/head.ts";
import { decodeMember } from "../format/memberDecoder.ts";
import type { Codec, DigestName, ImageDescription, SourceDescription } from "../model/archive.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import { lastAtMost } from "./archive-index.ts";
import type { Damage } from "./damage.ts";
import { damageOf, framePlace, FrameReader } from "./frames.ts";
import type { ArchiveReader, BlockLocation } from "./reader.ts";

/** Bytes of blocks that each thread keeps: reading comes back to the same ones. */
const keptBytesMax = 32 * 1024 * 1024;

/** A block with the bytes of the image that it holds: those from `dataStart` on, not counting holes. */
interface Slice {
  readonly location: BlockLocation;
  readonly dataStart: number;
  readonly dataLength: number;
  /** Of the first of them in the block's tar bytes. */
  readonly tarOffset: number;
}

/** The blocks of each source, in order. Throws USAGE for an archive from a pipe. */
export async function blocksOfSources(reader: ArchiveReader): Promise<Map<number, BlockLocation[]>> {
  if (reader.input.fd === undefined) {
    throw new TsfsaError("USAGE", `files inside an image are read in any order: expected a file, found a pipe`, {
      hints: ["write the archive to a file first: cat > FILE"],
    });
  }
  const found = new Map<number, BlockLocation[]>();
  for await (const { blocks } of reader.groups(false)) {
    for (const location of blocks) {
      const { sourceId, end } = location.record;
      const known = found.get(sourceId);
      if (known !== undefined) known.push(location);
      else if (!end) found.set(sourceId, [location]);
    }
  }
  return found;
}

/** What each thread opens the image with. */
export interface ImagePlan {
  /** Of the archive; it stays the reader's. */
  readonly fd: number;
  readonly codec: Codec;
  readonly digest: DigestName;
  readonly sizeBytes: number;
  /** What the archive holds of it: pairs of offset, length. */
  readonly runs: Float64Array;
  /** In order. */
  readonly blocks: readonly BlockLocation[];
  /** Of the first data in the tar bytes of the first block. */
  readonly dataOffset: number;
  /** Shared by all threads. Of each block: 1 where it was asked for and is damaged, 1 where what follows it was asked for and is missing. */
  readonly lost: Int32Array;
}

export class ArchivedImage implements RandomAccess {
  readonly plan: ImagePlan;
  readonly sizeBytes: number;
  readonly runs: Float64Array;
  readonly #frames: FrameReader;
  /** Bytes of data before each run, and of all. */
  readonly #before: Float64Array;
  readonly #dataBytes: number;
  readonly #slices: readonly Slice[];
  /** Tar bytes by index of the slice, the least recently used first; undefined: damaged. */
  readonly #kept = new Map<number, Uint8Array | undefined>();
  #keptBytes = 0;

  private constructor(plan: ImagePlan, frames: FrameReader) {
    this.plan = plan;
    this.#frames = frames;
    const { sizeBytes, runs, blocks, dataOffset } = plan;
    this.sizeBytes = sizeBytes;
    this.runs = runs;
    this.#before = sumsBefore(runs);
    this.#dataBytes = sumOfSegments(runs);
    this.#slices = blocks.map((location, index) => {
      const tarOffset = index === 0 ? dataOffset : 0;
      const dataStart = index === 0 ? 0 : this.#dataBefore(location.record.continuation?.fileOffset ?? 0);
      return { location, dataStart, dataLength: location.record.uncompressedLength - tarOffset, tarOffset };
    });
  }

  /** The same image in another thread. */
  static async of(plan: ImagePlan): Promise<ArchivedImage> {
    return new ArchivedImage(plan, await FrameReader.create(plan.codec, plan.digest));
  }

  /** `blocks`: all of the source. Throws ARCHIVE_DAMAGED, ARCHIVE_HOSTILE where the first of them, with the map of the image, is not whole. */
  static async open(
    reader: ArchiveReader,
    source: SourceDescription & { readonly image: ImageDescription },
    blocks: readonly BlockLocation[],
  ): Promise<ArchivedImage> {
    const { codec, digest } = reader.head;
    const frames = await FrameReader.create(codec, digest);
    const fd = reader.input.fd as number;
    const [location, ...rest] = blocks;
    // Salvage leaves out an image that is not whole.
    if (location === undefined || location.record.continuation !== undefined || location.record.entryCount < 2) {
      throw new TsfsaError("ARCHIVE_DAMAGED", "the image, or the block with its map, is lost", {
        path: reader.input.name,
      });
    }
    const tar = decode(fd, frames, location);
    if (typeof tar === "string") {
      throw new TsfsaError("ARCHIVE_DAMAGED", `block ${location.record.number}, with the map of the image: ${tar}`, {
        path: reader.input.name,
      });
    }
    const { file, sizeBytes } = source.image;
    const member = decodeMember(tar, decodeMember(tar, 0).dataOffset);
    const path = Buffer.concat([prefixBytes(source), Buffer.from(file)]);
    if (!equalBytes(member.path, path) || member.size !== sizeBytes) {
      throw new TsfsaError("ARCHIVE_HOSTILE", "the head tells of another image than the archive holds");
    }
    const runs = (member.sparse?.segments ?? [{ offset: 0, length: sizeBytes }]).flatMap(({ offset, length }) =>
      length > 0 ? [offset, length] : [],
    );
    const isNext = ascending();
    const following = rest.filter(({ record }) => isNext(record.continuation?.fileOffset ?? 0));
    const plan = {
      fd,
      codec,
      digest,
      sizeBytes,
      runs: Float64Array.from(runs),
      blocks: [location, ...following],
      dataOffset: member.dataOffset,
      lost: new Int32Array(new SharedArrayBuffer(8 * (following.length + 1))),
    };
    return new ArchivedImage(plan, frames);
  }

  /** What was asked for and is lost, in whatever thread. */
  get damages(): Damage[] {
    const { fd, lost } = this.plan;
    return this.#slices.flatMap(({ location, dataStart, dataLength }, index) => {
      const { record, frameOffset } = location;
      const found: Damage[] = [];
      const dataEnd = dataStart + dataLength;
      if (Atomics.load(lost, 2 * index) === 1) {
        const why = decode(fd, this.#frames, location);
        const reason = typeof why === "string" ? why : "it could not be read";
        found.push({
          offset: frameOffset,
          message: `${reason}; ${this.#lossOf(dataStart, dataEnd)}`,
          block: record.number,
        });
      }
      if (Atomics.load(lost, 2 * index + 1) === 1) {
        const loss = this.#lossOf(dataEnd, this.#slices[index + 1]?.dataStart ?? Number.MAX_SAFE_INTEGER);
        const offset = frameOffset + record.compressedLength;
        found.push({ offset, message: `what follows block ${record.number} is lost; ${loss}` });
      }
      return found;
    });
  }

  /** Throws ARCHIVE_DAMAGED with errno EIO where a block that is needed is not whole. */
  readInto(target: Uint8Array, at: number, length: number, position: number): void {
    target.fill(0, at, at + length);
    const { runs } = this;
    const end = position + length;
    for (let run = this.#runAt(position); run < this.#before.length; run++) {
      const start = runs[2 * run] as number;
      const from = Math.max(position, start);
      const to = Math.min(end, start + (runs[2 * run + 1] as number));
      if (start >= end) return;
      if (from < to)
        this.#readData(target, at + from - position, to - from, (this.#before[run] as number) + from - start);
    }
  }

  /** Fills from the bytes of the image that are not holes, counted by themselves. */
  #readData(target: Uint8Array, at: number, length: number, start: number): void {
    for (let done = 0; done < length; ) {
      const position = start + done;
      const index = lastAtMost(this.#slices, position, ({ dataStart }) => dataStart);
      const { location, dataStart, dataLength, tarOffset } = this.#slices[index] as Slice;
      const within = position - dataStart;
      const count = Math.min(length - done, dataLength - within);
      if (count <= 0) throw this.#lost(2 * index + 1, `what follows block ${location.record.number} is lost`);
      const tar = this.#tarOf(index, location);
      target.set(tar.subarray(tarOffset + within, tarOffset + within + count), at + done);
      done += count;
    }
  }

  #tarOf(index: number, location: BlockLocation): Uint8Array {
    const isKnown = this.#kept.has(index);
    let tar = this.#kept.get(index);
    this.#kept.delete(index);
    if (!isKnown) {
      const found = decode(this.plan.fd, this.#frames, location, this.#room(location.record.uncompressedLength));
      tar = typeof found === "string" ? undefined : found;
      this.#keptBytes += tar?.length ?? 0;
    }
    this.#kept.set(index, tar);
    if (tar === undefined) throw this.#lost(2 * index, `block ${location.record.number} of the archive is damaged`);
    return tar;
  }

  /** Bytes for a block, those of one that was kept where they fit. */
  #room(length: number): Uint8Array {
    let freed: Uint8Array | undefined;
    for (const [oldest, bytes] of this.#kept) {
      if (this.#keptBytes + length <= keptBytesMax) break;
      if (bytes === undefined) continue;
      this.#kept.delete(oldest);
      this.#keptBytes -= bytes.length;
      freed = bytes;
    }
    return freed?.length === length ? freed : new Uint8Array(length);
  }

  #lost(flag: number, message: string): TsfsaError {
    Atomics.store(this.plan.lost, flag, 1);
    return new TsfsaError("ARCHIVE_DAMAGED", message, { errno: "EIO" });
  }

  /** What is lost with these bytes of data, in words. */
  #lossOf(dataStart: number, dataEnd: number): string {
    const first = this.#positionOf(dataStart);
    const last = this.#positionOf(Math.min(dataEnd, this.#dataBytes) - 1);
    return `what the image held in ${formatRanges([first, last + 1 - first])} is lost with it`;
  }

  /** Where in the image a byte of data stands. */
  #positionOf(data: number): number {
    const run = lastAtMost(this.#before, data, (before) => before);
    return (this.runs[2 * run] as number) + data - (this.#before[run] as number);
  }

  /** The first run that ends behind a position. */
  #runAt(position: number): number {
    const { runs } = this;
    let low = 0;
    let high = this.#before.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((runs[2 * middle] as number) + (runs[2 * middle + 1] as number) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #dataBefore(position: number): number {
    const run = this.#runAt(position);
    const before = this.#before[run];
    if (before === undefined) return Number.MAX_SAFE_INTEGER;
    return before + Math.max(0, position - (this.runs[2 * run] as number));
  }
}

/** `tar`, filled with the tar bytes of a block; or why there are none. */
function decode(
  fd: number,
  frames: FrameReader,
  location: BlockLocation,
  tar: Uint8Array = new Uint8Array(location.record.uncompressedLength),
): Uint8Array | string {
  try {
    frames.decode(framePlace(location, fd), tar);
    return tar;
  } catch (error) {
    return damageOf(error).damage;
  }
}

function sumsBefore(runs: Float64Array): Float64Array {
  const sums = new Float64Array(runs.length / 2);
  for (let i = 1; i < sums.length; i++) sums[i] = (sums[i - 1] as number) + (runs[2 * i - 1] as number);
  return sums;
}

/** Blocks that do not go on where those before them ended are of no use. */
function ascending(): (offset: number) => boolean {
  let last = 0;
  return (offset) => {
    const isNext = offset > last;
    if (isNext) last = offset;
    return isNext;
  };
}
