// A directory of the archive on its way to the target. One that was asked for is made at once; one that only leads to what was asked for waits for
// the first such entry, so that nothing is left of directories of which nothing was taken.

import type { Subvolume } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import type { DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_CONTAINED } from "../sys/constants.ts";
import { EEXIST, errnoName } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { isDirectory, readStat, statDescriptor } from "../sys/stat.ts";
import { throwIfFinal } from "./failures.ts";
import { noName } from "./metadata.ts";
import { passesOn } from "./policy.ts";
import type { WritePolicy } from "./protocol.ts";
import type { SubvolumeMaker } from "./subvolumes.ts";

export interface Branch {
  /** Undefined: the root of a source. */
  readonly parent: Branch | undefined;
  readonly name: Uint8Array;
  /** Undefined: it waits, or nothing is restored below it. */
  handle: DirectoryHandle | undefined;
  /** To be made with the first entry below it. */
  waits: boolean;
  /** It gets the metadata of its row: it was selected, or is new. */
  restored: boolean;
  /** It is to be the root of a btrfs subvolume. */
  subvolume?: Subvolume | undefined;
  /** This restore has made it: what is not set now it does not have, unless `careful` says that it came with something. */
  isNew: boolean;
  /** New entries in it may get a group or an ACL from it, or take the place of others (set once it is there). */
  careful: boolean;
}

/** The root of a source: a directory that is there. */
export function rootBranch(handle: DirectoryHandle, restored: boolean): Branch {
  const careful = passesOn(handle);
  return { parent: undefined, name: noName, handle, waits: false, restored, isNew: false, careful };
}

/** Path below the source root, for messages: not kept, for a deep tree would hold all of its paths. */
export function pathOf(branch: Branch): Uint8Array {
  const names: Uint8Array[] = [];
  for (let next = branch; next.parent !== undefined; next = next.parent) names.push(next.name);
  return Buffer.concat(names.toReversed().flatMap((name, i) => (i === 0 ? [name] : [Buffer.of(0x2f), name])));
}

/** A directory that is not made yet. */
export function waitingBranch(parent: Branch, name: Uint8Array, restored: boolean): Branch {
  return { parent, name, handle: undefined, waits: true, restored, isNew: false, careful: false };
}

export class BranchMaker {
  readonly #table: DirectoryTable;
  readonly #policy: WritePolicy;
  readonly #warn: (warning: Warning) => void;
  readonly #subvolumes: SubvolumeMaker;

  constructor(
    table: DirectoryTable,
    policy: WritePolicy,
    warn: (warning: Warning) => void,
    subvolumes: SubvolumeMaker,
  ) {
    this.#table = table;
    this.#policy = policy;
    this.#warn = warn;
    this.#subvolumes = subvolumes;
  }

  /** The directory of a branch, made now with all above it if it waits; undefined after telling why that failed. */
  make(branch: Branch): DirectoryHandle | undefined {
    const waiting: Branch[] = [];
    for (let next: Branch | undefined = branch; next?.waits === true; next = next.parent) waiting.push(next);
    for (const next of waiting.toReversed()) {
      next.waits = false;
      const parent = next.parent?.handle;
      if (parent !== undefined) next.handle = this.#makeIn(parent, next);
    }
    return branch.handle;
  }

  #noteSubvolume(branch: Branch, handle: DirectoryHandle): void {
    if (branch.subvolume !== undefined) this.#subvolumes.add(branch.subvolume, handle, () => pathOf(branch));
  }

  /** A directory that exists is used as it is; anything else in the way is only replaced if the policy says so. */
  #makeIn(parent: DirectoryHandle, branch: Branch): DirectoryHandle | undefined {
    const native = addon();
    const { name } = branch;
    const dirFd = parent.acquire();
    const make = (): number =>
      branch.subvolume === undefined ? native.mkdirAt(dirFd, name, 0o700) : this.#subvolumes.make(dirFd, name);
    try {
      let made = make();
      if (made === -EEXIST) {
        const record = new Uint8Array(statLayout.size);
        const found = native.statAt(dirFd, name, record) < 0 ? undefined : readStat(record);
        if (found !== undefined && isDirectory(found.mode)) {
          const existing = this.#table.child(parent, name, undefined, found);
          branch.careful = this.#policy.overwrite || passesOn(existing);
          this.#noteSubvolume(branch, existing);
          return existing;
        }
        if (this.#policy.overwrite && native.unlinkAt(dirFd, name, 0) >= 0) made = make();
      }
      if (made < 0) throwIfFinal(-made, "making the directory", pathOf(branch));
      if (made >= 0) made = native.openAt(dirFd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_CONTAINED);
      if (made >= 0) {
        branch.restored = true;
        branch.isNew = true;
        const found = statDescriptor(made);
        branch.careful = branch.parent?.careful === true || found.gid !== this.#policy.gid;
        const handle = this.#table.child(parent, name, made, found);
        this.#noteSubvolume(branch, handle);
        return handle;
      }
      const errno = errnoName(-made);
      const why = made === -EEXIST ? "something else of that name exists already (--overwrite replaces it)" : errno;
      const message = `it and all that is below it was not restored: making the directory failed: ${why}`;
      this.#warn({ code: "ENTRY_NOT_RESTORED", path: pathOf(branch), message, errno });
      return undefined;
    } finally {
      parent.release();
    }
  }
}
