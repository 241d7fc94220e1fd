// The block groups of an ext file system: struct ext4_group_desc (Linux fs/ext4/ext4.h), with their checksums proved and every place in them within
// the file system.

import { crc16 } from "../crc16.ts";
import { crc32cRaw } from "../crc32c.ts";
import { MetadataFlaw, readExactly } from "../exact.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import { roCompat } from "./features.ts";
import { descriptorBlock, type ExtGeometry } from "./geometry.ts";

/** bg_flags. */
export const groupFlags = { inodeUninitialised: 1, blockUninitialised: 2, inodeTableZeroed: 4 } as const;

export interface ExtGroup {
  readonly number: number;
  /** Block numbers. */
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  /** Clusters, with bigalloc. */
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly usedDirectories: number;
  readonly flags: number;
  /** Inodes at the end of the table that were never used; counts only with group checksums. */
  readonly unusedInodes: number;
  readonly blockBitmapChecksum: number;
  readonly inodeBitmapChecksum: number;
}

/** Blocks of one group's inode table. */
export function inodeTableBlocks({ inodesPerGroup, inodeSize, blockSize }: ExtGeometry): number {
  return Math.ceil((inodesPerGroup * inodeSize) / blockSize);
}

/** All groups in order, each descriptor proved when it is reached. Throws MetadataFlaw. */
export function* readGroups(reader: ByteReader, geometry: ExtGeometry): Generator<ExtGroup, void> {
  const { groupCount, descriptorsPerBlock, descriptorSize, blockSize } = geometry;
  let block: Uint8Array = new Uint8Array(0);
  for (let number = 0; number < groupCount; number++) {
    const index = number % descriptorsPerBlock;
    if (index === 0) {
      const place = descriptorBlock(geometry, number / descriptorsPerBlock);
      block = readExactly(reader, place * blockSize, blockSize, `the descriptor of group ${number}`);
    }
    yield decodeGroup(geometry, number, block.subarray(index * descriptorSize, (index + 1) * descriptorSize));
  }
}

function decodeGroup(geometry: ExtGeometry, number: number, bytes: Uint8Array): ExtGroup {
  const d = new Fields(bytes);
  if (!isChecksumRight(geometry, number, bytes)) {
    throw new MetadataFlaw(`the checksum of the descriptor of group ${number} is wrong`);
  }
  const isWide = bytes.length >= 64;
  const u32 = (low: number, high: number): number => d.u32(low) + (isWide ? d.u32(high) * 2 ** 32 : 0);
  const u16 = (low: number, high: number): number => d.u16(low) + (isWide ? d.u16(high) * 2 ** 16 : 0);
  const group: ExtGroup = {
    number,
    blockBitmap: u32(0x00, 0x20),
    inodeBitmap: u32(0x04, 0x24),
    inodeTable: u32(0x08, 0x28),
    freeBlocks: u16(0x0c, 0x2c),
    freeInodes: u16(0x0e, 0x2e),
    usedDirectories: u16(0x10, 0x30),
    flags: hasChecksums(geometry) ? d.u16(0x12) : 0,
    unusedInodes: hasChecksums(geometry) ? u16(0x1c, 0x32) : 0,
    blockBitmapChecksum: u16(0x18, 0x38),
    inodeBitmapChecksum: u16(0x1a, 0x3a),
  };
  requireInside(geometry, group.blockBitmap, 1, `the block bitmap of group ${number}`);
  requireInside(geometry, group.inodeBitmap, 1, `the inode bitmap of group ${number}`);
  requireInside(geometry, group.inodeTable, inodeTableBlocks(geometry), `the inode table of group ${number}`);
  return group;
}

function requireInside(geometry: ExtGeometry, block: number, count: number, what: string): void {
  if (block > geometry.firstDataBlock && block + count <= geometry.blockCount) return;
  throw new MetadataFlaw(`${what} does not lie in the file system (block ${block} of ${geometry.blockCount})`);
}

/** Flags and counts of never used inodes stand in a descriptor only where it has a checksum (ext4_has_group_desc_csum()). */
function hasChecksums({ roCompat: features }: ExtGeometry): boolean {
  return (features & (roCompat.metadataChecksum | roCompat.groupChecksum)) !== 0;
}

/** ext4_group_desc_csum(). */
function isChecksumRight(geometry: ExtGeometry, number: number, bytes: Uint8Array): boolean {
  if (!hasChecksums(geometry)) return true;
  const stored = new Fields(bytes).u16(0x1e);
  const groupNumber = new Uint8Array(4);
  new DataView(groupNumber.buffer).setUint32(0, number, true);
  if ((geometry.roCompat & roCompat.metadataChecksum) !== 0) {
    const zeroed = bytes.slice();
    zeroed.fill(0, 0x1e, 0x20);
    return (crc32cRaw(crc32cRaw(geometry.checksumSeed, groupNumber), zeroed) & 0xffff) === stored;
  }
  let crc = crc16(crc16(0xffff, geometry.uuid), groupNumber);
  crc = crc16(crc, bytes.subarray(0, 0x1e));
  // What follows the checksum counts only in descriptors of 64 bytes and more.
  return crc16(crc, bytes.subarray(0x20)) === stored;
}

/** CRC-32C of a bitmap as metadata_csum keeps it: 32 bits where the descriptor has room for them, else the low 16. */
export function bitmapChecksum(geometry: ExtGeometry, bitmap: Uint8Array): number {
  const crc = crc32cRaw(geometry.checksumSeed, bitmap);
  return geometry.descriptorSize >= 64 ? crc : crc & 0xffff;
}
