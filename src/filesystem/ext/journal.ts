// Replay of a jbd2 journal in memory: which blocks of the file system its committed transactions hold newer than the device (Linux fs/jbd2/recovery.c;
// include/linux/jbd2.h; all big-endian). Nothing is written and no data is held: the overlay says where in the journal each block stands.

import { crc32cRaw } from "../crc32c.ts";
import { Fields } from "../fields.ts";
import { type ExtDevice, journalMagic, type Overlay } from "./device.ts";
import { damaged, unsupported, wrongChecksum } from "./flaw.ts";
import type { ExtGeometry } from "./geometry.ts";

/** Where the journal lies: runs of blocks of the device in its order, as pairs of first block and length. */
export type JournalRuns = readonly (readonly [physical: number, length: number])[];

/** h_blocktype. */
const blockTypes = { descriptor: 1, commit: 2, superblock1: 3, superblock2: 4, revoke: 5 } as const;
/** JBD2_FEATURE_*. */
const compatChecksum = 0x1;
const incompat = {
  revoke: 0x1,
  wide: 0x2,
  asyncCommit: 0x4,
  checksum2: 0x8,
  checksum3: 0x10,
  fastCommit: 0x20,
} as const;
const incompatKnown = 0x3f;
/** Flags of a tag. */
const tagFlags = { escaped: 1, sameUuid: 2, last: 8 } as const;
const headerBytes = 12;
const uuidBytes = 16;
const fastCommitDefault = 256; // JBD2_DEFAULT_FAST_COMMIT_BLOCKS
const fastCommitHead = 9; // EXT4_FC_TAG_HEAD

interface Tag {
  /** Block of the file system, and of the device where its content stands in the journal. */
  readonly block: number;
  readonly place: number;
  readonly escaped: boolean;
  readonly sequence: number;
  /** Of its content, where the journal has checksums: 32 bits, or the low 16. */
  readonly checksum: number;
}

interface Transaction {
  readonly tags: Tag[];
  readonly revoked: number[];
}

export interface Replay {
  readonly overlay: Overlay;
  readonly transactions: number;
}

/** Replays the journal. Throws ExtFlaw where it is damaged or needs what is not known here. */
export function replayJournal(device: ExtDevice, geometry: ExtGeometry, runs: JournalRuns): Replay {
  return new JournalReader(device, geometry, runs).replay();
}

class JournalReader {
  readonly #device: ExtDevice;
  readonly #geometry: ExtGeometry;
  readonly #runs: JournalRuns;
  readonly #sb: Fields;
  readonly #incompat: number;
  readonly #seed: number;
  /** Blocks of the log: [first, last). */
  readonly #first: number;
  readonly #last: number;
  readonly #tagBytes: number;

  constructor(device: ExtDevice, geometry: ExtGeometry, runs: JournalRuns) {
    this.#device = device;
    this.#geometry = geometry;
    this.#runs = runs;
    const bytes = this.#block(0).slice(0, 1024);
    const sb = new Fields(bytes, "big");
    const type = sb.u32(4);
    if (sb.u32(0) !== journalMagic || (type !== blockTypes.superblock1 && type !== blockTypes.superblock2)) {
      throw damaged("the journal has no superblock");
    }
    this.#sb = sb;
    this.#incompat = type === blockTypes.superblock2 ? sb.u32(0x28) : 0;
    const compat = type === blockTypes.superblock2 ? sb.u32(0x24) : 0;
    const roCompat = type === blockTypes.superblock2 ? sb.u32(0x2c) : 0;
    if ((this.#incompat & ~incompatKnown) !== 0 || roCompat !== 0) {
      throw unsupported(`the journal has unknown features (${this.#incompat.toString(16)}, ${roCompat.toString(16)})`);
    }
    if ((compat & compatChecksum) !== 0 && !this.#hasChecksums) {
      throw unsupported("the journal has checksums of the first kind");
    }
    this.#seed = crc32cRaw(0xffffffff, bytes.subarray(0x30, 0x40));
    const length = runs.reduce((sum, [, count]) => sum + count, 0);
    const most = sb.u32(0x10);
    const fastCommit = (this.#incompat & incompat.fastCommit) !== 0 ? sb.u32(0x54) || fastCommitDefault : 0;
    this.#first = sb.u32(0x14);
    this.#last = most - fastCommit >= 1024 ? most - fastCommit : most; // JBD2_MIN_JOURNAL_BLOCKS
    if (sb.u32(0x0c) !== geometry.blockSize || most > length || this.#first < 1 || this.#first >= this.#last) {
      throw damaged("the superblock of the journal cannot be right");
    }
    if (this.#hasChecksums) {
      const stored = sb.u32(0xfc);
      bytes.fill(0, 0xfc, 0x100);
      if (sb.u8(0x50) !== 4 || crc32cRaw(0xffffffff, bytes) !== stored) {
        throw wrongChecksum("the superblock of the journal"); // JBD2_CRC32C_CHKSUM
      }
    }
    this.#tagBytes = this.#has(incompat.checksum3)
      ? 16
      : 8 + (this.#has(incompat.wide) ? 4 : 0) + (this.#has(incompat.checksum2) ? 2 : 0);
  }

  replay(): Replay {
    const start = this.#sb.u32(0x1c);
    if (start === 0) return { overlay: new Map(), transactions: 0 };
    if (start < this.#first || start >= this.#last) throw damaged("the journal begins outside of its log");
    const transactions: Transaction[] = [];
    const end = this.#scan(start, this.#sb.u32(0x18), transactions);
    this.#refuseFastCommits(end);
    return { overlay: overlayOf(transactions), transactions: transactions.length };
  }

  get #hasChecksums(): boolean {
    return this.#has(incompat.checksum2) || this.#has(incompat.checksum3);
  }

  #has(feature: number): boolean {
    return (this.#incompat & feature) !== 0;
  }

  /** Collects committed transactions in order; returns the sequence number that would follow. */
  #scan(start: number, firstSequence: number, transactions: Transaction[]): number {
    const size = this.#last - this.#first;
    let sequence = firstSequence;
    let at = start;
    let open: Transaction = { tags: [], revoked: [] };
    /** A descriptor or revoke block of the open transaction does not match its checksum: it may be a rest of an older round. */
    let doubtful = false;
    let lastCommit = 0n;
    for (let passed = 0; passed < size; ) {
      const block = this.#block(at);
      const header = new Fields(block, "big");
      if (header.u32(0) !== journalMagic || header.u32(8) !== sequence) break;
      const type = header.u32(4);
      at = this.#after(at, 1);
      passed++;
      if (type === blockTypes.descriptor) {
        doubtful ||= !this.#isProved(block, block.length - 4);
        const count = this.#readTags(block, sequence, at, open.tags);
        at = this.#after(at, count);
        passed += count;
      } else if (type === blockTypes.revoke) {
        const isRight = this.#isProved(block, block.length - 4);
        doubtful ||= !isRight;
        if (isRight) this.#readRevoked(header, open.revoked);
      } else if (type === blockTypes.commit) {
        const time = header.u64(0x30) * 1_000_000_000n + BigInt(header.u32(0x38));
        const isRight = this.#isProved(block, 16); // h_chksum[0]
        if (doubtful || !isRight) {
          // Rests of an older round are older than what was committed last: there the log ends.
          if (time < lastCommit) break;
          throw wrongChecksum(`transaction ${sequence} of the journal`);
        }
        lastCommit = time;
        transactions.push(open);
        open = { tags: [], revoked: [] };
        sequence = (sequence + 1) >>> 0;
      } else break;
    }
    for (const { tags } of transactions) this.#proveData(tags);
    return sequence;
  }

  /** Adds the tags of a descriptor block, whose data begins at block `at` of the journal. Returns how many blocks of data there are. */
  #readTags(block: Uint8Array, sequence: number, at: number, tags: Tag[]): number {
    const fields = new Fields(block, "big");
    const end = block.length - (this.#hasChecksums ? 4 : 0);
    let count = 0;
    for (let tag = headerBytes; tag + this.#tagBytes <= end; ) {
      const isThird = this.#has(incompat.checksum3);
      const flags = isThird ? fields.u32(tag + 4) : fields.u16(tag + 6);
      const high = this.#has(incompat.wide) ? fields.u32(tag + 8) : 0;
      tags.push({
        block: fields.u32(tag) + high * 2 ** 32,
        place: this.#place(this.#after(at, count)),
        escaped: (flags & tagFlags.escaped) !== 0,
        sequence,
        checksum: isThird ? fields.u32(tag + 12) : fields.u16(tag + 4),
      });
      count++;
      if (count >= this.#last - this.#first) throw damaged("the journal has more data than room");
      tag += this.#tagBytes + ((flags & tagFlags.sameUuid) === 0 ? uuidBytes : 0);
      if ((flags & tagFlags.last) !== 0) break;
    }
    return count;
  }

  #readRevoked(header: Fields, revoked: number[]): void {
    const bytes = header.u32(12);
    const width = this.#has(incompat.wide) ? 8 : 4;
    if (bytes > header.bytes.length - (this.#hasChecksums ? 4 : 0))
      throw damaged("a revoke block of the journal cannot be");
    for (let at = 16; at + width <= bytes; at += width) {
      revoked.push(width === 8 ? header.count(at) : header.u32(at));
    }
  }

  /** The checksum of a block of the log itself, which stands in it at `place` and counts as zeros. */
  #isProved(block: Uint8Array, place: number): boolean {
    if (!this.#hasChecksums) return true;
    const zeroed = block.slice();
    zeroed.fill(0, place, place + 4);
    return crc32cRaw(this.#seed, zeroed) === new Fields(block, "big").u32(place);
  }

  /** What was committed must be whole, and lie in the file system. */
  #proveData(tags: readonly Tag[]): void {
    const sequenceBytes = new Uint8Array(4);
    for (const { block, place, sequence, checksum } of tags) {
      if (block >= this.#geometry.blockCount)
        throw damaged(`the journal holds block ${block}, outside of the file system`);
      if (!this.#hasChecksums) continue;
      new DataView(sequenceBytes.buffer).setUint32(0, sequence);
      const crc = crc32cRaw(crc32cRaw(this.#seed, sequenceBytes), this.#device.block(place, "the journal"));
      if (checksum !== (this.#has(incompat.checksum3) ? crc : crc & 0xffff)) {
        throw wrongChecksum(`block ${block} in transaction ${sequence} of the journal`);
      }
    }
  }

  /** Fast commits hold changes in a language of their own, which only the kernel replays. */
  #refuseFastCommits(sequence: number): void {
    if (!this.#has(incompat.fastCommit)) return;
    const first = this.#last + 1; // journal_load(): j_fc_first
    if (first >= this.#sb.u32(0x10)) return;
    const head = new Fields(this.#block(first)); // little-endian: struct ext4_fc_tl, ext4_fc_head
    if (head.u16(0) === fastCommitHead && head.u32(8) === sequence) {
      throw unsupported("the journal holds fast commits, which only the kernel can replay");
    }
  }

  /** Block of the log `count` after another, around its end. */
  #after(at: number, count: number): number {
    const next = at + count;
    return next >= this.#last ? next - (this.#last - this.#first) : next;
  }

  #block(number: number): Uint8Array {
    return this.#device.block(this.#place(number), "the journal");
  }

  /** Block of the device. */
  #place(number: number): number {
    let rest = number;
    for (const [physical, length] of this.#runs) {
      if (rest < length) return physical + rest;
      rest -= length;
    }
    throw damaged("the journal ends before its log");
  }
}

/** The last committed content of each block, but of those revoked in the same transaction or later. */
function overlayOf(transactions: readonly Transaction[]): Overlay {
  const revokedIn = new Map<number, number>();
  for (const [i, { revoked }] of transactions.entries()) for (const block of revoked) revokedIn.set(block, i);
  const overlay = new Map<number, number>();
  for (const [i, { tags }] of transactions.entries()) {
    for (const { block, place, escaped } of tags) {
      if ((revokedIn.get(block) ?? -1) < i) overlay.set(block, place * 2 + (escaped ? 1 : 0));
    }
  }
  return overlay;
}
