// The inode of ext2, ext3 and ext4: struct ext4_inode (Linux fs/ext4/ext4.h), of 128 bytes up to a block, with its checksum.

import { crc32cRaw } from "../crc32c.ts";
import type { Chunk, Metadata } from "./device.ts";
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
  /** Bytes. */
  readonly size: number;
  /** Start of the checksums of what belongs to the inode: directory blocks, extent blocks. */
  readonly checksumSeed: number;
  readonly #geometry: ExtGeometry;
  readonly #chunk: Chunk;
  readonly #at: number;
  /** Where the fields end. */
  readonly #end: number;

  /** Throws ExtFlaw. */
  constructor(geometry: ExtGeometry, number: number, { chunk, at }: Metadata) {
    const { inodeSize } = geometry;
    this.number = number;
    this.#geometry = geometry;
    this.#chunk = chunk;
    this.#at = at;
    const extra = inodeSize > goodOldSize ? this.#u16(0x80) : 0;
    this.#end = goodOldSize + extra;
    if (this.#end > inodeSize || extra % 4 !== 0) throw damaged(`inode ${number} has ${extra} bytes of extra fields`);
    this.checksumSeed = seedOf(geometry, number, this.generation);
    if ((geometry.roCompat & roCompat.metadataChecksum) !== 0) this.#prove();
    const isDirectory = (this.mode & 0xf000) === 0x4000;
    const isLong = !isDirectory || (geometry.incompat & incompat.largeDirectory) !== 0;
    this.size = this.#u32(0x04) + (isLong ? this.#u32(0x6c) * 2 ** 32 : 0);
    if (!Number.isSafeInteger(this.size)) throw damaged(`inode ${number} has a size of ${this.size} bytes`);
  }

  get mode(): number {
    return this.#u16(0x00);
  }

  get uid(): number {
    return this.#u16(0x02) + this.#u16(0x78) * 0x10000;
  }

  get gid(): number {
    return this.#u16(0x18) + this.#u16(0x7a) * 0x10000;
  }

  get links(): number {
    return this.#u16(0x1a);
  }

  /** Blocks it takes, of 512 bytes (ext4_inode_blocks()). */
  get sectors(): number {
    const { roCompat: features, blockSize } = this.#geometry;
    const low = this.#u32(0x1c);
    if ((features & roCompat.hugeFile) === 0) return low;
    const blocks = low + this.#u16(0x74) * 2 ** 32;
    return (this.flags & inodeFlags.hugeFile) === 0 ? blocks : blocks * (blockSize / 512);
  }

  get flags(): number {
    return this.#u32(0x20);
  }

  get generation(): number {
    return this.#u32(0x64);
  }

  get projectId(): number {
    return (this.#geometry.roCompat & roCompat.project) !== 0 && this.#end >= 0xa0 ? this.#u32(0x9c) : 0;
  }

  /** Block of its attributes; 0: none. */
  get attributeBlock(): number {
    const high = (this.#geometry.incompat & incompat.has64bit) !== 0 ? this.#u16(0x76) : 0;
    return this.#u32(0x68) + high * 2 ** 32;
  }

  get hasBirthTime(): boolean {
    return this.#end >= 0x94;
  }

  seconds({ at, extra }: TimeField): number {
    return (this.#u32(at) | 0) + (this.#extraTime(extra) & 3) * 2 ** 32;
  }

  nanoseconds({ extra }: TimeField): number {
    return this.#extraTime(extra) >>> 2;
  }

  /** i_block: 60 bytes: a block map, the root of an extent tree, a short link's target, or the start of the content. Not to be changed. */
  get map(): Uint8Array {
    return this.#chunk.bytes.subarray(this.#at + 0x28, this.#at + 0x64);
  }

  /** Attributes in the inode, behind its fields, from their magic on. Empty: none. Not to be changed. */
  get tail(): Uint8Array {
    const { inodeSize } = this.#geometry;
    const hasTail = inodeSize >= this.#end + 4 && this.#u32(this.#end) === attributeMagic;
    return hasTail ? this.#chunk.bytes.subarray(this.#at + this.#end, this.#at + inodeSize) : noBytes;
  }

  #u16(field: number): number {
    return this.#chunk.view.getUint16(this.#at + field, true);
  }

  #u32(field: number): number {
    return this.#chunk.view.getUint32(this.#at + field, true);
  }

  #extraTime(field: number): number {
    return this.#end >= field + 4 ? this.#u32(field) : 0;
  }

  /** Once for each piece of the device in memory. */
  #prove(): void {
    const { proved } = this.#chunk;
    if (proved[this.#at >>> 7] === this.number) return;
    if (!this.#isChecksumRight()) throw wrongChecksum(`inode ${this.number}`);
    proved[this.#at >>> 7] = this.number;
  }

  /** ext4_inode_csum(): the fields that hold the checksum count as zeros. */
  #isChecksumRight(): boolean {
    const { bytes } = this.#chunk;
    const start = this.#at;
    const end = start + this.#geometry.inodeSize;
    const hasHigh = this.#end >= 0x84;
    let crc = crc32cRaw(this.checksumSeed, bytes, start, start + 0x7c);
    crc = crc32cRaw(crc, zeros);
    crc = crc32cRaw(crc, bytes, start + 0x7e, hasHigh ? start + 0x82 : end);
    const low = this.#u16(0x7c);
    if (!hasHigh) return (crc & 0xffff) === low;
    crc = crc32cRaw(crc, zeros);
    return crc32cRaw(crc, bytes, start + 0x84, end) === low + this.#u16(0x82) * 0x10000;
  }
}

const noBytes = new Uint8Array(0);
const zeros = new Uint8Array(2);
const seedBytes = new Uint8Array(8);
const seedView = new DataView(seedBytes.buffer);

function seedOf(geometry: ExtGeometry, number: number, generation: number): number {
  seedView.setUint32(0, number, true);
  seedView.setUint32(4, generation, true);
  return crc32cRaw(geometry.checksumSeed, seedBytes);
}
