// The jobs of an image: a device as one sparse file below its source's root, read through an open descriptor. The first block holds the root, the
// file's headers with the map of what was read, and the first slice; each further block is one slice.
// Invariant: as in pack.ts, the bytes made depend on the input and the device only.

import { concatBytes } from "../base/bytes.ts";
import { createEncoder, type FrameEncoder } from "../codec/codec.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { digestLeaves } from "../codec/leaves.ts";
import { MemberEncoder, type MemberFields } from "../format/member.ts";
import { RowEncoder } from "../format/segment.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { alignedBytes } from "../sys/aligned.ts";
import { POSIX_FADV_DONTNEED } from "../sys/constants.ts";
import { segmentsToExtents, sumOfSegments } from "../sys/data-runs.ts";
import { type ReadOutcome, readRange } from "./content.ts";
import { emptyPackTotals, noDirectory } from "./job.ts";
import type { ImageInput, ImageSliceInput, PackOutput, SaveWorkerData } from "./protocol.ts";
import { sealTar } from "./seal.ts";

const noBytes = new Uint8Array(0);
const rootMode = 0o755;
const imageMode = 0o600;
const directBytesMin = 256 * 1024;

export class ImagePacker {
  readonly #encoder: FrameEncoder;
  readonly #digest: Digest;
  readonly #members = new MemberEncoder();
  readonly #rows = new RowEncoder();
  #tar: Uint8Array = noBytes;

  private constructor(encoder: FrameEncoder, digest: Digest) {
    this.#encoder = encoder;
    this.#digest = digest;
  }

  static async create({ compression, digest }: SaveWorkerData): Promise<ImagePacker> {
    return new ImagePacker(await createEncoder(compression.codec, compression.level), await createDigest(digest));
  }

  /** The block in which the image starts. */
  first(input: ImageInput): JobResult<PackOutput> {
    const members = membersOf(input);
    const headers = members.map((fields) => this.#members.size(fields));
    const length = headers.reduce((sum, size) => sum + size, 0);
    this.#reserve(length + sumOfSegments(input.segments) + input.padding);
    let at = 0;
    for (const [i, fields] of members.entries()) {
      this.#rows.add(rowOf(fields, i, at, input));
      at = this.#members.encode(this.#tar, at, fields);
    }
    const totals = {
      ...emptyPackTotals(),
      entries: 2,
      members: 2,
      directories: 1,
      files: 1,
      bytes: input.size,
      dataBytes: sumOfSegments(input.runs),
    };
    return this.#finish(input, at, totals);
  }

  /** A block that goes on with the image. */
  slice(input: ImageSliceInput): JobResult<PackOutput> {
    this.#reserve(sumOfSegments(input.segments) + input.padding);
    return this.#finish(input, 0, undefined);
  }

  /** Reads the slice behind `dataOffset` bytes of headers and seals the block. */
  #finish(input: ImageSliceInput, dataOffset: number, totals: PackOutput["totals"]): JobResult<PackOutput> {
    const { fd, directFd, segments, start, end, padding, slot } = input;
    const outcome: ReadOutcome = { damaged: [], short: false, errno: 0 };
    let at = dataOffset;
    for (let i = 0; i < segments.length; i += 2) {
      const [position, length] = [segments[i] as number, segments[i + 1] as number];
      if (!readDirect(directFd, this.#tar, at, length, position)) {
        readRange(fd, this.#tar, at, length, position, outcome);
        if (directFd !== undefined) addon().advise(fd, position, length, POSIX_FADV_DONTNEED);
      }
      at += length;
    }
    this.#tar.fill(0, at, at + padding);
    const leaves = digestLeaves(this.#digest, this.#tar, dataOffset, segments, start, end);
    const sealed = sealTar(this.#encoder, this.#digest, this.#rows, this.#tar, at + padding, slot);
    const output: PackOutput = {
      blocks: [{ ...sealed, directory: noDirectory }],
      carried: { rows: noBytes, digests: noBytes, count: 0, directory: noDirectory },
      leaves,
      damagedRanges: outcome.damaged,
      changed: outcome.short,
      warnings: [],
      totals,
    };
    return { output, transfer: [leaves.numbers.buffer as ArrayBuffer, leaves.digests.buffer as ArrayBuffer] };
  }

  #reserve(length: number): void {
    if (length > this.#tar.length) this.#tar = alignedBytes(length);
  }
}

/**
 * Past the page cache, which costs the processor less and takes no memory from others. False: it was not read so: a short run (reading ahead is worth
 * more), one that is not aligned as the device wants it, or one that cannot be read whole.
 */
function readDirect(fd: number | undefined, tar: Uint8Array, at: number, length: number, position: number): boolean {
  return fd !== undefined && length >= directBytesMin && addon().read(fd, tar, at, length, position) === length;
}

/** Root and image as tar members. */
function membersOf({ prefix, name, uid, gid, mtime, size, runs, firstEntry }: ImageInput): readonly MemberFields[] {
  const common = { uid, gid, mtimeSeconds: mtime.seconds, mtimeNanoseconds: mtime.nanoseconds };
  const isWhole = runs.length === 2 && runs[0] === 0 && runs[1] === size;
  return [
    { ...common, kind: EntryKind.directory, path: prefix, mode: rootMode, size: 0, entryNumber: firstEntry },
    {
      ...common,
      kind: EntryKind.file,
      path: concatBytes([prefix, name]),
      mode: imageMode,
      size,
      entryNumber: firstEntry + 1,
      sparse: isWhole ? undefined : { realSize: size, segments: segmentsToExtents(runs) },
    },
  ];
}

function rowOf(fields: MemberFields, depth: number, offset: number, { name, mtime }: ImageInput): CatalogRow {
  const isImage = fields.kind === EntryKind.file;
  return {
    kind: fields.kind,
    depth,
    name: isImage ? name : noBytes,
    offset,
    mode: fields.mode,
    uid: fields.uid,
    gid: fields.gid,
    size: fields.size,
    mtime,
    atime: mtime,
    inodeFlags: 0,
    projectId: 0,
    linked: false,
    changed: false,
    damaged: false,
    sparse: fields.sparse !== undefined,
    attributesLost: false,
    continued: isImage,
  };
}
