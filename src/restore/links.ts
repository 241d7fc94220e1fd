// Hard links. A link is made only to an entry that this restore made, by held directory and name, and it must turn out to be the same inode.
// Memory: one item per inode with several names.

import { equalBytes } from "../base/bytes.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../sys/constants.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { ESTALE, EEXIST, errnoName } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { MetadataWriter, unlinkableFlags } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";
import type { PlacedBlock } from "./tree.ts";

interface LinkObject {
  /** Member name. */
  readonly path: Uint8Array;
  /** Where it was made; undefined: nothing is written, or it was left out. */
  readonly made: { readonly directory: DirectoryHandle; readonly name: Uint8Array; readonly ino: bigint } | undefined;
}

interface DeferredFlags {
  readonly directory: DirectoryHandle;
  readonly row: CatalogRow;
  readonly path: Uint8Array;
}

export class LinkMaker {
  readonly #write: boolean;
  readonly #policy: WritePolicy;
  readonly #warn: (warning: Warning) => void;
  readonly #objects = new Map<number, LinkObject>();
  /** Entries by member name, for links whose catalog row is lost. */
  readonly #byPath = new Map<string, LinkObject>();
  /** Immutable or append-only objects: no link can be made to them once they are. */
  readonly #deferred: DeferredFlags[] = [];

  constructor(write: boolean, policy: WritePolicy, warn: (warning: Warning) => void) {
    this.#write = write;
    this.#policy = policy;
    this.#warn = warn;
  }

  /** Remembers an entry that links may point to; `ino`: of the object that was made. */
  add(placed: PlacedBlock, index: number, ino: bigint | undefined): void {
    const row = placed.rows[index] as CatalogRow;
    const path = placed.paths.get(index) as Uint8Array;
    const directory = placed.parents[index];
    const made = ino === undefined || directory === undefined ? undefined : { directory, name: row.name, ino };
    const object = { path, made };
    this.#objects.set(placed.firstEntry + index, object);
    if (row.attributesLost) this.#byPath.set(Buffer.from(path).toString("latin1"), object);
    if (made !== undefined && (row.inodeFlags & unlinkableFlags) !== 0) {
      this.#deferred.push({ directory: made.directory, row, path: placed.displayPath(index) });
    }
  }

  /** Makes a link, or tells why not. `memberTarget`: what tar names; further names of sockets have no member. Returns a flaw of the archive itself: an entry that no writer makes. */
  link(placed: PlacedBlock, index: number, memberTarget: Uint8Array | undefined): string | undefined {
    const row = placed.rows[index] as CatalogRow;
    const path = placed.displayPath(index);
    const object =
      row.linkEntry === undefined
        ? this.#byPath.get(Buffer.from(memberTarget ?? []).toString("latin1"))
        : this.#objects.get(row.linkEntry);
    let flaw: string | undefined;
    if (object === undefined) flaw = "it links to an entry that is not there, or not one with several names";
    else if (memberTarget !== undefined && !equalBytes(object.path, memberTarget))
      flaw = "tar stream and catalog name different targets for it";
    if (flaw !== undefined) {
      this.#warn({ code: "ENTRY_DAMAGED", path, message: flaw });
      return object === undefined ? undefined : flaw;
    }
    const directory = placed.parents[index];
    if (!this.#write || directory === undefined) return undefined;
    const failure = makeLink(object as LinkObject, directory, row.name, this.#policy.overwrite);
    if (failure !== undefined) {
      this.#warn({ code: "ENTRY_NOT_RESTORED", path, message: `the hard link was not restored: ${failure}` });
    }
    return undefined;
  }

  /** Sets the flags that would have forbidden links. */
  finish(): void {
    const native = addon();
    for (const { directory, row, path } of this.#deferred) {
      const metadata = new MetadataWriter(this.#policy, (warning) => this.#warn({ ...warning, path }));
      const fd = native.openAt(directory.acquire(), row.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0);
      directory.release();
      if (fd < 0) {
        metadata.lost("inode flags", errnoName(-fd));
        continue;
      }
      metadata.flags(fd, row.inodeFlags, unlinkableFlags);
      native.close(fd);
    }
  }
}

/** Links `name` to the object; undefined, or why not. With `replace`, what is in the way is removed first. */
function makeLink(
  object: LinkObject,
  directory: DirectoryHandle,
  name: Uint8Array,
  replace: boolean,
): string | undefined {
  const { made } = object;
  if (made === undefined) return "the entry it links to was not restored";
  const native = addon();
  const fromFd = made.directory.acquire();
  const toFd = directory.acquire();
  try {
    let linked = native.linkAt(fromFd, made.name, toFd, name, 0);
    if (linked === -EEXIST && replace && native.unlinkAt(toFd, name, 0) >= 0) {
      linked = native.linkAt(fromFd, made.name, toFd, name, 0);
    }
    if (linked < 0) return errnoName(-linked);
    const stat = new Uint8Array(statLayout.size);
    const found = native.statAt(toFd, name, stat);
    if (found >= 0 && new DataView(stat.buffer).getBigUint64(statLayout.ino, true) === made.ino) return undefined;
    // Somebody swapped the object meanwhile: whatever was linked is not ours.
    native.unlinkAt(toFd, name, 0);
    return errnoName(ESTALE);
  } finally {
    made.directory.release();
    directory.release();
  }
}
