// XXH64 (seed 0): the checksum inside record headers, over record payloads and in the frames of store archives. 8 bytes in canonical
// big-endian order (xxHash doc/xxhash_spec.md); opaque bytes to everyone but zstd frames, which carry the low 32 bits.

import { addon } from "../sys/addon.ts";

export const checksumLength = 8;

/** XXH64 of the bytes, big-endian, in a new array of 8 bytes. */
export function xxh64(bytes: Uint8Array): Uint8Array {
  const checksum = new Uint8Array(checksumLength);
  addon().xxh64(bytes, 0, bytes.length, checksum, 0);
  return checksum;
}
