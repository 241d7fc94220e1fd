// The superblock of xfs: struct xfs_dsb (Linux fs/xfs/libxfs/xfs_format.h), one sector at offset 0, big-endian but for the
// checksum. Version 5 is read whole; version 4 is recognised with what both share.

import { crc32c } from "../crc32c.ts";
import { Fields, isPowerOfTwo, namesOfBits } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";

export interface XfsSuperblock {
  readonly label: Uint8Array | undefined;
  readonly uuid: string | undefined;
  readonly blockSize: number;
  readonly blockCount: number;
  readonly freeBlocks: number;
  readonly checksumValid: boolean | undefined;
  readonly parameters: XfsParameters;
}

/** What re-creation needs; stands as `parameters` in a FilesystemDescription. */
export interface XfsParameters {
  readonly version: number;
  readonly blockCount: number;
  readonly sectorSizeBytes: number;
  readonly inodeSizeBytes: number;
  readonly inodesUsed: number;
  readonly agCount: number;
  readonly agBlocks: number;
  readonly inodePercentMax: number;
  /** Stripe unit and width in blocks; 0: none. */
  readonly stripeUnitBlocks: number;
  readonly stripeWidthBlocks: number;
  readonly directoryBlockSizeBytes: number;
  readonly logBlocks: number;
  /** 0: not set. */
  readonly logSectorSizeBytes: number;
  /** Log stripe unit in bytes; 0 or 1: none. */
  readonly logStripeUnitBytes: number;
  readonly externalLog: boolean;
  readonly realtimeBlocks: number;
  /** usrquota, grpquota, prjquota: those with an inode for limits and accounting. */
  readonly quotaTypes: readonly string[];
  /** Names of mkfs.xfs and xfs_info: crc ftype finobt rmapbt reflink inobtcount bigtime sparse nrext64 exchange parent metadir zoned …; unknown bits as FEATURE_*. */
  readonly features: readonly string[];
}

/** sb_features_ro_compat: XFS_SB_FEAT_RO_COMPAT_*. */
const roCompatNames = { 0: "finobt", 1: "rmapbt", 2: "reflink", 3: "inobtcount" };
/** sb_features_incompat: XFS_SB_FEAT_INCOMPAT_*. */
const incompatNames = {
  0: "ftype",
  1: "sparse",
  2: "meta_uuid",
  3: "bigtime",
  4: "needsrepair",
  5: "nrext64",
  6: "exchange",
  7: "parent",
  8: "metadir",
  9: "zoned",
  10: "zone_gaps",
};
/** sb_features2 of version 4: XFS_SB_VERSION2_*. */
const features2Names = { 1: "lazy-count", 3: "attr2", 7: "projid32bit", 8: "crc", 9: "ftype" };

/** Reads the primary superblock. Returns undefined where there is none that could be right. */
export function readXfs(reader: ByteReader): XfsSuperblock | undefined {
  const sb = new Fields(reader.read(0, 512), "big");
  if (!sb.is(0, "XFSB")) return undefined;
  const blockSize = sb.u32(4);
  const sectorSize = sb.u16(102);
  const inodeSize = sb.u16(104);
  const blockCount = sb.count(8);
  const freeBlocks = sb.count(144);
  const agBlocks = sb.u32(84);
  const agCount = sb.u32(88);
  const version = sb.u16(100) & 0xf;
  if (
    !isPowerOfTwo(blockSize, 512, 65_536) || // XFS_MIN_BLOCKSIZE, XFS_MAX_BLOCKSIZE
    !isPowerOfTwo(sectorSize, 512, 32_768) ||
    !isPowerOfTwo(inodeSize, 256, 2048) ||
    2 ** sb.u8(120) !== blockSize ||
    (version !== 4 && version !== 5) ||
    blockCount === 0 ||
    !Number.isSafeInteger(blockCount * blockSize) ||
    agCount === 0 ||
    blockCount > agCount * agBlocks ||
    blockCount <= (agCount - 1) * agBlocks
  ) {
    return undefined;
  }
  return {
    label: sb.label(108, 12),
    uuid: sb.uuid(32),
    blockSize,
    blockCount,
    freeBlocks: Math.min(freeBlocks, blockCount),
    checksumValid: version === 5 ? checksumMatches(reader, sectorSize) : undefined,
    parameters: {
      version,
      blockCount,
      sectorSizeBytes: sectorSize,
      inodeSizeBytes: inodeSize,
      inodesUsed: inodesUsed(sb),
      agCount,
      agBlocks,
      inodePercentMax: sb.u8(127),
      stripeUnitBlocks: sb.u32(184),
      stripeWidthBlocks: sb.u32(188),
      directoryBlockSizeBytes: blockSize * 2 ** Math.min(sb.u8(192), 7),
      logBlocks: sb.u32(96),
      logSectorSizeBytes: sb.u16(194),
      logStripeUnitBytes: sb.u32(196),
      externalLog: sb.u64(48) === 0n,
      realtimeBlocks: sb.count(16),
      quotaTypes: quotaTypes(sb, version),
      features: version === 5 ? version5Features(sb) : version4Features(sb),
    },
  };
}

export function identifyXfs(reader: ByteReader): Identity | undefined {
  const found = readXfs(reader);
  if (found === undefined) return undefined;
  return {
    type: "xfs",
    usage: "filesystem",
    version: `${found.parameters.version}`,
    ...(found.label && { label: found.label }),
    ...(found.uuid && { uuid: found.uuid }),
    sizeBytes: found.blockCount * found.blockSize,
    usedBytes: (found.blockCount - found.freeBlocks) * found.blockSize,
    blockSize: found.blockSize,
    ...(found.checksumValid !== undefined && { checksumValid: found.checksumValid }),
  };
}

/** sb_icount less sb_ifree; 0 where that makes no sense. */
function inodesUsed(sb: Fields): number {
  const used = sb.count(128) - sb.count(136);
  return Number.isSafeInteger(used) ? Math.max(0, used) : 0;
}

/** sb_uquotino, sb_gquotino, sb_pquotino (version 4 keeps either group or project quotas in one field); 0 or NULLFSINO: none. */
function quotaTypes(sb: Fields, version: number): string[] {
  const inodes: [string, bigint][] = [
    ["usrquota", sb.u64(160)],
    ["grpquota", sb.u64(168)],
    ["prjquota", version === 5 ? sb.u64(232) : 0n],
  ];
  return inodes.filter(([, inode]) => inode !== 0n && inode !== 2n ** 64n - 1n).map(([name]) => name);
}

/** xfs_verify_cksum: CRC-32C of the sector with sb_crc (little-endian, offset 224) taken as zero. */
function checksumMatches(reader: ByteReader, sectorSize: number): boolean {
  const sector = reader.read(0, sectorSize).slice();
  if (sector.length < sectorSize) return false;
  const stored = new Fields(sector).u32(224);
  sector.fill(0, 224, 228);
  return crc32c(sector) === stored;
}

function version5Features(sb: Fields): string[] {
  return [
    "crc",
    ...namesOfBits(sb.u32(208), {}, "FEATURE_C"),
    ...namesOfBits(sb.u32(212), roCompatNames, "FEATURE_R"),
    ...namesOfBits(sb.u32(216), incompatNames, "FEATURE_I"),
    ...commonFeatures(sb),
  ];
}

function version4Features(sb: Fields): string[] {
  const moreBits = (sb.u16(100) & 0x8000) !== 0; // XFS_SB_VERSION_MOREBITSBIT
  return [...(moreBits ? namesOfBits(sb.u32(200), features2Names, "FEATURE_2_") : []), ...commonFeatures(sb)];
}

/** XFS_SB_VERSION_BORGBIT: names are compared without case (ASCII). */
function commonFeatures(sb: Fields): string[] {
  return (sb.u16(100) & 0x4000) !== 0 ? ["ascii-ci"] : [];
}
