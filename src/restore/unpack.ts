// The unpack job: fetch one frame, prove it, decompress it, check that the tar members and the catalog rows tell the same story, and write what was
// asked for. Verifying is the same without the writing.
// Invariant: a block that is not whole, or that disagrees with its rows, writes nothing.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { leafSizeBytes } from "../base/limits.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves, type Leaves } from "../codec/leaves.ts";
import { checkPadding, decodeMembers, type Member } from "../format/memberDecoder.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { systemError } from "../sys/errors.ts";
import { EntryCreator, segmentsOf, writeSegments } from "./create.ts";
import {
  type FramePlace,
  type IndexOutput,
  type LargeStart,
  type PlainBlock,
  renamedRow,
  type RestoreWorkerData,
  type SliceRestoreInput,
  type UnpackInput,
  type UnpackOutput,
} from "./protocol.ts";
import { carefulPolicy } from "./policy.ts";
import { memberPaths, RowPath, type RowPlace } from "./row-path.ts";

/** A block that cannot be used, and why. */
export class BlockDamage extends Error {
  readonly hostile: boolean;

  constructor(message: string, hostile = false) {
    super(message);
    this.hostile = hostile;
  }
}

/** A block whose tar bytes were proved; they are valid until the next one is opened. */
export interface OpenedBlock {
  readonly tar: Uint8Array;
  readonly rows: readonly CatalogRow[];
  /** By row; undefined: it has none. */
  readonly members: readonly (Member | undefined)[];
}

export class Unpacker {
  readonly #data: RestoreWorkerData;
  readonly #decoder: FrameDecoder;
  readonly #digest: Digest;
  #frame = new Uint8Array(0);
  #tar = new Uint8Array(0);

  private constructor(data: RestoreWorkerData, decoder: FrameDecoder, digest: Digest) {
    this.#data = data;
    this.#decoder = decoder;
    this.#digest = digest;
  }

  static async create(data: RestoreWorkerData): Promise<Unpacker> {
    return new Unpacker(data, await createDecoder(data.codec), await createDigest(data.digest));
  }

  /** A plain block. */
  unpack(input: UnpackInput): JobResult<UnpackOutput> {
    try {
      const { tar, rows, members } = this.open(input);
      return this.#unpackRows(input, tar, rows, members);
    } catch (error) {
      return { output: damaged(error) };
    }
  }

  /** Rows and members of a plain block, which agree. Throws BlockDamage, ARCHIVE_DAMAGED, ARCHIVE_HOSTILE. */
  open(input: PlainBlock): OpenedBlock {
    const tar = input.end ? this.#decodeEnd(input.frame) : this.decode(input.frame);
    const { count, rows: encoded, digests } = input;
    const rows = decodeBlockRows({ count, rows: encoded, digests }, this.#digest.length);
    return { tar, rows, members: matchMembers(input, tar, rows) };
  }

  /** A continuation block. */
  slice(input: SliceRestoreInput): JobResult<UnpackOutput> {
    try {
      const tar = this.decode(input.frame);
      let length = 0;
      for (let i = 1; i < input.segments.length; i += 2) length += input.segments[i] as number;
      if (tar.length !== Math.ceil(length / 512) * 512) {
        throw new BlockDamage(`expected ${length} bytes of a file, found a block of ${tar.length}`);
      }
      checkPadding(tar, length);
      const leaves = digestLeaves(
        this.#digest,
        tar,
        0,
        input.segments,
        input.fileOffset,
        leafEnd(input.segments, input.size),
      );
      const warnings: Warning[] = [];
      if (input.fd >= 0) {
        const written = writeSegments(input.fd, tar, 0, input.segments, 0);
        if (written < 0) throw systemError(-written, "writing");
      }
      return { output: { ...nothing, warnings, leaves, bytes: length }, transfer: transferOf(leaves) };
    } catch (error) {
      if (error instanceof TsfsaError && error.code !== "ARCHIVE_DAMAGED" && error.code !== "ARCHIVE_HOSTILE")
        throw error;
      return { output: damaged(error) };
    }
  }

  /** What `index` makes of the tar bytes of a block, or why it has none. */
  index(place: FramePlace, index: (tar: Uint8Array) => IndexOutput): IndexOutput {
    try {
      return index(this.decode(place));
    } catch (error) {
      const none = new Uint8Array(0);
      return { damage: damaged(error).damage, count: 0, rows: none, digests: none, firstPath: none };
    }
  }

  /** Why a frame is damaged, by its checksum alone; undefined: it is not. */
  check(place: FramePlace): string | undefined {
    try {
      this.#prove(place);
      return undefined;
    } catch (error) {
      return damageOf(error).damage;
    }
  }

  /** The tar bytes of a block, valid until the next call. Throws BlockDamage or ARCHIVE_DAMAGED. */
  decode(place: FramePlace): Uint8Array {
    const frame = this.#prove(place);
    if (this.#tar.length < place.uncompressedLength) this.#tar = new Uint8Array(place.uncompressedLength);
    const tar = this.#tar.subarray(0, place.uncompressedLength);
    this.#decoder.decompress(tar, frame);
    return tar;
  }

  /** The end block holds zeros, and no members. */
  #decodeEnd(place: FramePlace): Uint8Array {
    const tar = this.decode(place);
    if (!addon().isZero(tar, 0, tar.length))
      throw new BlockDamage("the end block holds more than the end of the tar stream", true);
    return tar.subarray(0, 0);
  }

  /** The frame's bytes, whose checksum is right. */
  #prove(place: FramePlace): Uint8Array {
    const frame = place.bytes ?? this.#readFrame(place);
    if (equalBytes(this.#digest.block(frame), place.digest)) return frame;
    throw new BlockDamage("its bytes are not those that were written: the checksum differs");
  }

  #readFrame(place: FramePlace): Uint8Array {
    const length = place.compressedLength;
    if (this.#frame.length < length) this.#frame = new Uint8Array(length);
    const read = addon().read(place.fd, this.#frame, 0, length, place.offset);
    if (read < 0) throw new BlockDamage(`it could not be read: ${systemError(-read, "read").context.errno}`);
    if (read < length) throw new BlockDamage("the archive ends inside of it");
    return this.#frame.subarray(0, length);
  }

  #unpackRows(
    input: UnpackInput,
    tar: Uint8Array,
    rows: readonly CatalogRow[],
    members: readonly (Member | undefined)[],
  ): JobResult<UnpackOutput> {
    const pathOf = memberPaths(rows, input);
    const { policy } = this.#data;
    const creator = new EntryCreator(input.careful ? carefulPolicy(policy) : policy, this.#digest, tar);
    const directories: { row: number; attributes: Member["attributes"] }[] = [];
    const links: { row: number; path: Uint8Array }[] = [];
    let large: LargeStart | undefined;
    let bytes = 0;
    const verifying: { row: CatalogRow; member: Member; index: number }[] = [];
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as CatalogRow;
      const member = members[index];
      const dirFd = input.dirFds[index] as number;
      if (member !== undefined && row.kind === EntryKind.file && (!input.write || dirFd >= 0)) {
        bytes += member.dataAvailable;
      }
      if (row.continued && member !== undefined) {
        if (input.largeFd !== undefined) large = this.#startLarge(input.largeFd, tar, member);
        continue;
      }
      if (row.kind === EntryKind.hardlink && member?.linkPath !== undefined) {
        links.push({ row: index, path: member.linkPath.slice() });
      }
      if (!input.write) {
        if (row.kind === EntryKind.file && member !== undefined) verifying.push({ row, member, index });
        continue;
      }
      if (row.kind === EntryKind.directory) {
        if (member !== undefined && member.attributes.length > 0)
          directories.push({ row: index, attributes: copyAttributes(member) });
      } else if (row.kind !== EntryKind.absent && !isLink(row) && dirFd >= 0) {
        const named = renamedRow(row, input.renamed.get(index));
        creator.add({ index, row: named, member, dirFd, path: () => pathOf(index) });
      }
    }
    creator.flush();
    const warnings = creator.warnings;
    for (const warning of this.#verify(tar, verifying, pathOf)) warnings.push(warning);
    const { failed, inodes } = creator;
    const output = { ...nothing, warnings, directories, links, inodes, failed, large, bytes };
    return { output, transfer: large === undefined ? [] : transferOf(large.leaves) };
  }

  #startLarge(fd: number, tar: Uint8Array, member: Member): LargeStart {
    const all = segmentsOf(member);
    const inBlock = firstBytes(all, member.dataAvailable);
    const written = fd < 0 ? 0 : writeSegments(fd, tar, member.dataOffset, inBlock, 0);
    if (written < 0) throw systemError(-written, "writing", member.path);
    return {
      attributes: copyAttributes(member),
      segments: member.sparse === undefined ? undefined : all,
      leaves: digestLeaves(this.#digest, tar, member.dataOffset, inBlock, 0, leafEnd(inBlock, member.size)),
      dataInBlock: member.dataAvailable,
    };
  }

  /** Digests of files that are not written. */
  *#verify(
    tar: Uint8Array,
    files: readonly { row: CatalogRow; member: Member; index: number }[],
    pathOf: (index: number) => Uint8Array,
  ): Generator<Warning, void> {
    const digests = this.#digestFiles(
      tar,
      files.map(({ member }) => member),
    );
    for (const [i, { row, index }] of files.entries()) {
      const digest = digests[i] as Uint8Array;
      if (row.digest === undefined || equalBytes(digest, row.digest)) continue;
      const message = "its content is not the content that was saved: the digests differ";
      yield { code: "ENTRY_DAMAGED", path: pathOf(index), message };
    }
  }

  #digestFiles(tar: Uint8Array, members: readonly Member[]): Uint8Array[] {
    const dense = members.filter((member) => member.sparse === undefined);
    const packed = new Uint8Array(dense.length * 16);
    if (this.#digest.name === "xxh128" && dense.length > 0) {
      const offsets = Float64Array.from(dense, (member) => member.dataOffset);
      const sizes = Float64Array.from(dense, (member) => member.size);
      addon().digestFiles(tar, offsets, sizes, dense.length, packed);
    }
    let next = 0;
    return members.map((member) => {
      if (member.sparse === undefined && this.#digest.name === "xxh128") {
        next++;
        return packed.subarray((next - 1) * 16, next * 16);
      }
      const leaves = digestLeaves(this.#digest, tar, member.dataOffset, segmentsOf(member), 0, member.size);
      return digestOfLeaves(this.#digest, leaves, member.size);
    });
  }
}

const nothing: UnpackOutput = {
  damage: undefined,
  hostile: false,
  warnings: [],
  directories: [],
  links: [],
  inodes: [],
  failed: [],
  large: undefined,
  bytes: 0,
};

/** Damage is an answer, not a failure of the job; anything else is thrown on. */
function damaged(error: unknown): UnpackOutput {
  return { ...nothing, ...damageOf(error) };
}

/** What is wrong with a block; throws on what is no damage. */
export function damageOf(error: unknown): { readonly damage: string; readonly hostile: boolean } {
  if (error instanceof BlockDamage) return { damage: error.message, hostile: error.hostile };
  if (error instanceof TsfsaError && (error.code === "ARCHIVE_DAMAGED" || error.code === "ARCHIVE_HOSTILE")) {
    return { damage: error.message, hostile: error.code === "ARCHIVE_HOSTILE" };
  }
  throw error;
}

/** The member of each row, or a thrown BlockDamage where tar and catalog disagree. */
function matchMembers(input: RowPlace, tar: Uint8Array, rows: readonly CatalogRow[]): (Member | undefined)[] {
  const found: (Member | undefined)[] = Array.from({ length: rows.length });
  const path = new RowPath(input.parentPath, input.firstDepth, input.prefixes);
  let next = 0;
  const skip = (): void => {
    for (; next < rows.length; next++) {
      const { kind } = rows[next] as CatalogRow;
      if (kind !== EntryKind.socket && kind !== EntryKind.absent) return;
      path.enter(next, rows[next] as CatalogRow);
    }
  };
  decodeMembers(tar, (member) => {
    skip();
    const row = rows[next];
    if (row === undefined) throw new BlockDamage("the block holds more members than the catalog tells");
    path.enter(next, row);
    const difference = path.equals(member.path) ? differenceOf(member, row) : "name";
    if (difference !== undefined) {
      throw new BlockDamage(
        `the ${difference} of a member and of its catalog row differ (entry ${next} of the block)`,
        true,
      );
    }
    if (member.dataAvailable < member.dataLength && !row.continued) {
      throw new BlockDamage("a file goes on in other blocks, and the catalog does not say so", true);
    }
    if (row.continued && next < rows.length - 1) {
      throw new BlockDamage("a file that goes on in other blocks is not the last entry of its block", true);
    }
    found[next++] = member;
  });
  skip();
  if (next < rows.length) throw new BlockDamage("the block holds fewer members than the catalog tells");
  return found;
}

/** The field in which tar and catalog disagree. */
export function differenceOf(member: Member, row: CatalogRow): string | undefined {
  if (member.kind !== row.kind) return "type";
  if (member.headerOffset !== row.offset) return "place";
  if (member.mode !== row.mode) return "mode";
  if (member.uid !== row.uid || member.gid !== row.gid) return "owner";
  if (member.mtime.seconds !== row.mtime.seconds || member.mtime.nanoseconds !== row.mtime.nanoseconds) return "mtime";
  if (row.kind === EntryKind.file && (member.size !== row.size || (member.sparse !== undefined) !== row.sparse))
    return "size";
  if (member.device?.major !== row.device?.major || member.device?.minor !== row.device?.minor) return "device number";
  if (row.kind === EntryKind.symlink && row.symlinkTarget !== undefined) {
    if (member.linkPath === undefined || !equalBytes(member.linkPath, row.symlinkTarget)) return "link target";
    if (row.size !== member.linkPath.length) return "size";
  }
  return undefined;
}

function copyAttributes(member: Member): Member["attributes"] {
  return member.attributes.map(({ name, value }) => ({ name: name.slice(), value: value.slice() }));
}

/** The runs that hold the first `length` bytes of data. */
export function firstBytes(runs: Float64Array, length: number): Float64Array {
  const taken: number[] = [];
  let left = length;
  for (let i = 0; i < runs.length && left > 0; i += 2) {
    const part = Math.min(runs[i + 1] as number, left);
    if (part > 0) taken.push(runs[i] as number, part);
    left -= part;
  }
  return Float64Array.from(taken);
}

/** End of the last leaf that holds data of these runs. */
export function leafEnd(runs: Float64Array, size: number): number {
  const end = runs.length === 0 ? 0 : (runs.at(-2) as number) + (runs.at(-1) as number);
  return Math.min(Math.ceil(end / leafSizeBytes) * leafSizeBytes, size);
}

function transferOf(leaves: Leaves): ArrayBuffer[] {
  return [leaves.numbers.buffer as ArrayBuffer, leaves.digests.buffer as ArrayBuffer];
}

/** A further name of an object: made by the main thread. Those of sockets have no member. */
function isLink(row: CatalogRow): boolean {
  return row.kind === EntryKind.hardlink || row.linkEntry !== undefined;
}
