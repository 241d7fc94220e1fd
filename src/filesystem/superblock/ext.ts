// The superblock of ext2, ext3 and ext4: struct ext4_super_block (Linux fs/ext4/ext4.h; e2fsprogs lib/ext2fs/ext2_fs.h),
// 1024 bytes at offset 1024, little-endian. Names of features are those of e2fsprogs (lib/e2p/feature.c).

import { latin1 } from "../../base/bytes.ts";
import { crc32cRaw } from "../crc32c.ts";
import { Fields, isPowerOfTwo, namesOfBits } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";
import { compatNames, defaultMountOptionNames, hashNames, incompatNames, roCompatNames } from "./ext-names.ts";
import { readJournal } from "./ext-journal.ts";

export const extSuperblockOffset = 1024;
const extMagic = 0xef53;

export interface ExtSuperblock {
  readonly type: "ext2" | "ext3" | "ext4" | "jbd";
  readonly label: Uint8Array | undefined;
  readonly uuid: string | undefined;
  readonly blockSize: number;
  readonly blockCount: number;
  readonly freeBlocks: number;
  readonly checksumValid: boolean | undefined;
  readonly needsReplay: boolean;
  /** Unmounted cleanly and without errors (s_state: EXT2_VALID_FS, not EXT2_ERROR_FS). A mounted one is not clean. */
  readonly clean: boolean;
  readonly parameters: ExtParameters;
}

/** What re-creation needs; stands as `parameters` in a FilesystemDescription. Sizes in blocks unless said otherwise. */
export interface ExtParameters {
  readonly revision: number;
  readonly blockCount: number;
  readonly clusterSizeBytes: number;
  readonly inodeSizeBytes: number;
  readonly inodeCount: number;
  readonly inodesUsed: number;
  readonly reservedBlocks: number;
  readonly reservedUid: number;
  readonly reservedGid: number;
  readonly blocksPerGroup: number;
  readonly features: readonly string[];
  /** 0: no journal, or its size is not recorded in the superblock. */
  readonly journalBlocks: number;
  readonly fastCommitBlocks: number;
  readonly externalJournal: boolean;
  /** 0: without flex_bg. */
  readonly flexGroupSize: number;
  readonly errors: string;
  readonly hashSeed: string | null;
  readonly hashVersion: string;
  readonly mountOptions: readonly string[];
  readonly extendedMountOptions: string;
  readonly stride: number;
  readonly stripeWidth: number;
  /** −1: never. */
  readonly maxMountCount: number;
  readonly checkIntervalSeconds: number;
  readonly mmpIntervalSeconds: number;
  readonly encoding: number;
  readonly encodingFlags: number;
  readonly quotaTypes: readonly string[];
  /** Backup superblocks with sparse_super2: 0 to 2. */
  readonly backupSuperblocks: number;
  readonly minExtraInodeBytes: number;
  readonly wantExtraInodeBytes: number;
}

/** Reads the primary superblock. Returns undefined where there is none that could be right. */
export function readExt(reader: ByteReader): ExtSuperblock | undefined {
  const bytes = reader.read(extSuperblockOffset, 1024);
  const sb = new Fields(bytes);
  if (bytes.length < 1024 || sb.u16(0x38) !== extMagic) return undefined;
  const logBlockSize = sb.u32(0x18);
  if (logBlockSize > 6) return undefined; // 64 KiB is the largest block
  const blockSize = 1024 << logBlockSize;
  const compat = sb.u32(0x5c);
  const incompat = sb.u32(0x60);
  const roCompat = sb.u32(0x64);
  const has64bit = (incompat & 0x80) !== 0;
  const wide = (low: number, high: number) => sb.u32(low) + (has64bit ? sb.u32(high) * 2 ** 32 : 0);
  const blockCount = wide(0x04, 0x150);
  const freeBlocks = wide(0x0c, 0x158);
  const dynamic = sb.u32(0x4c) >= 1;
  const inodeSize = dynamic ? sb.u16(0x58) : 128;
  if (
    !Number.isSafeInteger(blockCount * blockSize) ||
    blockCount === 0 ||
    freeBlocks > blockCount ||
    sb.u32(0x28) === 0 ||
    sb.u32(0x20) === 0 ||
    !isPowerOfTwo(inodeSize, 128, blockSize)
  ) {
    return undefined;
  }
  const bigalloc = (roCompat & 0x200) !== 0;
  const logClusterSize = sb.u32(0x1c);
  if (bigalloc && (logClusterSize > 18 || logClusterSize < logBlockSize)) return undefined; // EXT2_MAX_CLUSTER_LOG_SIZE 28

  const journal = readJournal(reader, sb, blockSize, (compat & 0x4) !== 0);
  const errors = sb.u16(0x3c);
  const maxMountCount = (sb.u16(0x36) << 16) >> 16;
  return {
    type: typeOf(compat, incompat, roCompat),
    label: sb.label(0x78, 16),
    uuid: sb.uuid(0x68),
    blockSize,
    blockCount,
    freeBlocks,
    checksumValid:
      (roCompat & 0x400) !== 0 ? sb.u32(0x3fc) === crc32cRaw(0xffffffff, bytes.subarray(0, 0x3fc)) : undefined,
    // EXT4_FEATURE_INCOMPAT_RECOVER; orphans alone are cleaned up only by a writable mount and do not stop a read-only one.
    needsReplay: (incompat & 0x4) !== 0,
    clean: (sb.u16(0x3a) & 0x3) === 1,
    parameters: {
      revision: sb.u32(0x4c),
      blockCount,
      clusterSizeBytes: bigalloc ? 1024 * 2 ** logClusterSize : blockSize,
      inodeSizeBytes: inodeSize,
      inodeCount: sb.u32(0x00),
      inodesUsed: Math.max(0, sb.u32(0x00) - sb.u32(0x10)),
      reservedBlocks: wide(0x08, 0x154),
      reservedUid: sb.u16(0x50) + sb.u16(0x284) * 0x10000,
      reservedGid: sb.u16(0x52) + sb.u16(0x286) * 0x10000,
      blocksPerGroup: sb.u32(0x20),
      features: [
        ...namesOfBits(compat, compatNames, "FEATURE_C"),
        ...namesOfBits(incompat, incompatNames, "FEATURE_I"),
        ...namesOfBits(roCompat, roCompatNames, "FEATURE_R"),
      ],
      journalBlocks: journal.blocks,
      fastCommitBlocks: journal.fastCommitBlocks,
      externalJournal: (compat & 0x4) !== 0 && sb.u32(0xe0) === 0,
      flexGroupSize: (incompat & 0x200) !== 0 && sb.u8(0x174) < 31 ? 1 << sb.u8(0x174) : 0,
      errors: errors === 2 ? "remount-ro" : errors === 3 ? "panic" : "continue",
      hashSeed: sb.uuid(0xec) ?? null,
      hashVersion: hashNames[sb.u8(0xfc)] ?? "half_md4",
      mountOptions: mountOptionNames(sb.u32(0x100)),
      extendedMountOptions: latin1(sb.label(0x200, 64) ?? new Uint8Array(0)),
      stride: sb.u16(0x164),
      stripeWidth: sb.u32(0x170),
      maxMountCount,
      checkIntervalSeconds: sb.u32(0x44),
      mmpIntervalSeconds: (incompat & 0x100) !== 0 ? sb.u16(0x166) : 0,
      encoding: sb.u16(0x27c),
      encodingFlags: sb.u16(0x27e),
      quotaTypes: quotaTypes(sb),
      backupSuperblocks: (sb.u32(0x24c) === 0 ? 0 : 1) + (sb.u32(0x250) === 0 ? 0 : 1),
      minExtraInodeBytes: sb.u16(0x15c),
      wantExtraInodeBytes: sb.u16(0x15e),
    },
  };
}

export function identifyExt(reader: ByteReader): Identity | undefined {
  const found = readExt(reader);
  if (found === undefined) return undefined;
  return {
    type: found.type,
    usage: "filesystem",
    version: `${found.parameters.revision}.0`,
    ...(found.label && { label: found.label }),
    ...(found.uuid && { uuid: found.uuid }),
    sizeBytes: found.blockCount * found.blockSize,
    usedBytes: (found.blockCount - found.freeBlocks) * found.blockSize,
    blockSize: found.blockSize,
    ...(found.checksumValid !== undefined && { checksumValid: found.checksumValid }),
    needsReplay: found.needsReplay,
  };
}

/**
 * libblkid's rule (libblkid/src/superblocks/ext.c): a feature that ext2 or ext3 do not have makes it ext4; then the journal
 * tells ext3 from ext2.
 */
function typeOf(compat: number, incompat: number, roCompat: number): ExtSuperblock["type"] {
  if ((incompat & 0x8) !== 0) return "jbd"; // EXT3_FEATURE_INCOMPAT_JOURNAL_DEV
  const ext3RoCompat = 0x1 | 0x2 | 0x4; // sparse_super, large_file, btree_dir
  const ext3Incompat = 0x2 | 0x4 | 0x10; // filetype, recover, meta_bg
  if ((roCompat & ~ext3RoCompat) !== 0 || (incompat & ~ext3Incompat) !== 0) return "ext4";
  return (compat & 0x4) !== 0 ? "ext3" : "ext2";
}

/** s_default_mount_opts: bits, and in bits 5-6 the journal mode (EXT4_DEFM_JMODE). */
function mountOptionNames(mask: number): string[] {
  const mode = ["journal_data", "journal_data_ordered", "journal_data_writeback"][((mask >> 5) & 3) - 1];
  const names = namesOfBits(mask & ~0x60, defaultMountOptionNames, "mount_option_");
  return mode === undefined ? names : [...names, mode];
}

function quotaTypes(sb: Fields): string[] {
  const inodes: [string, number][] = [
    ["usrquota", sb.u32(0x240)],
    ["grpquota", sb.u32(0x244)],
    ["prjquota", sb.u32(0x26c)],
  ];
  return inodes.filter(([, inode]) => inode !== 0).map(([name]) => name);
}
