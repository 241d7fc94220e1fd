// The image of a source as bytes by place: holes are zeros, the rest comes out of the archive's blocks when it is asked for. Each block is proved by its
// checksum; a few are kept. Of a damaged archive the rest can be read.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { formatRanges } from "../base/units.ts";
import type { RandomAccess } from "../filesystem/random-access.ts";
import { prefixBytes } from "../format/head.ts";
import { decodeMember } from "../format/memberDecoder.ts";
import type { ImageDescription, SourceDescription } from "../model/archive.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import { lastAtMost } from "./archive-index.ts";
import type { Damage } from "./damage.ts";
import { damageOf, framePlace, FrameReader } from "./frames.ts";
import type { ArchiveReader, BlockLocation } from "./reader.ts";

/** Bytes of blocks that are kept, one block at least: reading comes back to the same ones. */
const keptBytesMax = 64 * 1024 * 1024;

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

export class ArchivedImage implements RandomAccess {
  readonly sizeBytes: number;
  /** What was asked for and is lost. */
  readonly damages: Damage[] = [];
  /** What the archive holds of it: pairs of offset, length. */
  readonly runs: Float64Array;
  readonly #reader: ArchiveReader;
  readonly #frames: FrameReader;
  /** Bytes of data before each run, and of all. */
  readonly #before: Float64Array;
  readonly #dataBytes: number;
  readonly #slices: readonly Slice[];
  /** Tar bytes by block number, the least recently used first; undefined: damaged. */
  readonly #kept: Map<number, Uint8Array | undefined>;
  #keptBytes = 0;

  private constructor(
    reader: ArchiveReader,
    frames: FrameReader,
    sizeBytes: number,
    runs: Float64Array,
    first: { readonly location: BlockLocation; readonly tar: Uint8Array; readonly dataOffset: number },
    rest: readonly BlockLocation[],
  ) {
    this.#reader = reader;
    this.#frames = frames;
    this.sizeBytes = sizeBytes;
    this.runs = runs;
    this.#before = sumsBefore(runs);
    this.#dataBytes = sumOfSegments(runs);
    const { location, tar, dataOffset } = first;
    const slices: Slice[] = [{ location, dataStart: 0, dataLength: tar.length - dataOffset, tarOffset: dataOffset }];
    for (const each of rest) {
      const dataStart = this.#dataBefore(each.record.continuation?.fileOffset ?? 0);
      slices.push({ location: each, dataStart, dataLength: each.record.uncompressedLength, tarOffset: 0 });
    }
    this.#slices = slices;
    this.#kept = new Map([[location.record.number, tar]]);
    this.#keptBytes = tar.length;
  }

  /** `blocks`: all of the source. Throws ARCHIVE_DAMAGED, ARCHIVE_HOSTILE where the first of them, with the map of the image, is not whole. */
  static async open(
    reader: ArchiveReader,
    source: SourceDescription & { readonly image: ImageDescription },
    blocks: readonly BlockLocation[],
  ): Promise<ArchivedImage> {
    const frames = await FrameReader.create(reader.head.codec, reader.head.digest);
    const [location, ...rest] = blocks;
    // Salvage leaves out an image that is not whole.
    if (location === undefined || location.record.continuation !== undefined || location.record.entryCount < 2) {
      throw new TsfsaError("ARCHIVE_DAMAGED", "the image, or the block with its map, is lost", {
        path: reader.input.name,
      });
    }
    const tar = decode(reader, frames, location);
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
    const { dataOffset } = member;
    return new ArchivedImage(
      reader,
      frames,
      sizeBytes,
      Float64Array.from(runs),
      { location, tar, dataOffset },
      following,
    );
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
      const slice = this.#slices[index] as Slice;
      const within = position - slice.dataStart;
      const count = Math.min(length - done, slice.dataLength - within);
      if (count <= 0) throw this.#lostBehind(slice, this.#slices[index + 1]);
      const tar = this.#block(slice);
      target.set(tar.subarray(slice.tarOffset + within, slice.tarOffset + within + count), at + done);
      done += count;
    }
  }

  #block(slice: Slice): Uint8Array {
    const { location } = slice;
    const { number, uncompressedLength } = location.record;
    const isKnown = this.#kept.has(number);
    let tar = this.#kept.get(number);
    this.#kept.delete(number);
    if (!isKnown) {
      const found = decode(this.#reader, this.#frames, location);
      if (typeof found === "string") {
        const message = `${found}; ${this.#lossOf(slice.dataStart, slice.dataStart + slice.dataLength)}`;
        this.damages.push({ offset: location.frameOffset, message, block: number });
      } else {
        tar = found;
        this.#keptBytes += uncompressedLength;
      }
      for (const [oldest, bytes] of this.#kept) {
        if (this.#keptBytes <= keptBytesMax) break;
        if (bytes === undefined) continue;
        this.#kept.delete(oldest);
        this.#keptBytes -= bytes.length;
      }
    }
    this.#kept.set(number, tar);
    if (tar === undefined) throw lostError(`block ${number} of the archive is damaged`);
    return tar;
  }

  /** `next`: the slice that the archive has behind it. */
  #lostBehind({ location, dataStart, dataLength }: Slice, next: Slice | undefined): TsfsaError {
    const { record, frameOffset } = location;
    const message = `what follows block ${record.number} is lost`;
    const offset = frameOffset + record.compressedLength;
    if (!this.damages.some((known) => known.offset === offset)) {
      const loss = this.#lossOf(dataStart + dataLength, next?.dataStart ?? Number.MAX_SAFE_INTEGER);
      this.damages.push({ offset, message: `${message}; ${loss}` });
    }
    return lostError(message);
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

/** The tar bytes of a block, or why there are none. */
function decode({ input }: ArchiveReader, frames: FrameReader, location: BlockLocation): Uint8Array | string {
  const tar = new Uint8Array(location.record.uncompressedLength);
  try {
    frames.decode(framePlace(location, input.fd), tar);
    return tar;
  } catch (error) {
    return damageOf(error).damage;
  }
}

function lostError(message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", message, { errno: "EIO" });
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
