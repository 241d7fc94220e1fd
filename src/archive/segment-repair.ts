// Catalog segments that one bad sector has hit, made again from their parity.

import { limits } from "../base/limits.ts";
import { repairs } from "../format/parity.ts";
import type { ArchiveInput } from "./input.ts";

/** Bytes that are looked at in trying, for one archive: where the damage is must be found by trying. */
const triedBytesMax = 8 * limits.segmentContentBytes;

export class SegmentRepair {
  readonly #input: Pick<ArchiveInput, "pause">;
  #triedBytes = 0;

  constructor(input: Pick<ArchiveInput, "pause">) {
    this.#input = input;
  }

  /**
   * The payload as it was written; undefined: none that parity allows is proved. `offset`: of the payload in the archive; `proofBytes`: what the proof
   * of each looks at besides.
   */
  async repair(
    damaged: Uint8Array,
    offset: number,
    proofBytes: number,
    isProved: (payload: Uint8Array) => boolean,
  ): Promise<Uint8Array | undefined> {
    for (const payload of repairs(damaged, offset)) {
      this.#triedBytes += payload.length + proofBytes;
      if (this.#triedBytes > triedBytesMax) return undefined;
      if (isProved(payload)) return payload;
      await this.#input.pause();
    }
    return undefined;
  }
}
