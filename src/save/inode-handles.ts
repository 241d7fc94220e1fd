// Handles of the directories of a source that is read from its device: a directory is its inode number, and nothing is held open.

import { type DirectoryHandle, deviceKey } from "../sys/directory.ts";
import { EUCLEAN, systemError } from "../sys/errors.ts";
import type { Stat } from "../sys/stat.ts";

const noName = new Uint8Array(0);
const slash = Buffer.from("/");

class InodeHandle implements DirectoryHandle {
  readonly parent: InodeHandle | undefined;
  readonly name: Uint8Array;
  readonly dev: number;
  readonly ino: number;

  constructor(parent: InodeHandle | undefined, name: Uint8Array, dev: number, ino: number) {
    this.parent = parent;
    this.name = name;
    this.dev = dev;
    this.ino = ino;
  }

  acquire(): number {
    if (this.ino < 0) throw systemError(EUCLEAN, "open", this.path());
    return this.ino;
  }

  release(): void {}

  dispose(): void {}

  path(): Uint8Array {
    const above = this.parent?.path() ?? noName;
    return above.length === 0 ? this.name : Buffer.concat([above, slash, this.name]);
  }
}

/** Stands for a DirectoryTable. */
export class InodeHandles {
  root(inode: number): DirectoryHandle {
    return new InodeHandle(undefined, noName, 0, inode);
  }

  /** `fd`: its inode; undefined: it cannot be entered. */
  child(
    parent: DirectoryHandle,
    name: Uint8Array,
    fd: number | undefined,
    stat: Pick<Stat, "dev" | "ino">,
  ): DirectoryHandle {
    return new InodeHandle(parent as InodeHandle, name.slice(), deviceKey(stat.dev), fd ?? -1);
  }
}
