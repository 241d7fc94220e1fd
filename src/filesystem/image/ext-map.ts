// Used blocks of ext2, ext3 and ext4, from the block bitmaps. Bitmaps that were never written are made as the kernel would make them
// (ext4_init_block_bitmap()). Every group's count of free clusters must be that of its bitmap, and their sum that of the superblock.

import { MetadataFlaw, readExactly } from "../exact.ts";
import { incompat, roCompat } from "../ext/features.ts";
import {
  baseBlocksOfGroup,
  blocksOfGroup,
  type ExtGeometry,
  firstBlockOfGroup,
  readGeometry,
} from "../ext/geometry.ts";
import { bitmapChecksum, type ExtGroup, groupFlags, inodeTableBlocks, readGroups } from "../ext/groups.ts";
import type { ByteReader } from "../reader.ts";
import { readExt } from "../superblock/ext.ts";
import { type AllocationMap, mapRunsMax } from "./map.ts";
import { RunBuilder } from "./runs.ts";

/** Features under which a set bit of a bitmap means "used" and a clear one "free", and nothing lies elsewhere. */
const knownIncompat =
  incompat.filetype |
  incompat.metaBg |
  incompat.extents |
  incompat.has64bit |
  incompat.mmp |
  incompat.flexBg |
  incompat.eaInode |
  incompat.checksumSeed |
  incompat.largeDirectory |
  incompat.inlineData |
  incompat.encrypt |
  incompat.casefold;
const knownRoCompat = Object.values(roCompat).reduce((mask, bit) => mask | bit, 0);
/** dir_prealloc imagic_inodes has_journal ext_attr resize_inode dir_index sparse_super2 fast_commit stable_inodes orphan_file */
const knownCompat = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x200 | 0x400 | 0x800 | 0x1000;

/** Throws MetadataFlaw where the books cannot be trusted. */
export function mapExt(reader: ByteReader): AllocationMap {
  const geometry = readGeometry(reader);
  refuseUnknown(geometry);
  const superblock = readExt(reader);
  if (superblock?.needsReplay !== false) throw new MetadataFlaw("its journal has not been replayed");
  if (!superblock.clean) throw new MetadataFlaw("it was not unmounted cleanly, or has errors");

  const { blockSize, blockCount, blocksPerCluster } = geometry;
  const runs = new RunBuilder(mapRunsMax);
  runs.add(0, blockSize); // the boot block, which belongs to no group where blocks have 1 KiB
  let freeClusters = 0;
  for (const group of readGroups(reader, geometry)) {
    const bitmap = readBitmap(reader, geometry, group);
    const free = addUsed(runs, geometry, group.number, bitmap);
    if (free !== group.freeBlocks) {
      throw new MetadataFlaw(
        `the bitmap of group ${group.number} has ${free} free clusters, its descriptor ${group.freeBlocks}`,
      );
    }
    freeClusters += free;
  }
  if (freeClusters * blocksPerCluster !== geometry.freeBlocks) {
    throw new MetadataFlaw(
      `its bitmaps have ${freeClusters * blocksPerCluster} free blocks, its superblock ${geometry.freeBlocks}`,
    );
  }
  return { runs: runs.finish(), endBytes: blockCount * blockSize };
}

function refuseUnknown(geometry: ExtGeometry): void {
  const unknown = [
    ["compatible", geometry.compat & ~knownCompat],
    ["incompatible", geometry.incompat & ~(knownIncompat | incompat.recover)],
    ["read-only compatible", geometry.roCompat & ~knownRoCompat],
  ] as const;
  for (const [kind, bits] of unknown) {
    if (bits !== 0)
      throw new MetadataFlaw(`it has ${kind} features that are not known here (0x${(bits >>> 0).toString(16)})`);
  }
}

/** The bitmap of a group's clusters: bit n is its n-th cluster. */
function readBitmap(reader: ByteReader, geometry: ExtGeometry, group: ExtGroup): Uint8Array {
  const length = geometry.clustersPerGroup / 8;
  if ((group.flags & groupFlags.blockUninitialised) !== 0) return initialBitmap(geometry, group);
  const offset = group.blockBitmap * geometry.blockSize;
  const bitmap = readExactly(reader, offset, length, `the block bitmap of group ${group.number}`);
  const hasChecksum = (geometry.roCompat & roCompat.metadataChecksum) !== 0;
  if (hasChecksum && bitmapChecksum(geometry, bitmap) !== group.blockBitmapChecksum) {
    throw new MetadataFlaw(`the checksum of the block bitmap of group ${group.number} is wrong`);
  }
  return bitmap;
}

/** A group of which nothing was ever given out holds only its own metadata. */
function initialBitmap(geometry: ExtGeometry, group: ExtGroup): Uint8Array {
  const bitmap = new Uint8Array(geometry.clustersPerGroup / 8);
  const first = firstBlockOfGroup(geometry, group.number);
  const mark = (block: number, count: number): void => {
    const from = Math.max(block, first);
    const to = Math.min(block + count, first + geometry.blocksPerGroup);
    for (let at = from; at < to; at++) {
      const cluster = Math.floor((at - first) / geometry.blocksPerCluster);
      bitmap[cluster >> 3] = (bitmap[cluster >> 3] as number) | (1 << (cluster & 7));
    }
  };
  mark(first, baseBlocksOfGroup(geometry, group.number));
  mark(group.blockBitmap, 1);
  mark(group.inodeBitmap, 1);
  mark(group.inodeTable, inodeTableBlocks(geometry));
  return bitmap;
}

/** Adds the used runs of a group; returns its free clusters. */
function addUsed(runs: RunBuilder, geometry: ExtGeometry, group: number, bitmap: Uint8Array): number {
  const { blockSize, blocksPerCluster } = geometry;
  const blocks = blocksOfGroup(geometry, group);
  const clusters = Math.ceil(blocks / blocksPerCluster);
  const first = firstBlockOfGroup(geometry, group);
  const isUsed = (cluster: number): boolean => ((bitmap[cluster >> 3] as number) & (1 << (cluster & 7))) !== 0;
  let used = 0;
  for (let at = 0; at < clusters; ) {
    if ((at & 7) === 0 && bitmap[at >> 3] === 0) {
      at += 8;
      continue;
    }
    if (!isUsed(at)) {
      at++;
      continue;
    }
    let end = at + 1;
    while (end < clusters && isUsed(end)) end += (end & 7) === 0 && bitmap[end >> 3] === 0xff ? 8 : 1;
    end = Math.min(end, clusters);
    used += end - at;
    const block = at * blocksPerCluster;
    const length = Math.min(end * blocksPerCluster, blocks) - block;
    runs.add((first + block) * blockSize, length * blockSize);
    at = end;
  }
  return clusters - used;
}
