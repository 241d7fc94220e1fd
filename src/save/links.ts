// The inodes with several names: where the first name stands, until the last one has been seen. Identity is device and inode, never the inode
// alone. Memory: one item per such inode with names still to come.

export interface LinkTarget {
  readonly entry: number;
  /** Member name of the object. */
  readonly path: Uint8Array;
}

interface LinkedInode extends LinkTarget {
  remaining: number;
}

export class LinkTable {
  readonly #devices = new Map<number, Map<bigint, LinkedInode>>();

  /** The object this inode is a further name of, or undefined for the first name, which must then be given to add(). */
  find(device: number, inode: bigint): LinkTarget | undefined {
    const inodes = this.#devices.get(device);
    const known = inodes?.get(inode);
    if (known === undefined) return undefined;
    known.remaining--;
    if (known.remaining === 0) inodes?.delete(inode);
    return known;
  }

  /** Remembers the first name of an inode with `nlink` names. */
  add(device: number, inode: bigint, nlink: number, target: LinkTarget): void {
    let inodes = this.#devices.get(device);
    if (inodes === undefined) {
      inodes = new Map();
      this.#devices.set(device, inodes);
    }
    inodes.set(inode, { ...target, remaining: nlink - 1 });
  }
}
