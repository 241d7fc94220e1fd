// Zstandard frames (RFC 8878) through the binding's low-level API: contexts are reused, output goes into the caller's bytes.
// With the content size known, zstd never takes a window longer than the content rounded up to a power of two: so windows are ≤ 8 MiB up to level 18 (its
// tables ask for no more) and, a block being at most 64 MiB, never over 64 MiB; every stock decoder takes up to 128 MiB.

import zstd from "zstd-napi/binding.js";
import { viewOf } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { FrameDecoder, FrameEncoder } from "./frame.ts";

const { CCtx, CParameter, DCtx } = zstd;

/**
 * ZSTD_c_blockSplitterLevel (experimental parameter 20 of zstd 1.5.7, zstd.h), and its value for "no splitting before compression". At fast levels looking for
 * places to split costs 4 % of the time and saves less than 0.1 % of the bytes.
 */
const blockSplitterLevel = 1017;
const noSplitting = 1;
const fastLevelMax = 4;

export class ZstdEncoder implements FrameEncoder {
  readonly #context = new CCtx();

  constructor(level: number) {
    this.#context.setParameter(CParameter.compressionLevel, level);
    this.#context.setParameter(CParameter.checksumFlag, 1);
    this.#context.setParameter(CParameter.contentSizeFlag, 1);
    if (level <= fastLevelMax) this.#context.setParameter(blockSplitterLevel, noSplitting);
  }

  bound(length: number): number {
    return zstd.compressBound(length);
  }

  compress(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    return this.#context.compress2(target.subarray(targetOffset), source.subarray(sourceOffset, sourceOffset + length));
  }
}

/** Frame_Header_Descriptor: Content_Checksum_flag, and the bits that must be 0 here (reserved, Dictionary_ID_flag). */
const checksumFlag = 0x04;
const forbiddenFlags = 0x0b;
const magic = 0xfd2f_b528;

export class ZstdDecoder implements FrameDecoder {
  readonly #context = new DCtx();

  decompress(target: Uint8Array, source: Uint8Array): number {
    const flaw = frameFlaw(source, target.length);
    if (flaw !== undefined) throw damage(flaw);
    let length: number;
    try {
      length = this.#context.decompress(target, source);
    } catch (cause) {
      throw damage("cannot be decompressed", cause);
    }
    if (length !== target.length) throw damage(`holds ${length} bytes, expected ${target.length}`);
    return length;
  }

  recover(target: Uint8Array, source: Uint8Array): number {
    const context = new DCtx(); // of its own: it stands in the middle of a frame afterwards
    let at = 0;
    let length = 0;
    try {
      const end = source.length - checksumBytes; // which would fail, and with it the last step
      let step = frameStartBytes;
      while (at < end && length < target.length) {
        // Block by block, as the decoder asks for them: what a failing call has decompressed is lost.
        const input = source.subarray(at, Math.min(at + step, end));
        const [wanted, produced, consumed] = context.decompressStream(target.subarray(length), input);
        if (produced === 0 && consumed === 0) break;
        step = Math.max(1, wanted);
        at += consumed;
        length += produced;
      }
    } catch {
      // The damage: what came before it is there.
    }
    return length;
  }
}

/** What a decoder needs to say how much more it wants. */
const frameStartBytes = 5;
const checksumBytes = 4;

/** Why the bytes are not one frame of ours with that content size, by their headers alone. */
function frameFlaw(source: Uint8Array, contentLength: number): string | undefined {
  if (source.length < 9) return "is too short";
  const view = viewOf(source);
  if (view.getUint32(0, true) !== magic) return "is no zstd frame";
  const descriptor = source[4] as number;
  if ((descriptor & checksumFlag) === 0) return "has no content checksum";
  if ((descriptor & forbiddenFlags) !== 0) return "needs a dictionary or a newer decoder";
  try {
    if (zstd.findFrameCompressedSize(source) !== source.length) return "is followed by other bytes";
    const size = zstd.getFrameContentSize(source);
    return size === contentLength ? undefined : `states ${size ?? "no"} bytes, expected ${contentLength}`;
  } catch {
    return "is cut off or broken";
  }
}

function damage(message: string, cause?: unknown): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `a zstd frame ${message}`, cause === undefined ? {} : { cause });
}
