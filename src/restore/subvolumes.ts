// btrfs subvolumes of a restore: made with their directories, while everything is written they are writable, and read-only at the very end.
// Where none can be made they become directories, which one warning tells.

import { escapeName } from "../base/units.ts";
import type { Subvolume } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { CAP_SYS_ADMIN } from "../sys/constants.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { EEXIST, errnoName } from "../sys/errors.ts";
import { subvolumeInode, subvolumeOf } from "../sys/subvolume.ts";
import { isFinal } from "./failures.ts";

/** Paths that the warning names. */
const namedMax = 20;

interface Made {
  readonly subvolume: Subvolume;
  readonly handle: DirectoryHandle;
  readonly path: () => Uint8Array;
}

export class SubvolumeMaker {
  readonly #setsDefault: boolean;
  readonly #warn: (warning: Warning) => void;
  /** An ordinary user could make some, and would have them with nobody who may delete them. */
  readonly #isAllowed = addon().hasCapability(CAP_SYS_ADMIN);
  readonly #unfinished: Made[] = [];
  readonly #flattened: Uint8Array[] = [];
  #flattenedCount = 0;

  constructor(setsDefault: boolean, warn: (warning: Warning) => void) {
    this.#setsDefault = setsDefault;
    this.#warn = warn;
  }

  /** A new subvolume with mode 0700, or a directory where there can be none. Returns ≥ 0 or −errno. */
  make(dirFd: number, name: Uint8Array): number {
    const native = addon();
    if (this.#isAllowed) {
      const made = native.createSubvolume(dirFd, name);
      // Else nothing can be made there, not only no subvolume.
      if (made >= 0 || made === -EEXIST || isFinal(-made)) return made;
    }
    return native.mkdirAt(dirFd, name, 0o700);
  }

  /** Takes a directory that is there now, whoever made it, and is to be this subvolume. `path`: for messages. */
  add(subvolume: Subvolume, handle: DirectoryHandle, path: () => Uint8Array): void {
    const { readOnly, isDefault } = subvolume;
    if (handle.ino !== subvolumeInode || !isSubvolume(handle)) {
      if (this.#flattened.length < namedMax) this.#flattened.push(path());
      this.#flattenedCount++;
    } else if (readOnly || (isDefault && this.#setsDefault)) this.#unfinished.push({ subvolume, handle, path });
  }

  /** After all else: the default, what is read-only, and what could not be made. */
  finish(): void {
    for (const { subvolume, handle, path } of this.#unfinished) {
      const { readOnly, isDefault } = subvolume;
      const fd = handle.acquire();
      if (isDefault && this.#setsDefault) {
        const { id = 0 } = subvolumeOf(fd) ?? {};
        this.#check(path, "place as the default subvolume", addon().setDefaultSubvolume(fd, id));
      }
      if (readOnly) this.#check(path, "read-only flag", addon().setSubvolumeReadOnly(fd));
      handle.release();
    }
    const [path] = this.#flattened;
    if (path === undefined) return;
    const names = this.#flattened.map(escapeName).join(", ");
    const more = this.#flattenedCount - this.#flattened.length;
    const why = this.#isAllowed ? "the target is no btrfs" : "making subvolumes needs root";
    const message = `${this.#flattenedCount} btrfs subvolumes became directories, since ${why}: ${names}${more > 0 ? ` and ${more} more` : ""}`;
    this.#warn({ code: "SUBVOLUMES_FLATTENED", path, message });
  }

  #check(path: () => Uint8Array, what: string, result: number): void {
    if (result >= 0) return;
    const errno = errnoName(-result);
    const message = `its ${what} could not be set: ${errno}`;
    this.#warn({ code: "ATTRIBUTE_NOT_RESTORED", path: path(), message, errno });
  }
}

function isSubvolume(handle: DirectoryHandle): boolean {
  const fd = handle.acquire();
  const found = subvolumeOf(fd);
  handle.release();
  return found !== undefined;
}
