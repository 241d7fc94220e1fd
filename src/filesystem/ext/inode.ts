// The inode of ext2, ext3 and ext4: struct ext4_inode (Linux fs/ext4/ext4.h), of 128 bytes up to a block, with its checksum.

import { viewOf } from "../../base/bytes.ts";
import { addon } from "../../sys/addon.ts";
import { crc32cRaw } from "../crc32c.ts";
import type { Chunk } from "./device.ts";
import { incompat, roCompat } from "./features.ts";
import { damaged, wrongChecksum } from "./flaw.ts";
import type { ExtGeometry } from "./geometry.ts";

/** i_flags: EXT4_*_FL. */
export const inodeFlags = {
  encrypt: 0x800,
  index: 0x1000,
  hugeFile: 0x40000,
  extents: 0x80000,
  verity: 0x100000,
  eaInode: 0x200000,
  inlineData: 0x10000000,
  projectInherit: 0x20000000,
  casefold: 0x40000000,
} as const;

const goodOldSize = 128; // EXT4_GOOD_OLD_INODE_SIZE
/** i_block. */
export const mapField = 0x28;
export const mapBytes = 60;
/** What attributes begin with, in an inode and in a block of their own: EXT4_XATTR_MAGIC. */
export const attributeMagic = 0xea020000;

/** Where the times stand: the seconds, and more bits of them with the nanoseconds. */
export const timeFields = {
  access: { at: 0x08, extra: 0x8c },
  change: { at: 0x0c, extra: 0x84 },
  modification: { at: 0x10, extra: 0x88 },
  birth: { at: 0x90, extra: 0x94 },
} as const;
export type TimeField = (typeof timeFields)[keyof typeof timeFields];

/** An inode whose checksum is proved. It keeps the piece of the device that it stands in: not for holding many of. */
export class ExtInode {
  readonly number: number;
  readonly mode: number;
  readonly flags: number;
  readonly links: number;
  /** Bytes. */
  readonly size: number;
  /** The piece of the device it stands in, and where. */
  readonly view: DataView;
  readonly at: number;
  readonly #geometry: ExtGeometry;
  readonly #bytes: Uint8Array;
  /** Where the fields end. */
  readonly #end: number;

  /** Throws ExtFlaw. */
  constructor(geometry: ExtGeometry, number: number, chunk: Chunk, at: number) {
    const { view } = chunk;
    const { inodeSize } = geometry;
    this.number = number;
    this.view = view;
    this.at = at;
    this.#geometry = geometry;
    this.#bytes = chunk.bytes;
    const extra = inodeSize > goodOldSize ? view.getUint16(at + 0x80, true) : 0;
    const end = goodOldSize + extra;
    this.#end = end;
    if (end > inodeSize || extra % 4 !== 0) throw damaged(`inode ${number} has ${extra} bytes of extra fields`);
    if ((geometry.roCompat & roCompat.metadataChecksum) !== 0) prove(geometry, number, chunk, at);
    this.mode = view.getUint16(at, true);
    this.links = view.getUint16(at + 0x1a, true);
    this.flags = view.getUint32(at + 0x20, true);
    const isDirectory = (this.mode & 0xf000) === 0x4000;
    const isLong = !isDirectory || (geometry.incompat & incompat.largeDirectory) !== 0;
    this.size = wide(view.getUint32(at + 0x04, true), isLong ? view.getUint32(at + 0x6c, true) : 0);
    if (!Number.isSafeInteger(this.size)) throw damaged(`inode ${number} has a size of ${this.size} bytes`);
  }

  get uid(): number {
    const { view, at } = this;
    return view.getUint16(at + 0x02, true) + view.getUint16(at + 0x78, true) * 0x10000;
  }

  get gid(): number {
    const { view, at } = this;
    return view.getUint16(at + 0x18, true) + view.getUint16(at + 0x7a, true) * 0x10000;
  }

  /** Blocks it takes, of 512 bytes (ext4_inode_blocks()). */
  get sectors(): number {
    const { view, at } = this;
    const { roCompat: features, blockSize } = this.#geometry;
    const low = view.getUint32(at + 0x1c, true);
    if ((features & roCompat.hugeFile) === 0) return low;
    const blocks = wide(low, view.getUint16(at + 0x74, true));
    return (this.flags & inodeFlags.hugeFile) === 0 ? blocks : blocks * (blockSize / 512);
  }

  get projectId(): number {
    const isKnown = (this.#geometry.roCompat & roCompat.project) !== 0 && this.#end >= 0xa0;
    return isKnown ? this.view.getUint32(this.at + 0x9c, true) : 0;
  }

  /** Block of its attributes; 0: none. */
  get attributeBlock(): number {
    const { view, at } = this;
    const high = (this.#geometry.incompat & incompat.has64bit) !== 0 ? view.getUint16(at + 0x76, true) : 0;
    return wide(view.getUint32(at + 0x68, true), high);
  }

  get hasBirthTime(): boolean {
    return this.#end >= 0x94;
  }

  seconds(field: TimeField): number {
    return wide(this.view.getInt32(this.at + field.at, true), this.#extraTime(field.extra) & 3);
  }

  nanoseconds({ extra }: TimeField): number {
    return this.#extraTime(extra) >>> 2;
  }

  /** Start of the checksums of what belongs to the inode: directory blocks, extent blocks. */
  checksumSeed(): number {
    const place = new Uint8Array(8);
    viewOf(place).setUint32(0, this.number, true);
    place.set(this.#bytes.subarray(this.at + 0x64, this.at + 0x68), 4); // i_generation
    return crc32cRaw(this.#geometry.checksumSeed, place);
  }

  /** i_block: 60 bytes: a block map, the root of an extent tree, a short link's target, or the start of the content. Not to be changed. */
  get map(): Uint8Array {
    return this.#bytes.subarray(this.at + mapField, this.at + mapField + mapBytes);
  }

  /** Attributes in the inode, behind its fields, from their magic on. Empty: none. Not to be changed. */
  get tail(): Uint8Array {
    const { inodeSize } = this.#geometry;
    const end = this.#end;
    const hasTail = inodeSize >= end + 4 && this.view.getUint32(this.at + end, true) === attributeMagic;
    return hasTail ? this.#bytes.subarray(this.at + end, this.at + inodeSize) : noBytes;
  }

  #extraTime(field: number): number {
    return this.#end >= field + 4 ? this.view.getUint32(this.at + field, true) : 0;
  }
}

const noBytes = new Uint8Array(0);

/** A number of two words. A small one is calculated as such: the engine keeps it without a box. */
export function wide(low: number, high: number): number {
  return high === 0 ? low : high * 2 ** 32 + low;
}

/** Throws ExtFlaw if the checksum of an inode is wrong. At the first one of a piece of the device, all of its table in there are checked. */
function prove(geometry: ExtGeometry, number: number, chunk: Chunk, at: number): void {
  const { inodeSize, inodesPerGroup, checksumSeed } = geometry;
  const proved = (chunk.proved ??= new Uint32Array(Math.floor(chunk.bytes.length / inodeSize)));
  const index = at / inodeSize;
  if (proved[index] === number) return;
  let start = index;
  let end = index + 1;
  if (proved[index] === 0) {
    const before = (number - 1) % inodesPerGroup;
    start = Math.max(0, index - before);
    end = Math.min(proved.length, index - before + inodesPerGroup);
  }
  const [from, length] = [start * inodeSize, (end - start) * inodeSize];
  const first = number - index + start;
  addon().proveInodes(chunk.bytes, from, length, inodeSize, first, checksumSeed, proved.subarray(start, end));
  if (proved[index] !== number) throw wrongChecksum(`inode ${number}`);
}
