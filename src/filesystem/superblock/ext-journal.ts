// How large the journal of an ext file system is, from the copy of the journal inode's block map that the superblock keeps
// (s_jnl_blocks, EXT3_JNL_BACKUP_BLOCKS) and from the journal's own superblock (struct journal_superblock_s,
// Linux include/linux/jbd2.h, big-endian), whose place the same map tells.

import { Fields } from "../fields.ts";
import type { ByteReader } from "../reader.ts";

export interface Journal {
  /** Whole journal in file system blocks, fast commit area included; 0: none, external or not recorded. */
  readonly blocks: number;
  readonly fastCommitBlocks: number;
}

export function readJournal(reader: ByteReader, sb: Fields, blockSize: number, present: boolean): Journal {
  const none = { blocks: 0, fastCommitBlocks: 0 };
  if (!present || sb.u8(0xfd) !== 1) return none;
  const sizeBytes = sb.u32(0x10c + 16 * 4) + sb.u32(0x10c + 15 * 4) * 2 ** 32;
  const blocks = Math.floor(sizeBytes / blockSize);
  const header = new Fields(reader.read(firstJournalBlock(sb) * blockSize, 1024), "big");
  const isJournal = header.u32(0) === 0xc03b3998 && (header.u32(4) === 3 || header.u32(4) === 4);
  const hasFastCommit = (sb.u32(0x5c) & 0x400) !== 0; // the journal's own flag is set by the first mount
  const fastCommitBlocks = hasFastCommit ? (isJournal ? header.u32(0x54) || 256 : 256) : 0; // JBD2_DEFAULT_FAST_COMMIT_BLOCKS
  return { blocks, fastCommitBlocks: Math.min(fastCommitBlocks, blocks) };
}

/** First block of the map: an extent root (ext4_extent_header, magic 0xF30A) or direct block pointers. NaN when it is deeper. */
function firstJournalBlock(sb: Fields): number {
  const map = 0x10c;
  if (sb.u16(map) !== 0xf30a) return sb.u32(map);
  const isLeaf = sb.u16(map + 6) === 0;
  return isLeaf ? sb.u32(map + 12 + 8) + sb.u16(map + 12 + 6) * 2 ** 32 : Number.NaN;
}
