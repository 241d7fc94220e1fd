// Where things lie in an ext2, ext3 or ext4: the numbers of the superblock (struct ext4_super_block, Linux fs/ext4/ext4.h) that tell it, checked
// against each other and against the device.

import { crc32cRaw } from "../crc32c.ts";
import { MetadataFlaw, readExactly } from "../exact.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import { extSuperblockOffset, readExt } from "../superblock/ext.ts";
import { compat, incompat, roCompat } from "./features.ts";

export interface ExtGeometry {
  readonly compat: number;
  readonly incompat: number;
  readonly roCompat: number;
  readonly blockSize: number;
  readonly blockCount: number;
  /** 1 with blocks of 1 KiB (but with bigalloc), else 0. */
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly clustersPerGroup: number;
  /** 1 without bigalloc. */
  readonly blocksPerCluster: number;
  readonly groupCount: number;
  readonly inodeCount: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  readonly firstInode: number;
  /** Free blocks by the superblock. */
  readonly freeBlocks: number;
  /** 32, or with 64bit 64 and more. */
  readonly descriptorSize: number;
  readonly descriptorsPerBlock: number;
  /** First meta block group; the number of descriptor blocks without meta_bg. */
  readonly firstMetaGroup: number;
  readonly reservedDescriptorBlocks: number;
  /** Groups with backups, with sparse_super2. */
  readonly backupGroups: readonly [number, number];
  readonly uuid: Uint8Array;
  /** Start of every CRC-32C of metadata_csum. */
  readonly checksumSeed: number;
}

/** Reads the primary superblock. Throws MetadataFlaw where it is none, its checksum is wrong, or its numbers cannot be. */
export function readGeometry(reader: ByteReader): ExtGeometry {
  const found = readExt(reader);
  if (found === undefined) throw new MetadataFlaw("the superblock is not one of ext2, ext3 or ext4");
  if (found.checksumValid === false) throw new MetadataFlaw("the checksum of the superblock is wrong");
  const sb = new Fields(readExactly(reader, extSuperblockOffset, 1024, "the superblock"));
  const { blockSize, blockCount, freeBlocks } = found;
  const features = { compat: sb.u32(0x5c), incompat: sb.u32(0x60), roCompat: sb.u32(0x64) };
  const has = (mask: number, bit: number): boolean => (mask & bit) !== 0;
  const isBigalloc = has(features.roCompat, roCompat.bigalloc);
  const firstDataBlock = sb.u32(0x14);
  const blocksPerGroup = sb.u32(0x20);
  const clustersPerGroup = isBigalloc ? sb.u32(0x24) : blocksPerGroup;
  const blocksPerCluster = isBigalloc ? 2 ** (sb.u32(0x1c) - sb.u32(0x18)) : 1;
  const inodesPerGroup = sb.u32(0x28);
  const inodeCount = sb.u32(0x00);
  const inodeSize = found.parameters.inodeSizeBytes;
  const descriptorSize = has(features.incompat, incompat.has64bit) ? sb.u16(0xfe) : 32;
  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  const flaw =
    blockCount * blockSize > reader.sizeBytes
      ? `the file system (${blockCount * blockSize} bytes) is larger than the device (${reader.sizeBytes})`
      : firstDataBlock !== (blockSize === 1024 && !isBigalloc ? 1 : 0)
        ? `the first data block is ${firstDataBlock}`
        : clustersPerGroup === 0 || clustersPerGroup % 8 !== 0 || clustersPerGroup > 8 * blockSize
          ? `a group has ${clustersPerGroup} clusters`
          : blocksPerGroup !== clustersPerGroup * blocksPerCluster
            ? `a group has ${blocksPerGroup} blocks and ${clustersPerGroup} clusters of ${blocksPerCluster}`
            : inodesPerGroup > 8 * blockSize || inodesPerGroup * groupCount !== inodeCount
              ? `${groupCount} groups of ${inodesPerGroup} inodes are not ${inodeCount} inodes`
              : ![32, 64, 128, 256, 512, 1024].includes(descriptorSize) ||
                  (has(features.incompat, incompat.has64bit) && descriptorSize < 64)
                ? `a group descriptor has ${descriptorSize} bytes`
                : undefined;
  if (flaw !== undefined) throw new MetadataFlaw(`the superblock cannot be right: ${flaw}`);
  const descriptorsPerBlock = blockSize / descriptorSize;
  const descriptorBlocks = Math.ceil(groupCount / descriptorsPerBlock);
  const hasMetaBg = has(features.incompat, incompat.metaBg);
  const uuid = sb.slice(0x68, 16);
  return {
    ...features,
    blockSize,
    blockCount,
    firstDataBlock,
    blocksPerGroup,
    clustersPerGroup,
    blocksPerCluster,
    groupCount,
    inodeCount,
    inodesPerGroup,
    inodeSize,
    firstInode: sb.u32(0x4c) >= 1 ? sb.u32(0x54) : 11,
    freeBlocks,
    descriptorSize,
    descriptorsPerBlock,
    firstMetaGroup: hasMetaBg ? Math.min(sb.u32(0x104), descriptorBlocks) : descriptorBlocks,
    reservedDescriptorBlocks: sb.u16(0xce),
    backupGroups: [sb.u32(0x24c), sb.u32(0x250)],
    uuid,
    checksumSeed: has(features.incompat, incompat.checksumSeed) ? sb.u32(0x270) : crc32cRaw(0xffffffff, uuid),
  };
}

export function firstBlockOfGroup(geometry: ExtGeometry, group: number): number {
  return geometry.firstDataBlock + group * geometry.blocksPerGroup;
}

/** Blocks of a group: the last one may be shorter. */
export function blocksOfGroup(geometry: ExtGeometry, group: number): number {
  return Math.min(geometry.blocksPerGroup, geometry.blockCount - firstBlockOfGroup(geometry, group));
}

/** ext4_bg_has_super(): whether a group begins with a copy of the superblock. */
function hasSuperblock(geometry: ExtGeometry, group: number): boolean {
  if (group === 0) return true;
  if ((geometry.compat & compat.sparseSuper2) !== 0) return geometry.backupGroups.includes(group);
  if (group === 1 || (geometry.roCompat & roCompat.sparseSuper) === 0) return true;
  return group % 2 === 1 && [3, 5, 7].some((base) => isPowerOf(group, base));
}

function isPowerOf(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

/** ext4_num_base_meta_blocks(): blocks of the superblock's copy and of descriptors at the start of a group, those kept for growth included. */
export function baseBlocksOfGroup(geometry: ExtGeometry, group: number): number {
  const { descriptorsPerBlock, firstMetaGroup, reservedDescriptorBlocks } = geometry;
  const superblock = hasSuperblock(geometry, group) ? 1 : 0;
  const hasMetaBg = (geometry.incompat & incompat.metaBg) !== 0;
  if (hasMetaBg && group >= firstMetaGroup * descriptorsPerBlock) {
    const place = group % descriptorsPerBlock;
    return superblock + (place <= 1 || place === descriptorsPerBlock - 1 ? 1 : 0);
  }
  return superblock === 0 ? 0 : 1 + firstMetaGroup + reservedDescriptorBlocks;
}

/** Block number of the n-th block of group descriptors (descriptor_loc(), fs/ext4/super.c). */
export function descriptorBlock(geometry: ExtGeometry, number: number): number {
  const { blockSize, firstDataBlock, firstMetaGroup, descriptorsPerBlock } = geometry;
  if (number < firstMetaGroup) return Math.floor(extSuperblockOffset / blockSize) + 1 + number;
  const group = number * descriptorsPerBlock;
  // With blocks of 1 KiB and no first data block, the boot block stands before the superblock.
  const boot = blockSize === 1024 && number === 0 && firstDataBlock === 0 ? 1 : 0;
  return firstBlockOfGroup(geometry, group) + (hasSuperblock(geometry, group) ? 1 : 0) + boot;
}
