// The inode of ext2, ext3 and ext4: struct ext4_inode (Linux fs/ext4/ext4.h), of 128 bytes up to a block, with its checksum.

import { crc32cRaw } from "../crc32c.ts";
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
  /** What follows the fields: attributes in the inode. Empty: none. */
  readonly tail: Uint8Array;
  /** Start of the checksums of what belongs to the inode: directory blocks, extent blocks. */
  readonly checksumSeed: number;
}

/** Decodes inode `number` from its bytes, which may be overwritten later. Throws ExtFlaw. */
export function decodeInode(geometry: ExtGeometry, number: number, record: Uint8Array): ExtInode {
  const bytes = record.slice();
  const view = new DataView(bytes.buffer);
  const u16 = (at: number): number => view.getUint16(at, true);
  const u32 = (at: number): number => view.getUint32(at, true);
  const extra = bytes.length > goodOldSize ? u16(0x80) : 0;
  if (goodOldSize + extra > bytes.length || extra % 4 !== 0) {
    throw damaged(`inode ${number} has ${extra} bytes of extra fields`);
  }
  const fits = (end: number): boolean => end <= goodOldSize + extra;
  const generation = u32(0x64);
  const checksumSeed = seedOf(geometry, number, generation);
  const mode = u16(0x00);
  const flags = u32(0x20);
  if (
    (geometry.roCompat & roCompat.metadataChecksum) !== 0 &&
    !isChecksumRight(bytes, view, checksumSeed, fits(0x84))
  ) {
    throw wrongChecksum(`inode ${number}`);
  }
  const isDirectory = (mode & 0xf000) === 0x4000;
  const isLong = !isDirectory || (geometry.incompat & incompat.largeDirectory) !== 0;
  const size = u32(0x04) + (isLong ? u32(0x6c) * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw damaged(`inode ${number} has a size of ${size} bytes`);
  const time = (at: number, extraAt: number): ExtTime => {
    const more = fits(extraAt + 4) ? u32(extraAt) : 0;
    return { seconds: view.getInt32(at, true) + (more & 3) * 2 ** 32, nanoseconds: more >>> 2 };
  };
  return {
    number,
    mode,
    uid: u16(0x02) + u16(0x78) * 0x10000,
    gid: u16(0x18) + u16(0x7a) * 0x10000,
    size,
    links: u16(0x1a),
    sectors: sectorsOf(geometry, flags, u32(0x1c), u16(0x74)),
    flags,
    generation,
    projectId: (geometry.roCompat & roCompat.project) !== 0 && fits(0xa0) ? u32(0x9c) : 0,
    attributeBlock: u32(0x68) + ((geometry.incompat & incompat.has64bit) !== 0 ? u16(0x76) * 2 ** 32 : 0),
    atime: time(0x08, 0x8c),
    mtime: time(0x10, 0x88),
    ctime: time(0x0c, 0x84),
    btime: fits(0x94) ? time(0x90, 0x94) : undefined,
    map: bytes.subarray(0x28, 0x64),
    tail: bytes.length > goodOldSize ? bytes.subarray(goodOldSize + extra) : bytes.subarray(0, 0),
    checksumSeed,
  };
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

const zeros = new Uint8Array(4);

/** ext4_inode_csum(): the fields that hold the checksum count as zeros. */
function isChecksumRight(bytes: Uint8Array, view: DataView, seed: number, hasHigh: boolean): boolean {
  let crc = crc32cRaw(seed, bytes.subarray(0, 0x7c));
  crc = crc32cRaw(crc, zeros.subarray(0, 2));
  crc = crc32cRaw(crc, bytes.subarray(0x7e, goodOldSize));
  if (bytes.length > goodOldSize) {
    crc = crc32cRaw(crc, bytes.subarray(goodOldSize, 0x82));
    if (hasHigh) crc = crc32cRaw(crc, zeros.subarray(0, 2));
    crc = crc32cRaw(crc, bytes.subarray(hasHigh ? 0x84 : 0x82));
  }
  const low = view.getUint16(0x7c, true);
  return hasHigh ? crc === low + view.getUint16(0x82, true) * 0x10000 : (crc & 0xffff) === low;
}
