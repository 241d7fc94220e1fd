// Catalog segments that one bad sector has hit, made again from their parity.

import { limits } from "../base/limits.ts";
import { repairs } from "../format/parity.ts";

/** Bytes of payloads that are tried, for one archive: where the damage is must be found by trying. */
const triedBytesMax = 8 * limits.segmentContentBytes;

export class SegmentRepair {
  #triedBytes = 0;

  /** The payload as it was written; undefined: none that parity allows is proved. `offset`: of the payload in the archive. */
  repair(damaged: Uint8Array, offset: number, isProved: (payload: Uint8Array) => boolean): Uint8Array | undefined {
    for (const payload of repairs(damaged, offset)) {
      this.#triedBytes += payload.length;
      if (this.#triedBytes > triedBytesMax) return undefined;
      if (isProved(payload)) return payload;
    }
    return undefined;
  }
}
