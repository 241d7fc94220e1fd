// The files that a save must not take into its archive: the archive itself, and the one it replaces.

import type { FileIdentity } from "../archive/sink.ts";
import { statLayout } from "../sys/layout.ts";

export class ArchiveFiles {
  /** Lower 32 bits of their inode numbers: what has others is none of them. */
  readonly inodes: Uint32Array;
  readonly #files: readonly { readonly ino: bigint; readonly major: number; readonly minor: number }[];

  constructor(identities: readonly FileIdentity[]) {
    this.inodes = Uint32Array.from(identities, ({ ino }) => Number(ino & 0xffff_ffffn));
    // The encoding of dev_t, sys/sysmacros.h.
    this.#files = identities.map(({ dev, ino }) => ({
      ino,
      major: Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)),
      minor: Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)),
    }));
  }

  /** `at`: of a stat record. */
  includes(stat: DataView, at: number): boolean {
    return this.#files.some(
      ({ ino, major, minor }) =>
        stat.getUint32(at + statLayout.devMajor, true) === major &&
        stat.getUint32(at + statLayout.devMinor, true) === minor &&
        stat.getBigUint64(at + statLayout.ino, true) === ino,
    );
  }
}
