// The unpack job: fetch one frame, prove it, decompress it, check that the tar members and the catalog rows tell the same story, and write what was
// asked for. Verifying is the same without the writing.
// Invariant: a block that is not whole, or that disagrees with its rows, writes nothing.

import { BlockDamage, damageOf, type FramePlace, FrameReader } from "../archive/frames.ts";
import { equalBytes, latin1 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves, type Leaves } from "../codec/leaves.ts";
import { checkPadding, decodeMember, type Member, type MemberBody, memberEnd } from "../format/memberDecoder.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import { padded } from "../format/ustar.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { systemError } from "../sys/errors.ts";
import { EntryCreator, segmentsOf, writeSegments } from "./create.ts";
import {
  type IndexOutput,
  type LargeStart,
  type PlainBlock,
  renamedRow,
  type RestoreWorkerData,
  type SliceRestoreInput,
  type UnpackInput,
  type UnpackOutput,
} from "./protocol.ts";
import { FileKeeper } from "./keep.ts";
import { prepareCompression } from "./metadata.ts";
import { carefulPolicy } from "./policy.ts";
import { differenceOf, firstBytes, leafEnd } from "./member-row.ts";
import { memberPaths, RowPath, type RowPlace } from "./row-path.ts";
import { MadeFiles } from "./scatter.ts";

/** A block whose tar bytes were proved; they are valid until the next one is opened. */
export interface OpenedBlock {
  readonly tar: Uint8Array;
  readonly rows: readonly CatalogRow[];
  /** By row; undefined: it has none. */
  readonly members: readonly (MemberBody | undefined)[];
}

/** Which rows the addon found to be plain (comparePlain), and where their data stand. */
interface PlainRows {
  readonly count: number;
  readonly places: Float64Array;
}

export class Unpacker {
  readonly #data: RestoreWorkerData;
  readonly #frames: FrameReader;
  readonly #digest: Digest;
  #tar = new Uint8Array(0);

  private constructor(data: RestoreWorkerData, frames: FrameReader) {
    this.#data = data;
    this.#frames = frames;
    this.#digest = frames.digest;
  }

  static async create(data: RestoreWorkerData): Promise<Unpacker> {
    return new Unpacker(data, await FrameReader.create(data.codec, data.digest));
  }

  /** A plain block. */
  unpack(input: UnpackInput): JobResult<UnpackOutput> {
    try {
      const tar = this.#decodePlain(input);
      const plain = this.#comparePlain(input, tar, !input.write);
      const opened = isWhole(input, tar, plain) ? undefined : this.#match(input, tar, plain);
      const made = input.write ? this.#makeFiles(input, tar, plain.places, opened) : undefined;
      if (opened === undefined && (made?.open ?? 0) === 0)
        return { output: { ...nothing, bytes: bytesOf(input, plain) } };
      const { rows, members } = opened ?? this.#match(input, tar, plain);
      return this.#unpackRows(input, tar, rows, members, made);
    } catch (error) {
      const output = damaged(error);
      return { output: input.keepDamaged && !output.hostile ? { ...output, ...this.#keepFiles(input) } : output };
    }
  }

  /** Writes what can be had of the files of a damaged block. */
  #keepFiles(input: UnpackInput): Pick<UnpackOutput, "kept" | "inodes" | "warnings"> {
    const target = this.#reserve(input.frame);
    const tar = target.subarray(0, this.#frames.recover(input.frame, target));
    const { policy } = this.#data;
    const keeper = new FileKeeper(input.careful ? carefulPolicy(policy) : policy, this.#digest, tar);
    return keeper.keep(input);
  }

  /** Rows and members of a plain block, which agree. Throws BlockDamage, ARCHIVE_DAMAGED, ARCHIVE_HOSTILE. */
  open(input: PlainBlock): OpenedBlock {
    const tar = this.#decodePlain(input);
    return this.#match(input, tar, this.#comparePlain(input, tar, false));
  }

  #decodePlain({ end, frame }: PlainBlock): Uint8Array {
    return end ? this.#decodeEnd(frame) : this.decode(frame);
  }

  #comparePlain(input: PlainBlock, tar: Uint8Array, checksDigests: boolean): PlainRows {
    const { count, rows, digests, parentPath, firstDepth, prefixes } = input;
    const places = new Float64Array(2 * count);
    if (this.#digest.name !== "xxh128" || prefixes.length > 1) return { count: 0, places };
    const prefix = prefixes[0]?.prefix ?? noPath;
    const native = addon();
    return {
      count: native.comparePlain(tar, rows, count, digests, checksDigests, parentPath, firstDepth, prefix, places),
      places,
    };
  }

  #match(input: PlainBlock, tar: Uint8Array, plain: PlainRows): OpenedBlock {
    const { count, rows: encoded, digests } = input;
    const rows = decodeBlockRows({ count, rows: encoded, digests }, this.#digest.length);
    return { tar, rows, members: matchMembers(input, tar, rows, plain) };
  }

  /** Makes the plain files of a block that is whole and agrees with its rows; undefined: none of them can be plain. */
  #makeFiles(
    input: UnpackInput,
    tar: Uint8Array,
    places: Float64Array,
    opened: OpenedBlock | undefined,
  ): MadeFiles | undefined {
    const { policy } = this.#data;
    if (input.careful || policy.clearInheritedAcl || this.#digest.name !== "xxh128") return undefined;
    for (const [index, member] of opened?.members.entries() ?? []) {
      if (member !== undefined) places.set(placeOf(member), 2 * index);
    }
    for (const index of input.renamed.keys()) places[2 * index] = 0;
    return new MadeFiles(input, tar, places, policy);
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
        const written = writeSegments(input.fd, tar, 0, input.segments, 0, input.shared);
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
  index(
    place: FramePlace,
    index: (tar: Uint8Array, digestOf: (member: Member) => Uint8Array) => IndexOutput,
  ): IndexOutput {
    try {
      const tar = this.decode(place);
      return index(tar, (member) => this.#digestFiles(tar, [member])[0] as Uint8Array);
    } catch (error) {
      const none = new Uint8Array(0);
      return { damage: damaged(error).damage, count: 0, rows: none, digests: none, firstPath: none };
    }
  }

  /** Why a frame is damaged, by its checksum alone; undefined: it is not. */
  check(place: FramePlace): string | undefined {
    try {
      this.#frames.prove(place);
      return undefined;
    } catch (error) {
      return damageOf(error).damage;
    }
  }

  /** The tar bytes of a block, valid until the next call. Throws BlockDamage or ARCHIVE_DAMAGED. */
  decode(place: FramePlace): Uint8Array {
    const tar = this.#reserve(place);
    this.#frames.decode(place, tar);
    return tar;
  }

  #reserve({ uncompressedLength }: FramePlace): Uint8Array {
    if (this.#tar.length < uncompressedLength) this.#tar = new Uint8Array(uncompressedLength);
    return this.#tar.subarray(0, uncompressedLength);
  }

  /** The end block holds zeros, and no members. */
  #decodeEnd(place: FramePlace): Uint8Array {
    const tar = this.decode(place);
    if (!addon().isZero(tar, 0, tar.length))
      throw new BlockDamage("the end block holds more than the end of the tar stream", true);
    return tar.subarray(0, 0);
  }

  #unpackRows(
    input: UnpackInput,
    tar: Uint8Array,
    rows: readonly CatalogRow[],
    members: readonly (MemberBody | undefined)[],
    made: MadeFiles | undefined,
  ): JobResult<UnpackOutput> {
    const pathOf = memberPaths(rows, input);
    const { policy } = this.#data;
    const creator = new EntryCreator(input.careful ? carefulPolicy(policy) : policy, this.#digest, tar);
    const directories: { row: number; attributes: Member["attributes"] }[] = [];
    const links: { row: number; target: string }[] = [];
    let large: LargeStart | undefined;
    let bytes = 0;
    const verifying: { row: CatalogRow; member: MemberBody; index: number }[] = [];
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as CatalogRow;
      const member = members[index];
      const dirFd = input.dirFds[index] as number;
      const isWritten = dirFd >= 0 || (row.continued && input.largeFd !== undefined);
      if (member !== undefined && row.kind === EntryKind.file && (!input.write || isWritten)) {
        bytes += member.dataAvailable;
      }
      if (row.continued && member !== undefined) {
        if (input.largeFd !== undefined) large = this.#startLarge(input.largeFd, tar, member, row.sharedExtents);
        continue;
      }
      if (row.kind === EntryKind.hardlink && member?.linkPath !== undefined) {
        links.push({ row: index, target: latin1(this.#digest.hash(member.linkPath)) });
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
        const entry = { index, row: named, member, dirFd, path: (): Uint8Array => pathOf(index) };
        const file = made?.at(index);
        if (file === undefined) creator.add(entry);
        else creator.made(entry, file);
      }
    }
    const warnings = creator.warnings;
    const { failed, inodes } = creator;
    for (const { index } of this.#differing(tar, verifying)) {
      failed.push(index);
      warnings.push({ code: "ENTRY_DAMAGED", path: pathOf(index), message: otherContent });
    }
    const output = { ...nothing, warnings, directories, links, inodes, failed, large, bytes };
    return { output, transfer: large === undefined ? [] : transferOf(large.leaves) };
  }

  #startLarge(fd: number, tar: Uint8Array, member: MemberBody, shared: readonly Extent[] | undefined): LargeStart {
    const all = segmentsOf(member);
    const inBlock = firstBytes(all, member.dataAvailable);
    if (fd >= 0) prepareCompression(fd, member.attributes);
    const written = fd < 0 ? 0 : writeSegments(fd, tar, member.dataOffset, inBlock, 0, shared);
    if (written < 0) throw systemError(-written, "writing");
    return {
      attributes: copyAttributes(member),
      segments: member.sparse === undefined ? undefined : all,
      leaves: digestLeaves(this.#digest, tar, member.dataOffset, inBlock, 0, leafEnd(inBlock, member.size)),
      dataInBlock: member.dataAvailable,
    };
  }

  /** Files that are not written, and whose digests are others than their rows have. */
  #differing<File extends { readonly row: CatalogRow; readonly member: MemberBody }>(
    tar: Uint8Array,
    files: readonly File[],
  ): File[] {
    const digests = this.#digestFiles(
      tar,
      files.map(({ member }) => member),
    );
    return files.filter(({ row }, i) => row.digest !== undefined && !equalBytes(digests[i] as Uint8Array, row.digest));
  }

  #digestFiles(tar: Uint8Array, members: readonly MemberBody[]): Uint8Array[] {
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

const noPath = new Uint8Array(0);
const otherContent = "its content is not the content that was saved: the digests differ";

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

/** The rows are those of the block, all plain, and so is nothing else in it. */
function isWhole({ count }: PlainBlock, tar: Uint8Array, plain: PlainRows): boolean {
  if (plain.count < count || count === 0) return false;
  return padded((plain.places.at(-2) as number) + (plain.places.at(-1) as number)) === tar.length;
}

/** Bytes of content that are verified or written. */
function bytesOf({ count, write, dirFds }: UnpackInput, { places }: PlainRows): number {
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    if (!write || (dirFds[i] as number) >= 0) bytes += places[2 * i + 1] as number;
  }
  return bytes;
}

/** Where the data of a member stand, if it is no more than a file: else 0, 0. */
function placeOf({ sparse, attributes, dataOffset, dataLength, dataAvailable }: MemberBody): [number, number] {
  const isBare = sparse === undefined && attributes.length === 0 && dataAvailable === dataLength;
  return isBare ? [dataOffset, dataLength] : [0, 0];
}

/** The member of each row, or a thrown BlockDamage where tar and catalog disagree. */
function matchMembers(
  input: RowPlace,
  tar: Uint8Array,
  rows: readonly CatalogRow[],
  { places }: PlainRows,
): (MemberBody | undefined)[] {
  const path = new RowPath(input.parentPath, input.firstDepth, input.prefixes);
  const members: (MemberBody | undefined)[] = [];
  let offset = 0;
  for (const [index, row] of rows.entries()) {
    path.enter(index, row);
    const dataOffset = places[2 * index] as number;
    if (row.kind === EntryKind.socket || row.kind === EntryKind.absent) {
      members.push(undefined);
    } else if (dataOffset > 0 && row.offset === offset) {
      const member = plainMember(row, dataOffset);
      members.push(member);
      offset = padded(dataOffset + member.dataLength);
    } else {
      if (offset === tar.length) throw new BlockDamage("the block holds fewer members than the catalog tells");
      const member = decodeMember(tar, offset);
      checkMember(member, row, index, path.equals(member.path));
      if (row.continued && index < rows.length - 1) {
        throw new BlockDamage("a file that goes on in other blocks is not the last entry of its block", true);
      }
      members.push(member);
      offset = memberEnd(tar, member);
    }
  }
  if (offset === tar.length) return members;
  decodeMember(tar, offset);
  throw new BlockDamage("the block holds more members than the catalog tells");
}

function checkMember(member: Member, row: CatalogRow, index: number, hasName: boolean): void {
  const difference = hasName ? differenceOf(member, row) : "name";
  if (difference !== undefined) {
    throw new BlockDamage(
      `the ${difference} of a member and of its catalog row differ (entry ${index} of the block)`,
      true,
    );
  }
  if (member.dataAvailable < member.dataLength && !row.continued) {
    throw new BlockDamage("a file goes on in other blocks, and the catalog does not say so", true);
  }
}

/** The member of a row that the addon found to be plain. */
function plainMember({ kind, size, symlinkTarget }: CatalogRow, dataOffset: number): MemberBody {
  const dataLength = kind === EntryKind.file ? size : 0;
  const body = { size: dataLength, attributes: [], dataOffset, dataLength, dataAvailable: dataLength };
  return symlinkTarget === undefined ? body : { ...body, linkPath: symlinkTarget };
}

function copyAttributes(member: MemberBody): Member["attributes"] {
  return member.attributes.map(({ name, value }) => ({ name: name.slice(), value: value.slice() }));
}

function transferOf(leaves: Leaves): ArrayBuffer[] {
  return [leaves.numbers.buffer as ArrayBuffer, leaves.digests.buffer as ArrayBuffer];
}

/** A further name of an object: made by the main thread. Those of sockets have no member. */
function isLink(row: CatalogRow): boolean {
  return row.kind === EntryKind.hardlink || row.linkEntry !== undefined;
}
