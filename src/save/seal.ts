// The end of every job that packs: the tar bytes of a block become its frame.

import type { FrameEncoder } from "../codec/codec.ts";
import type { Digest } from "../codec/digest.ts";
import type { RowEncoder } from "../format/segment.ts";
import { lettingGo } from "../pipeline/holding.ts";
import type { PackedBlock } from "./protocol.ts";

/** A block that does not know its directory. */
export type SealedTar = Omit<PackedBlock, "directory">;

/** Compresses a block, with the rows encoded so far, into the slot, or into a buffer of its own where there is none or it is too small. */
export function sealTar(
  encoder: FrameEncoder,
  digest: Digest,
  rows: RowEncoder,
  tar: Uint8Array,
  length: number,
  slot: SharedArrayBuffer | undefined,
): SealedTar {
  const encoded = rows.finish();
  const bound = encoder.bound(length);
  const inSlot = slot !== undefined && bound <= slot.byteLength;
  const target = inSlot ? new Uint8Array(slot) : new Uint8Array(bound);
  const compressedLength = lettingGo(() => encoder.compress(target, 0, tar, 0, length));
  const frame = target.subarray(0, compressedLength);
  return {
    ...(inSlot ? {} : { frame: frame.slice() }),
    compressedLength,
    uncompressedLength: length,
    entryCount: encoded.count,
    rows: encoded.rows,
    digests: encoded.digests,
    digest: digest.block(frame),
  };
}
