// The codecs by name. Bindings are loaded on first use only, so that a run pays for the one it needs.

import type { Codec } from "../model/archive.ts";
import type { FrameDecoder, FrameEncoder } from "./frame.ts";

/** First bytes of a data frame. */
export const frameMagics: Readonly<Record<Codec, Uint8Array>> = {
  zstd: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd),
  lz4: Uint8Array.of(0x04, 0x22, 0x4d, 0x18),
};

export type { FrameDecoder, FrameEncoder };

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
