// Compressing a block into one data frame and back. Every frame carries a content checksum, because stock tools have no other protection.
// The bindings are loaded on first use only; calls on an encoder or decoder are synchronous.

import type { Codec } from "../model/archive.ts";

export interface FrameEncoder {
  /** Greatest length of a frame for `length` bytes. */
  bound(length: number): number;
  /**
   * Compresses source[sourceOffset..+length) (length > 0) into one frame at targetOffset of `target`, which has room for bound(length). Returns the frame's
   * length. The same bytes always give the same frame.
   */
  compress(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number, length: number): number;
}

export interface FrameDecoder {
  /**
   * Decompresses exactly one frame into exactly all of `target`, whose length the caller has checked against its limit. Returns that length. Throws
   * ARCHIVE_DAMAGED for anything but one whole frame with a right content checksum and exactly that content size; then target's bytes are undefined.
   */
  decompress(target: Uint8Array, source: Uint8Array): number;
}

/** level: zstd −131072 to 22, 0 = store; not looked at for lz4. */
export async function createEncoder(codec: Codec, level: number): Promise<FrameEncoder> {
  if (codec === "lz4") return new (await import("./lz4.ts")).Lz4Encoder();
  if (level === 0) return new (await import("./store.ts")).StoreEncoder();
  return new (await import("./zstd.ts")).ZstdEncoder(level);
}

export async function createDecoder(codec: Codec): Promise<FrameDecoder> {
  if (codec === "lz4") return new (await import("./lz4.ts")).Lz4Decoder();
  return new (await import("./zstd.ts")).ZstdDecoder();
}
