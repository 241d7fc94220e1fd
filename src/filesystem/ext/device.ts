// The device below an ext file system, in blocks: metadata through a small cache that reads ahead, file data straight into the caller's buffer. Where a
// journal was replayed in memory, its blocks stand in place of the device's own. Nothing outside of the device is ever asked for.

import { RecentlyUsed } from "../../base/recent.ts";
import type { ByteReader } from "../reader.ts";
import type { RandomAccess } from "../random-access.ts";
import { damaged, unreadable } from "./flaw.ts";

/** Blocks that the journal holds newer than the device: block number → block in the journal × 2, + 1 where it is escaped (journal.ts). */
export type Overlay = ReadonlyMap<number, number>;

/** Bytes read at a time for metadata: neighbouring inodes and directory blocks are wanted next. */
const chunkBytes = 65_536;
const chunksMax = 256;
/** First bytes of every block of journal metadata, big-endian; a data block that begins so is escaped by zeros. */
export const journalMagic = 0xc03b3998;

/** A piece of the device that stays in memory: not to be changed, and never overwritten. */
export interface Chunk {
  /** Where on the device it begins. */
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Of each inode that could stand in it: its number, if it was looked at and its checksum is right; 0: it was not; else it is wrong. Undefined: none was. */
  proved?: Uint32Array;
}

export class ExtDevice implements ByteReader {
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly #access: RandomAccess;
  readonly #overlay: Overlay;
  readonly #chunks = new RecentlyUsed<Chunk>(chunksMax);

  /** `blockSize`: at most 64 KiB. */
  constructor(access: RandomAccess, blockSize: number, overlay: Overlay = new Map()) {
    this.sizeBytes = access.sizeBytes;
    this.blockSize = blockSize;
    this.#access = access;
    this.#overlay = overlay;
  }

  /** One block; not to be changed. Throws ExtFlaw. */
  block(number: number, what: string): Uint8Array {
    const { blockSize } = this;
    const { bytes, start } = this.#metadata(number * blockSize, blockSize, what);
    const at = number * blockSize - start;
    return bytes.subarray(at, at + blockSize);
  }

  /** The piece that holds the bytes of an inode, which lie within one block. Throws ExtFlaw. */
  inode(position: number, length: number, number: number): Chunk {
    return this.#metadata(position, length, "inode", number);
  }

  /** `what`, `number`: for messages. */
  #metadata(position: number, length: number, what: string, number?: number): Chunk {
    if (!(position >= 0 && position + length <= this.sizeBytes))
      throw damaged(`${named(what, number)} lies beyond the end of the device`);
    const chunk = this.#chunk(Math.floor(position / chunkBytes)) ?? this.#read(position, length); // beside a bad place of the device
    if (chunk === undefined) throw unreadable(named(what, number));
    return chunk;
  }

  /** ByteReader: bytes from anywhere, as far as they exist. Throws what the system says. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.sizeBytes - offset)));
    if (bytes.length > 0) this.readInto(bytes, 0, bytes.length, offset);
    return bytes;
  }

  /** Fills part of a buffer. The range lies on the device. Throws what the system says. */
  readInto(target: Uint8Array, at: number, length: number, position: number): void {
    this.#access.readInto(target, at, length, position);
    if (this.#overlay.size > 0) this.#overlayInto(target, at, length, position);
  }

  /** Says what readInto() is asked for next, in pieces. */
  willRead(position: number, length: number): void {
    this.#access.willRead?.(position, length);
  }

  /** Undefined where it cannot be read whole. */
  #chunk(number: number): Chunk | undefined {
    const known = this.#chunks.get(number);
    if (known !== undefined) return known;
    const start = number * chunkBytes;
    const chunk = this.#read(start, Math.min(chunkBytes, this.sizeBytes - start));
    return chunk && this.#chunks.add(number, chunk);
  }

  #read(position: number, length: number): Chunk | undefined {
    const { buffer } = Buffer.allocUnsafeSlow(length);
    const bytes = new Uint8Array(buffer);
    try {
      this.readInto(bytes, 0, length, position);
    } catch {
      return undefined;
    }
    return { start: position, bytes, view: new DataView(buffer) };
  }

  #overlayInto(target: Uint8Array, at: number, length: number, position: number): void {
    const { blockSize } = this;
    const end = position + length;
    for (let block = Math.floor(position / blockSize); block * blockSize < end; block++) {
      const place = this.#overlay.get(block);
      if (place === undefined) continue;
      const from = Math.max(position, block * blockSize);
      const to = Math.min(end, (block + 1) * blockSize);
      const inBlock = from - block * blockSize;
      const targetAt = at + from - position;
      this.#access.readInto(target, targetAt, to - from, Math.floor(place / 2) * blockSize + inBlock);
      if (place % 2 === 1) restoreMagic(target, targetAt, to - from, inBlock);
    }
  }
}

/** Made for messages only: numbers become text slowly. */
function named(what: string, number: number | undefined): string {
  return number === undefined ? what : `${what} ${number}`;
}

/** Puts back the first bytes of an escaped block, as far as they are in [inBlock, inBlock + length). */
function restoreMagic(target: Uint8Array, at: number, length: number, inBlock: number): void {
  for (let i = inBlock; i < Math.min(4, inBlock + length); i++) {
    target[at + i - inBlock] = (journalMagic >>> (24 - 8 * i)) & 0xff;
  }
}
