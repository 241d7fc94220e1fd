// The superblock of btrfs: struct btrfs_super_block (Linux include/uapi/linux/btrfs_tree.h), 4096 bytes at offset 64 KiB,
// little-endian. Profiles of data and metadata come from the chunk tree (btrfs-chunks.ts).

import { equalBytes } from "../../base/bytes.ts";
import { xxh64 } from "../../format/checksum.ts";
import { crc32c } from "../crc32c.ts";
import { Fields, hex, isPowerOfTwo, namesOfBits } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";
import { readProfiles } from "./btrfs-chunks.ts";

export const btrfsSuperblockOffset = 65_536;
export const btrfsSuperblockLength = 4096;

export interface BtrfsSuperblock {
  readonly label: Uint8Array | undefined;
  readonly uuid: string | undefined;
  readonly sectorSize: number;
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly checksumValid: boolean;
  /** A log tree waits to be replayed. */
  readonly needsReplay: boolean;
  readonly deviceId: number;
  /** UUID of this device within the file system. */
  readonly deviceUuid: string | undefined;
  readonly parameters: BtrfsParameters;
}

/** What re-creation needs; stands as `parameters` in a FilesystemDescription. */
export interface BtrfsParameters {
  readonly totalBytes: number;
  readonly sectorSizeBytes: number;
  readonly nodeSizeBytes: number;
  readonly checksum: BtrfsChecksum;
  readonly deviceCount: number;
  /** `single`, `dup`, `raid1` …; null: not known (the chunk tree lies on another device). */
  readonly dataProfile: string | null;
  readonly metadataProfile: string | null;
  /** Names of mkfs.btrfs; unknown bits as FEATURE_*. */
  readonly features: readonly string[];
}

/** BTRFS_FEATURE_INCOMPAT_* by bit. */
const incompatNames = {
  0: "mixed-backref",
  1: "default-subvol",
  2: "mixed-bg",
  3: "compress-lzo",
  4: "compress-zstd",
  5: "big-metadata",
  6: "extref",
  7: "raid56",
  8: "skinny-metadata",
  9: "no-holes",
  10: "metadata-uuid",
  11: "raid1c34",
  12: "zoned",
  13: "extent-tree-v2",
  14: "raid-stripe-tree",
  16: "squota",
};
/** BTRFS_FEATURE_COMPAT_RO_* by bit. */
const compatRoNames = { 0: "free-space-tree", 1: "free-space-tree-valid", 2: "verity", 3: "block-group-tree" };

/** BTRFS_CSUM_TYPE_*. */
const checksumNames = ["crc32c", "xxhash", "sha256", "blake2"] as const;
export type BtrfsChecksum = (typeof checksumNames)[number];

/** Reads the primary superblock. Resolves to undefined where there is none that could be right. */
export async function readBtrfs(reader: ByteReader): Promise<BtrfsSuperblock | undefined> {
  const bytes = reader.read(btrfsSuperblockOffset, btrfsSuperblockLength);
  const sb = new Fields(bytes);
  if (bytes.length < btrfsSuperblockLength || !sb.is(64, "_BHRfS_M")) return undefined;
  const sectorSize = sb.u32(144);
  const nodeSize = sb.u32(148);
  const totalBytes = sb.count(112);
  const usedBytes = sb.count(120);
  const checksum = checksumNames[sb.u16(196)];
  if (
    !isPowerOfTwo(sectorSize, 512, 65_536) ||
    !isPowerOfTwo(nodeSize, sectorSize, 65_536) || // BTRFS_MAX_METADATA_BLOCKSIZE
    sb.u64(48) !== BigInt(btrfsSuperblockOffset) ||
    !Number.isFinite(totalBytes) ||
    totalBytes === 0 ||
    usedBytes > totalBytes ||
    checksum === undefined
  ) {
    return undefined;
  }
  const profiles = readProfiles(reader, sb, nodeSize);
  return {
    label: sb.label(299, 256),
    uuid: sb.uuid(32),
    sectorSize,
    totalBytes,
    usedBytes,
    checksumValid: await checksumMatches(checksum, bytes),
    needsReplay: sb.u64(96) !== 0n,
    deviceId: sb.count(201),
    deviceUuid: sb.uuid(267),
    parameters: {
      totalBytes,
      sectorSizeBytes: sectorSize,
      nodeSizeBytes: nodeSize,
      checksum,
      deviceCount: sb.count(136),
      dataProfile: profiles.data,
      metadataProfile: profiles.metadata,
      features: [
        ...namesOfBits(sb.u64(172), {}, "FEATURE_C"),
        ...namesOfBits(sb.u64(180), compatRoNames, "FEATURE_R"),
        ...namesOfBits(sb.u64(188), incompatNames, "FEATURE_I"),
      ],
    },
  };
}

export async function identifyBtrfs(reader: ByteReader): Promise<Identity | undefined> {
  const found = await readBtrfs(reader);
  if (found === undefined) return undefined;
  return {
    type: "btrfs",
    usage: "filesystem",
    ...(found.label && { label: found.label }),
    ...(found.uuid && { uuid: found.uuid }),
    sizeBytes: found.totalBytes,
    usedBytes: found.usedBytes,
    blockSize: found.sectorSize,
    checksumValid: found.checksumValid,
    needsReplay: found.needsReplay,
  };
}

/** Of a superblock or tree node: its first 32 bytes hold the checksum of the rest, in the field's own byte order (btrfs_csum_data). */
export async function checksumMatches(name: BtrfsChecksum, bytes: Uint8Array): Promise<boolean> {
  const content = bytes.subarray(32);
  if (name === "crc32c") return new Fields(bytes).u32(0) === crc32c(content);
  if (name === "xxhash") return equalBytes(bytes.subarray(0, 8), xxh64(content).toReversed());
  const found = hex(bytes.subarray(0, 32));
  if (name === "sha256") {
    const { createHash } = await import("node:crypto");
    return createHash("sha256").update(content).digest("hex") === found;
  }
  const { blake2b } = (await import("hash-wasm/dist/blake2b.umd.min.js")).default;
  return (await blake2b(content, 256)) === found;
}
