// Recognition of the Windows family: vfat (Microsoft FAT32 specification, fatgen103), exfat (Microsoft exFAT file system
// specification) and ntfs (Linux fs/ntfs3/ntfs.h, struct NTFS_BOOT). All little-endian, boot sector at offset 0.

import { Fields, hex, isPowerOfTwo } from "../fields.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";

/** A FAT12, FAT16 or FAT32 boot sector that could be right. */
export function identifyVfat(reader: ByteReader): Identity | undefined {
  const boot = new Fields(reader.read(0, 512));
  const sectorSize = boot.u16(11);
  const clusterSectors = boot.u8(13);
  const reserved = boot.u16(14);
  const fats = boot.u8(16);
  const media = boot.u8(21);
  if (
    !isPowerOfTwo(sectorSize, 512, 4096) ||
    !isPowerOfTwo(clusterSectors, 1, 128) ||
    reserved === 0 ||
    fats === 0 ||
    fats > 4 ||
    (media < 0xf8 && media !== 0xf0) ||
    boot.u16(510) !== 0xaa55 ||
    (boot.u8(0) !== 0xe9 && boot.u8(0) !== 0xeb)
  ) {
    return undefined;
  }
  const sectors = boot.u16(19) || boot.u32(32);
  const fatSectors = boot.u16(22) || boot.u32(36);
  const rootEntries = boot.u16(17);
  const rootSectors = Math.ceil((rootEntries * 32) / sectorSize);
  const clusters = Math.floor((sectors - reserved - fats * fatSectors - rootSectors) / clusterSectors);
  if (sectors === 0 || fatSectors === 0 || clusters <= 0) return undefined;
  const isFat32 = boot.u16(22) === 0;
  const base = isFat32 ? 64 : 36; // drive number; then boot signature +2, serial +3, label +7
  const serial = boot
    .u32(base + 3)
    .toString(16)
    .toUpperCase()
    .padStart(8, "0");
  const hasExtended = boot.u8(base + 2) === 0x29 || boot.u8(base + 2) === 0x28;
  const rootOffset = isFat32
    ? (reserved + fats * fatSectors + (boot.u32(44) - 2) * clusterSectors) * sectorSize
    : (reserved + fats * fatSectors) * sectorSize;
  const label =
    volumeLabel(reader, rootOffset, isFat32 ? clusterSectors * sectorSize : rootEntries * 32) ??
    (hasExtended && !boot.is(base + 7, "NO NAME    ") ? boot.paddedLabel(base + 7, 11) : undefined);
  return {
    type: "vfat",
    usage: "filesystem",
    version: isFat32 ? "FAT32" : clusters < 4085 ? "FAT12" : "FAT16",
    ...(label && { label }),
    ...(hasExtended && serial !== "00000000" && { uuid: `${serial.slice(0, 4)}-${serial.slice(4)}` }),
    sizeBytes: sectors * sectorSize,
    blockSize: clusterSectors * sectorSize,
  };
}

/** The root directory's entry with the volume attribute (0x08, not a long name 0x0F) in its first cluster. */
function volumeLabel(reader: ByteReader, offset: number, length: number): Uint8Array | undefined {
  const directory = new Fields(reader.read(offset, Math.min(length, 65_536)));
  for (let at = 0; at + 32 <= directory.bytes.length && directory.u8(at) !== 0; at += 32) {
    const attributes = directory.u8(at + 11);
    if (directory.u8(at) !== 0xe5 && (attributes & 0x3f) !== 0x0f && (attributes & 0x18) === 0x08) {
      return directory.paddedLabel(at, 11);
    }
  }
  return undefined;
}

export function identifyExfat(reader: ByteReader): Identity | undefined {
  const boot = new Fields(reader.read(0, 512));
  const sectorShift = boot.u8(108);
  const clusterShift = boot.u8(109);
  if (!boot.is(3, "EXFAT   ") || sectorShift < 9 || sectorShift > 12 || clusterShift > 25 - sectorShift)
    return undefined;
  const sectorSize = 2 ** sectorShift;
  const clusterSize = sectorSize * 2 ** clusterShift;
  const rootOffset = boot.u32(88) * sectorSize + (boot.u32(96) - 2) * clusterSize;
  const label = exfatLabel(reader, rootOffset, clusterSize);
  const serial = boot.u32(100).toString(16).toUpperCase().padStart(8, "0");
  const sizeBytes = boot.count(72) * sectorSize;
  return {
    type: "exfat",
    usage: "filesystem",
    version: `${boot.u8(105)}.${boot.u8(104)}`,
    ...(label && { label }),
    uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    ...(Number.isSafeInteger(sizeBytes) && { sizeBytes }),
    blockSize: sectorSize,
  };
}

/** Directory entry 0x83: u8 length in characters, then up to 11 UTF-16 units. */
function exfatLabel(reader: ByteReader, offset: number, length: number): Uint8Array | undefined {
  const directory = new Fields(reader.read(offset, Math.min(length, 65_536)));
  for (let at = 0; at + 32 <= directory.bytes.length && directory.u8(at) !== 0; at += 32) {
    const units = directory.u8(at + 1);
    if (directory.u8(at) === 0x83 && units > 0 && units <= 11) return directory.utf16Label(at + 2, units * 2);
  }
  return undefined;
}

export function identifyNtfs(reader: ByteReader): Identity | undefined {
  const boot = new Fields(reader.read(0, 512));
  const sectorSize = boot.u16(11);
  const perCluster = boot.u8(13);
  const clusterSectors = perCluster > 128 ? 2 ** (256 - perCluster) : perCluster;
  if (!boot.is(3, "NTFS    ") || !isPowerOfTwo(sectorSize, 256, 4096) || !isPowerOfTwo(clusterSectors, 1, 2 ** 20)) {
    return undefined;
  }
  const clusterSize = sectorSize * clusterSectors;
  const perRecord = boot.u8(64);
  const recordSize = perRecord > 128 ? 2 ** (256 - perRecord) : perRecord * clusterSize;
  const label = ntfsLabel(reader, boot.count(48) * clusterSize + 3 * recordSize, recordSize, sectorSize);
  const sizeBytes = boot.count(40) * sectorSize;
  return {
    type: "ntfs",
    usage: "filesystem",
    ...(label && { label }),
    uuid: hex(boot.slice(72, 8).toReversed()).toUpperCase(),
    ...(Number.isSafeInteger(sizeBytes) && { sizeBytes }),
    blockSize: clusterSize,
  };
}

/** $Volume is record 3 of the master file table; its $VOLUME_NAME attribute (0x60, resident) holds UTF-16. */
function ntfsLabel(reader: ByteReader, offset: number, recordSize: number, sectorSize: number): Uint8Array | undefined {
  if (!isPowerOfTwo(recordSize, 256, 65_536)) return undefined;
  const record = new Fields(reader.read(offset, recordSize));
  if (!record.is(0, "FILE")) return undefined;
  let at = record.u16(20);
  while (at + 24 <= Math.min(record.bytes.length, sectorSize - 2)) {
    const type = record.u32(at);
    const length = record.u32(at + 4);
    if (type === 0xffffffff || length < 24) return undefined;
    if (type === 0x60 && record.u8(at + 8) === 0) {
      return record.utf16Label(at + record.u16(at + 20), Math.min(record.u32(at + 16), 256));
    }
    at += length;
  }
  return undefined;
}
