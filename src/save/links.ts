// The inodes with several names: where the first name stands, until the last one has been seen. Identity is device and inode, never the inode
// alone. Memory: some 200 bytes for each inode with names still to come.

import { fromLatin1, latin1 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface LinkTarget {
  readonly entry: number;
  /** Member name of the object. */
  readonly path: Uint8Array;
}

interface LinkedInode {
  readonly entry: number;
  readonly path: string;
  remaining: number;
}

export class LinkTable {
  readonly #limit: number;
  readonly #devices = new Map<number, Map<number | bigint, LinkedInode>>();

  /** `limit`: inodes of one device. */
  constructor(limit: number = limits.linkedInodes) {
    this.#limit = limit;
  }

  /** The object this inode is a further name of, or undefined for the first name, which must then be given to add(). `inode`: as of readUint64. */
  find(device: number, inode: number | bigint): LinkTarget | undefined {
    const inodes = this.#devices.get(device);
    const known = inodes?.get(inode);
    if (known === undefined) return undefined;
    known.remaining--;
    if (known.remaining === 0) inodes?.delete(inode);
    return { entry: known.entry, path: fromLatin1(known.path) };
  }

  /** Remembers the first name of an inode with `nlink` names. Throws UNSUPPORTED over the limit. */
  add(device: number, inode: number | bigint, nlink: number, { entry, path }: LinkTarget): void {
    let inodes = this.#devices.get(device);
    if (inodes === undefined) {
      inodes = new Map();
      this.#devices.set(device, inodes);
    }
    if (inodes.size >= this.#limit) {
      const found = `more than ${this.#limit} files of one file system with further names still to come`;
      throw new TsfsaError("UNSUPPORTED", `a save cannot keep in mind ${found}`, {
        hints: ["save parts of the tree one by one, each with all names of its files"],
      });
    }
    inodes.set(inode, { entry, path: latin1(path), remaining: nlink - 1 });
  }
}
