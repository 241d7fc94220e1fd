// Recognition of file systems that are written whole (squashfs, erofs, iso9660) and of f2fs.

import { latin1 } from "../../base/bytes.ts";
import { crc32cRaw } from "../crc32c.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";

/** Linux fs/squashfs/squashfs_fs.h: struct squashfs_super_block at 0, little-endian (version 4). */
export function identifySquashfs(reader: ByteReader): Identity | undefined {
  const sb = new Fields(reader.read(0, 96));
  if (!sb.is(0, "hsqs") || sb.u16(28) !== 4) return undefined;
  const sizeBytes = sb.count(40);
  return {
    type: "squashfs",
    usage: "filesystem",
    version: `${sb.u16(28)}.${sb.u16(30)}`,
    ...(Number.isFinite(sizeBytes) && { sizeBytes, usedBytes: sizeBytes }),
    blockSize: sb.u32(12),
  };
}

/** Linux fs/erofs/erofs_fs.h: struct erofs_super_block at 1024; CRC-32C (no final inversion) over the block from there. */
export function identifyErofs(reader: ByteReader): Identity | undefined {
  const sb = new Fields(reader.read(1024, 128));
  const blockBits = sb.u8(12);
  if (sb.u32(0) !== 0xe0f5e1e2 || blockBits < 9 || blockBits > 16) return undefined;
  const blockSize = 2 ** blockBits;
  const label = sb.label(64, 16);
  const uuid = sb.uuid(48);
  return {
    type: "erofs",
    usage: "filesystem",
    ...(label && { label }),
    ...(uuid && { uuid }),
    sizeBytes: sb.u32(36) * blockSize,
    usedBytes: sb.u32(36) * blockSize,
    blockSize,
    ...((sb.u32(8) & 1) !== 0 && { checksumValid: erofsChecksumMatches(reader, blockSize, sb.u32(4)) }),
  };
}

/** EROFS_FEATURE_COMPAT_SB_CHKSUM: from 1024 to the end of the block (blocks up to 1 KiB: one whole block), checksum as zero. */
function erofsChecksumMatches(reader: ByteReader, blockSize: number, stored: number): boolean {
  const bytes = reader.read(1024, blockSize > 1024 ? blockSize - 1024 : blockSize).slice();
  bytes.fill(0, 4, 8);
  return crc32cRaw(0xffffffff, bytes) === stored;
}

/** ECMA-119: volume descriptors of 2048 bytes from sector 16; type 1 is the primary one. */
export function identifyIso9660(reader: ByteReader): Identity | undefined {
  for (let sector = 16; sector < 32; sector += 1) {
    const volume = new Fields(reader.read(sector * 2048, 2048));
    if (!volume.is(1, "CD001")) return undefined;
    if (volume.u8(0) === 255) return undefined;
    if (volume.u8(0) !== 1) continue;
    const label = volume.paddedLabel(40, 32);
    return {
      type: "iso9660",
      usage: "filesystem",
      ...(label && { label }),
      ...isoUuid(volume),
      sizeBytes: volume.u32(80) * volume.u16(128),
      usedBytes: volume.u32(80) * volume.u16(128),
      blockSize: volume.u16(128),
    };
  }
  return undefined;
}

/** blkid's UUID of a disc: its modification (813) or creation (830) date, digit for digit. */
function isoUuid(volume: Fields): Partial<Identity> {
  for (const offset of [830, 813]) {
    const digits = latin1(volume.slice(offset, 16));
    if (/^\d{16}$/.test(digits) && !/^0+$/.test(digits)) {
      return { uuid: digits.replace(/^(.{4})(..)(..)(..)(..)(..)(..)$/, "$1-$2-$3-$4-$5-$6-$7") };
    }
  }
  return {};
}

/** Linux include/linux/f2fs_fs.h: struct f2fs_super_block at 1024, a copy one block later. */
export function identifyF2fs(reader: ByteReader): Identity | undefined {
  for (const offset of [1024, 4096 + 1024]) {
    const sb = new Fields(reader.read(offset, 3072));
    const blockBits = sb.u32(16);
    if (sb.u32(0) !== 0xf2f52010 || blockBits < 12 || blockBits > 16) continue;
    const label = sb.utf16Label(124, 1024);
    const sizeBytes = sb.count(36) * 2 ** blockBits;
    const uuid = sb.uuid(108);
    return {
      type: "f2fs",
      usage: "filesystem",
      version: `${sb.u16(4)}.${sb.u16(6)}`,
      ...(label && { label }),
      ...(uuid && { uuid }),
      ...(Number.isSafeInteger(sizeBytes) && { sizeBytes }),
      blockSize: 2 ** blockBits,
    };
  }
  return undefined;
}
