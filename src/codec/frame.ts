// What a codec offers: a block into one data frame and back. Every frame carries a content checksum, because stock tools have no other
// protection. All calls are synchronous; an encoder or decoder belongs to one thread.

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
  /**
   * Decompresses as much of a damaged frame as comes, from its front, into the front of `target`. Returns the bytes, of which none is proven: what stands
   * behind the damage may be among them. Never throws.
   */
  recover(target: Uint8Array, source: Uint8Array): number;
}
