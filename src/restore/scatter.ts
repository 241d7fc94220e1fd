// The plain files of a block, which the addon makes in one call from the encoded rows: those with nothing but data, owner, mode and times, in
// directories that pass nothing on.

import { addon } from "../sys/addon.ts";
import { scatterSteps } from "../sys/layout.ts";
import { settableFlags } from "./metadata.ts";
import type { UnpackInput, WritePolicy } from "./protocol.ts";

/** What became of a file. */
export interface MadeFile {
  /** The step that failed first (scatterSteps), and its errno; 0: none did. */
  readonly step: number;
  readonly errno: number;
  /** Its content is not that of its digest. */
  readonly differs: boolean;
  /** Of a linked file; not exact over 2^53. */
  readonly ino: number;
}

export class MadeFiles {
  /** Rows that there is more to do or to say of. */
  readonly open: number;
  readonly #steps: Uint8Array;
  readonly #errors: Int32Array;
  readonly #inodes: Float64Array;

  /** Makes what it can of the rows that have a directory and a place in `tar`: pairs of offset and length, 0 for what is to be left. */
  constructor(input: UnpackInput, tar: Uint8Array, places: Float64Array, { uid, gid }: WritePolicy) {
    const { count, rows, digests, dirFds } = input;
    this.#steps = new Uint8Array(count);
    this.#errors = new Int32Array(count);
    this.#inodes = new Float64Array(count);
    const results = [this.#steps, this.#errors, this.#inodes] as const;
    this.open = addon().scatter(tar, rows, count, digests, places, dirFds, uid, gid, settableFlags, ...results);
  }

  /** Undefined: it was left. */
  at(row: number): MadeFile | undefined {
    const found = this.#steps[row] as number;
    if (found === scatterSteps.left) return undefined;
    const step = found & ~scatterSteps.otherDigest;
    const differs = step !== found;
    return { step, errno: this.#errors[row] as number, differs, ino: this.#inodes[row] as number };
  }
}
