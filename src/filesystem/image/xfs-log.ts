// Whether the log of an xfs is clean: its newest record is the one that unmounting writes (xlog_check_unmount_rec(), Linux fs/xfs/xfs_log_recover.c;
// struct xlog_rec_header and xlog_op_header, fs/xfs/libxfs/xfs_log_format.h).

import { MetadataFlaw, readExactly } from "../exact.ts";
import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";

const sectorBytes = 512; // BBSIZE, the unit of log addresses
const recordMagic = 0xfeedbabe;
const unmountFlag = 0x20; // XLOG_UNMOUNT_TRANS
const pieceBytes = 1024 * 1024;

/** `sb`: the superblock. Throws MetadataFlaw where the log does not lie in the file system or holds no record. */
export function isLogClean(reader: ByteReader, sb: Fields): boolean {
  const blockSize = sb.u32(4);
  const agBlocks = sb.u32(84);
  const start = sb.u64(48); // sb_logstart: group number above sb_agblklog bits, block below
  const agBits = BigInt(sb.u8(124));
  const block = Number(start >> agBits) * agBlocks + Number(start & ((1n << agBits) - 1n));
  const offset = block * blockSize;
  const length = sb.u32(96) * blockSize;
  if (agBits > 32n || length === 0 || length > 2 ** 31 || block + sb.u32(96) > sb.count(8)) {
    throw new MetadataFlaw("its log does not lie in it");
  }
  const newest = newestRecord(reader, offset, length);
  if (newest === undefined) throw new MetadataFlaw("its log holds no record");
  const headerBytes = newest.headerSectors * sectorBytes;
  // The log is a ring: the operation may stand at its beginning.
  const operation = new Fields(
    readExactly(reader, offset + ((newest.offset + headerBytes) % length), sectorBytes, "the log"),
    "big",
  );
  return newest.operations === 1 && (operation.u8(9) & unmountFlag) !== 0; // oh_flags
}

interface LogRecord {
  /** In the log. */
  readonly offset: number;
  readonly headerSectors: number;
  readonly operations: number;
}

/** The record with the greatest sequence number (cycle, block). */
function newestRecord(reader: ByteReader, start: number, length: number): LogRecord | undefined {
  let newest: LogRecord | undefined;
  let greatest = -1n;
  for (let piece = 0; piece < length; piece += pieceBytes) {
    const bytes = readExactly(reader, start + piece, Math.min(pieceBytes, length - piece), "the log");
    const fields = new Fields(bytes, "big");
    for (let at = 0; at < bytes.length; at += sectorBytes) {
      if (fields.u32(at) !== recordMagic) continue;
      const sequence = fields.u64(at + 16); // h_lsn
      // Content of the log may look like a header: one tells its own place.
      if (Number(sequence & 0xffff_ffffn) * sectorBytes !== piece + at || sequence <= greatest) continue;
      greatest = sequence;
      const size = fields.u32(at + 320); // h_size, in logs of version 2
      const isVersion2 = (fields.u32(at + 8) & 2) !== 0;
      const headerSectors = isVersion2 && size > 32_768 ? Math.ceil(size / 32_768) : 1; // XLOG_HEADER_CYCLE_SIZE
      newest = { offset: piece + at, headerSectors: Math.min(headerSectors, 8), operations: fields.u32(at + 40) };
    }
  }
  return newest;
}
