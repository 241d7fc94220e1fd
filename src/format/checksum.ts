// XXH64 (seed 0): the checksum inside record headers, over record payloads and in the frames of store archives. 8 bytes in canonical
// big-endian order (xxHash doc/xxhash_spec.md); opaque bytes to everyone but zstd frames, which carry the low 32 bits.

import xxHash64 from "hash-wasm/dist/xxhash64.umd.min.js";

export const checksumLength = 8;

// One hasher per thread: a call runs to its end before the next begins.
const hasher = await xxHash64.createXXHash64();

/** XXH64 of the bytes, big-endian, in a new array of 8 bytes. */
export function xxh64(bytes: Uint8Array): Uint8Array {
  return hasher.init().update(bytes).digest("binary");
}
