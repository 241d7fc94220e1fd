// The image of a source as bytes by place: holes are zeros, the rest comes out of the archive's blocks when it is asked for. Each block is proved by its
// checksum; a few are kept. Of a damaged archive the rest can be read.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import type { RandomAccess } from "../filesystem/random-access.ts";
import { prefixBytes } from "../format/head.ts";
import { decodeMember } from "../format/memberDecoder.ts";
import type { ImageDescription, SourceDescription } from "../model/archive.ts";
import { addon } from "../sys/addon.ts";
import { errnoName } from "../sys/errors.ts";
import { lastAtMost } from "./archive-index.ts";
import type { Damage } from "./damage.ts";
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
  readonly #decoder: FrameDecoder;
  /** Bytes of data before each run. */
  readonly #before: Float64Array;
  readonly #slices: readonly Slice[];
  /** Tar bytes by block number, the least recently used first; undefined: damaged. */
  readonly #kept: Map<number, Uint8Array | undefined>;
  #keptBytes = 0;

  private constructor(
    reader: ArchiveReader,
    decoder: FrameDecoder,
    sizeBytes: number,
    runs: Float64Array,
    first: { readonly location: BlockLocation; readonly tar: Uint8Array; readonly dataOffset: number },
    rest: readonly BlockLocation[],
  ) {
    this.#reader = reader;
    this.#decoder = decoder;
    this.sizeBytes = sizeBytes;
    this.runs = runs;
    this.#before = sumsBefore(runs);
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
    const decoder = await createDecoder(reader.head.codec);
    const [location, ...rest] = blocks;
    // Salvage leaves out an image that is not whole.
    if (location === undefined || location.record.continuation !== undefined || location.record.entryCount < 2) {
      throw new TsfsaError("ARCHIVE_DAMAGED", "the image, or the block with its map, is lost", {
        path: reader.input.name,
      });
    }
    const tar = decode(reader, decoder, location);
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
      decoder,
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
      const { location, dataStart, dataLength, tarOffset } = this.#slices[index] as Slice;
      const within = position - dataStart;
      const count = Math.min(length - done, dataLength - within);
      if (count <= 0) throw this.#lostBehind(location);
      const tar = this.#block(location);
      target.set(tar.subarray(tarOffset + within, tarOffset + within + count), at + done);
      done += count;
    }
  }

  #block(location: BlockLocation): Uint8Array {
    const { number, uncompressedLength } = location.record;
    const isKnown = this.#kept.has(number);
    let tar = this.#kept.get(number);
    this.#kept.delete(number);
    if (!isKnown) {
      const found = decode(this.#reader, this.#decoder, location);
      if (typeof found === "string") this.damages.push({ offset: location.frameOffset, message: found, block: number });
      else {
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

  #lostBehind({ record, frameOffset }: BlockLocation): TsfsaError {
    const message = `what follows block ${record.number} is lost`;
    const isTold = this.damages.some((known) => known.message === message);
    if (!isTold) this.damages.push({ offset: frameOffset + record.compressedLength, message });
    return lostError(message);
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
function decode({ input, digest }: ArchiveReader, decoder: FrameDecoder, location: BlockLocation): Uint8Array | string {
  const { compressedLength, uncompressedLength, digest: expected } = location.record;
  const frame = new Uint8Array(compressedLength);
  const read = addon().read(input.fd as number, frame, 0, compressedLength, location.frameOffset);
  if (read < 0) return `it could not be read: ${errnoName(-read)}`;
  if (read < compressedLength) return "the archive ends inside of it";
  if (!equalBytes(digest.block(frame), expected)) {
    return "its bytes are not those that were written: the checksum differs";
  }
  const tar = new Uint8Array(uncompressedLength);
  try {
    decoder.decompress(tar, frame);
    return tar;
  } catch (error) {
    if (error instanceof TsfsaError && error.code !== "INTERNAL") return error.message;
    throw error;
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
