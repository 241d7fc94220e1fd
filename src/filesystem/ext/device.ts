// The device below an ext file system, in blocks: metadata through a small cache that reads ahead, file data straight into the caller's buffer. Where a
// journal was replayed in memory, its blocks stand in place of the device's own. Nothing outside of the device is ever asked for.

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

export class ExtDevice implements ByteReader {
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly #access: RandomAccess;
  readonly #overlay: Overlay;
  /** By number, the least recently used first. */
  readonly #chunks = new Map<number, Uint8Array>();

  /** `blockSize`: at most 64 KiB. */
  constructor(access: RandomAccess, blockSize: number, overlay: Overlay = new Map()) {
    this.sizeBytes = access.sizeBytes;
    this.blockSize = blockSize;
    this.#access = access;
    this.#overlay = overlay;
  }

  /** One block; not to be changed. Throws ExtFlaw. */
  block(number: number, what: string): Uint8Array {
    return this.bytes(number * this.blockSize, this.blockSize, what);
  }

  /** Bytes that lie within one block; not to be changed. Throws ExtFlaw. */
  bytes(position: number, length: number, what: string): Uint8Array {
    if (!(position >= 0 && position + length <= this.sizeBytes))
      throw damaged(`${what} lies beyond the end of the device`);
    const number = Math.floor(position / chunkBytes);
    const at = position - number * chunkBytes;
    return this.#chunk(number, position, what)?.subarray(at, at + length) ?? this.#single(position, length, what);
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

  /** Undefined where it cannot be read whole. */
  #chunk(number: number, position: number, what: string): Uint8Array | undefined {
    const known = this.#chunks.get(number);
    if (known !== undefined) {
      this.#chunks.delete(number);
      this.#chunks.set(number, known);
      return known;
    }
    const start = number * chunkBytes;
    if (position < start) throw damaged(`${what} has an impossible place`);
    const chunk = new Uint8Array(Math.min(chunkBytes, this.sizeBytes - start));
    try {
      this.readInto(chunk, 0, chunk.length, start);
    } catch {
      return undefined;
    }
    if (this.#chunks.size >= chunksMax) this.#chunks.delete(this.#chunks.keys().next().value as number);
    this.#chunks.set(number, chunk);
    return chunk;
  }

  /** Beside a bad place of the device. */
  #single(position: number, length: number, what: string): Uint8Array {
    const bytes = new Uint8Array(length);
    try {
      this.readInto(bytes, 0, length, position);
    } catch {
      throw unreadable(what);
    }
    return bytes;
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

/** Puts back the first bytes of an escaped block, as far as they are in [inBlock, inBlock + length). */
function restoreMagic(target: Uint8Array, at: number, length: number, inBlock: number): void {
  for (let i = inBlock; i < Math.min(4, inBlock + length); i++) {
    target[at + i - inBlock] = (journalMagic >>> (24 - 8 * i)) & 0xff;
  }
}
