// The running digest over all records (docs/FORMAT.md, section 7): R₀ = H(head record), Rᵢ = H(Rᵢ₋₁ ‖ record i), each cut to 16 bytes.
// H is the archive's digest algorithm and is given by the caller.

import { concatBytes } from "../base/bytes.ts";
import { recordDigestLength } from "./block.ts";

/** The archive's digest algorithm: bytes to 16 or 32 bytes. */
export type Hash = (bytes: Uint8Array) => Uint8Array;

/** R₀ from all bytes of the first head record: 16 bytes. */
export function startChain(hash: Hash, headRecord: Uint8Array): Uint8Array {
  return hash(headRecord).slice(0, recordDigestLength);
}

/** Rᵢ from Rᵢ₋₁ and all bytes of record i: 16 bytes. */
export function extendChain(hash: Hash, previous: Uint8Array, record: Uint8Array): Uint8Array {
  return hash(concatBytes([previous, record])).slice(0, recordDigestLength);
}
