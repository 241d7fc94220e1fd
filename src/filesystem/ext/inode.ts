// The inode of ext2, ext3 and ext4: struct ext4_inode (Linux fs/ext4/ext4.h), of 128 bytes up to a block, with its checksum.

import { crc32cRaw } from "../crc32c.ts";
import { attributeMagic } from "./attributes.ts";
import type { Metadata } from "./device.ts";
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

export interface ExtTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface ExtInode {
  readonly number: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  readonly links: number;
  /** Blocks it takes, of 512 bytes. */
  readonly sectors: number;
  readonly flags: number;
  readonly generation: number;
  readonly projectId: number;
  /** Block of its attributes; 0: none. */
  readonly attributeBlock: number;
  readonly atime: ExtTime;
  readonly mtime: ExtTime;
  readonly ctime: ExtTime;
  readonly btime: ExtTime | undefined;
  /** i_block: 60 bytes: a block map, the root of an extent tree, a short link's target, or the start of the content. */
  readonly map: Uint8Array;
  /** Attributes in the inode, behind its fields, from their magic on. Empty: none. */
  readonly tail: Uint8Array;
  /** Start of the checksums of what belongs to the inode: directory blocks, extent blocks. */
  readonly checksumSeed: number;
}

const noBytes = new Uint8Array(0);

/** Decodes inode `number`. Throws ExtFlaw. */
export function decodeInode(geometry: ExtGeometry, number: number, { chunk, at }: Metadata): ExtInode {
  const { bytes, view } = chunk;
  const { inodeSize } = geometry;
  const extra = inodeSize > goodOldSize ? view.getUint16(at + 0x80, true) : 0;
  const fieldsEnd = goodOldSize + extra;
  if (fieldsEnd > inodeSize || extra % 4 !== 0) throw damaged(`inode ${number} has ${extra} bytes of extra fields`);
  const generation = view.getUint32(at + 0x64, true);
  const checksumSeed = seedOf(geometry, number, generation);
  if (
    (geometry.roCompat & roCompat.metadataChecksum) !== 0 &&
    !isChecksumRight(chunk, at, inodeSize, checksumSeed, fieldsEnd >= 0x84)
  ) {
    throw wrongChecksum(`inode ${number}`);
  }
  const mode = view.getUint16(at, true);
  const flags = view.getUint32(at + 0x20, true);
  const isDirectory = (mode & 0xf000) === 0x4000;
  const isLong = !isDirectory || (geometry.incompat & incompat.largeDirectory) !== 0;
  const size = view.getUint32(at + 0x04, true) + (isLong ? view.getUint32(at + 0x6c, true) * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw damaged(`inode ${number} has a size of ${size} bytes`);
  const attributeHigh = (geometry.incompat & incompat.has64bit) !== 0 ? view.getUint16(at + 0x76, true) : 0;
  const hasTail = inodeSize >= fieldsEnd + 4 && view.getUint32(at + fieldsEnd, true) === attributeMagic;
  return {
    number,
    mode,
    uid: view.getUint16(at + 0x02, true) + view.getUint16(at + 0x78, true) * 0x10000,
    gid: view.getUint16(at + 0x18, true) + view.getUint16(at + 0x7a, true) * 0x10000,
    size,
    links: view.getUint16(at + 0x1a, true),
    sectors: sectorsOf(geometry, flags, view.getUint32(at + 0x1c, true), view.getUint16(at + 0x74, true)),
    flags,
    generation,
    projectId: (geometry.roCompat & roCompat.project) !== 0 && fieldsEnd >= 0xa0 ? view.getUint32(at + 0x9c, true) : 0,
    attributeBlock: view.getUint32(at + 0x68, true) + attributeHigh * 2 ** 32,
    atime: timeOf(view, at + 0x08, fieldsEnd >= 0x90 ? at + 0x8c : undefined),
    mtime: timeOf(view, at + 0x10, fieldsEnd >= 0x8c ? at + 0x88 : undefined),
    ctime: timeOf(view, at + 0x0c, fieldsEnd >= 0x88 ? at + 0x84 : undefined),
    btime: fieldsEnd >= 0x94 ? timeOf(view, at + 0x90, fieldsEnd >= 0x98 ? at + 0x94 : undefined) : undefined,
    map: bytes.slice(at + 0x28, at + 0x64),
    tail: hasTail ? bytes.slice(at + fieldsEnd, at + inodeSize) : noBytes,
    checksumSeed,
  };
}

/** Seconds, and where there are extra bits: two more of the seconds, and nanoseconds. */
function timeOf(view: DataView, at: number, extraAt: number | undefined): ExtTime {
  const extra = extraAt === undefined ? 0 : view.getUint32(extraAt, true);
  return { seconds: view.getInt32(at, true) + (extra & 3) * 2 ** 32, nanoseconds: extra >>> 2 };
}

/** ext4_inode_blocks(). */
function sectorsOf(geometry: ExtGeometry, flags: number, low: number, high: number): number {
  if ((geometry.roCompat & roCompat.hugeFile) === 0) return low;
  const blocks = low + high * 2 ** 32;
  return (flags & inodeFlags.hugeFile) === 0 ? blocks : blocks * (geometry.blockSize / 512);
}

const seedBytes = new Uint8Array(8);
const seedView = new DataView(seedBytes.buffer);

function seedOf(geometry: ExtGeometry, number: number, generation: number): number {
  seedView.setUint32(0, number, true);
  seedView.setUint32(4, generation, true);
  return crc32cRaw(geometry.checksumSeed, seedBytes);
}

const zeros = new Uint8Array(2);

/** ext4_inode_csum(): the fields that hold the checksum count as zeros. */
function isChecksumRight(
  { bytes, view }: Metadata["chunk"],
  start: number,
  size: number,
  seed: number,
  hasHigh: boolean,
): boolean {
  let crc = crc32cRaw(seed, bytes, start, start + 0x7c);
  crc = crc32cRaw(crc, zeros);
  crc = crc32cRaw(crc, bytes, start + 0x7e, start + (hasHigh ? 0x82 : size));
  if (hasHigh) {
    crc = crc32cRaw(crc, zeros);
    crc = crc32cRaw(crc, bytes, start + 0x84, start + size);
  }
  const low = view.getUint16(start + 0x7c, true);
  return hasHigh ? crc === low + view.getUint16(start + 0x82, true) * 0x10000 : (crc & 0xffff) === low;
}
