// Hard links. A link is made only to an entry that this restore made, by held directory and name, and it must turn out to be the same inode.
// Memory: some 300 bytes for each inode with several names.

import { fromLatin1, latin1 } from "../base/bytes.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../sys/constants.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import { ESTALE, EEXIST, errnoName } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { reasonOf, throwIfFinal } from "./failures.ts";
import { MetadataWriter, noName, unlinkableFlags } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";
import type { PlacedBlock } from "./placed.ts";

export interface LinkObject {
  /** Digest of its member name, as latin1: names may be long, and there may be millions. */
  readonly pathDigest: string;
  /** Its further names have no members either. */
  readonly isSocket: boolean;
  /** Where it was made; undefined: nothing is written, or it was left out. */
  readonly made: MadeObject | undefined;
  /** Its entry number in an archive that is being written from this one. */
  writtenEntry?: number;
}

interface MadeObject {
  readonly directory: DirectoryHandle;
  /** As latin1: a view of its row would keep a whole segment of the catalog. */
  readonly name: string;
  readonly ino: bigint;
}

interface DeferredFlags {
  readonly made: MadeObject;
  readonly row: CatalogRow;
  readonly path: Uint8Array;
}

/** Why a link cannot be right. */
export interface LinkFlaw {
  readonly message: string;
  /** Its object may have been lost with a part of the archive. */
  readonly missing: boolean;
}

export class LinkMaker {
  readonly #write: boolean;
  readonly #policy: WritePolicy;
  readonly #warn: (warning: Warning) => void;
  readonly #hash: (bytes: Uint8Array) => Uint8Array;
  /** Entries were counted without their catalog, which would have told of sockets: names count, then, not numbers. */
  numbersLost = false;
  readonly #objects = new Map<number, LinkObject>();
  /** The same by member name, once there are links whose catalog row is lost. */
  #byPath: Map<string, LinkObject> | undefined;
  /** Immutable or append-only objects: no link can be made to them once they are, nor can they share storage. */
  readonly #deferred: DeferredFlags[] = [];

  /** `hash`: the archive's digest. */
  constructor(
    write: boolean,
    policy: WritePolicy,
    warn: (warning: Warning) => void,
    hash: (bytes: Uint8Array) => Uint8Array,
  ) {
    this.#write = write;
    this.#policy = policy;
    this.#warn = warn;
    this.#hash = hash;
  }

  /** A new source begins: there are no links between sources. */
  startSource(): void {
    this.#objects.clear();
    this.#byPath = undefined;
  }

  /** Remembers an entry that links may point to; `ino`: of the object that was made. */
  add(placed: PlacedBlock, index: number, ino: bigint | undefined): LinkObject | undefined {
    const row = placed.rows[index] as CatalogRow;
    if (row.kind === EntryKind.directory) return undefined;
    const pathDigest = latin1(this.#hash(fromLatin1(placed.paths.get(index) as string)));
    const directory = placed.parents[index];
    const name = latin1(placed.renamed.get(index) ?? row.name);
    const made = ino === undefined || directory === undefined ? undefined : { directory, name, ino };
    const object: LinkObject = { pathDigest, isSocket: row.kind === EntryKind.socket, made };
    this.#objects.set(placed.firstEntry + index, object);
    this.#byPath?.set(pathDigest, object);
    return object;
  }

  /** Sets the flags of a file that was made with finish() only: those that forbid what is to come before. */
  deferFlags(placed: PlacedBlock, index: number, ino: bigint): void {
    const row = placed.rows[index] as CatalogRow;
    const directory = placed.parents[index];
    // Only files: opening a device is not without effect.
    if (directory === undefined || row.kind !== EntryKind.file || (row.inodeFlags & unlinkableFlags) === 0) return;
    const name = latin1(placed.renamed.get(index) ?? row.name);
    this.#deferred.push({ made: { directory, name, ino }, row, path: placed.displayPath(index) });
  }

  /** Makes a link, or tells why not. `memberTarget`: digest of what tar names; further names of sockets have no member. Returns the object, or a flaw of the archive itself: an entry that no writer makes. */
  link(
    placed: PlacedBlock,
    index: number,
    memberTarget: string | undefined,
  ): { readonly object?: LinkObject; readonly flaw?: LinkFlaw } {
    const row = placed.rows[index] as CatalogRow;
    let object = row.linkEntry === undefined ? this.#objectAt(memberTarget) : this.#objects.get(row.linkEntry);
    if (this.numbersLost && memberTarget !== undefined && object?.pathDigest !== memberTarget) {
      object = this.#objectAt(memberTarget);
    }
    let flaw: string | undefined;
    if (object === undefined) flaw = "it links to an entry that is not there, or not one with several names";
    else if (memberTarget !== undefined && object.pathDigest !== memberTarget)
      flaw = "tar stream and catalog name different targets for it";
    else if (object.isSocket !== (row.kind === EntryKind.socket)) flaw = "it links to an entry of another kind";
    if (flaw !== undefined) {
      this.#warn({ code: "ENTRY_DAMAGED", path: placed.displayPath(index), message: flaw });
      return { flaw: { message: flaw, missing: object === undefined } };
    }
    const directory = placed.parents[index];
    if (!this.#write || directory === undefined) return { object: object as LinkObject };
    this.#make(object as LinkObject, directory, row.name, () => placed.displayPath(index));
    return { object: object as LinkObject };
  }

  #make({ made }: LinkObject, directory: DirectoryHandle, name: Uint8Array, pathOf: () => Uint8Array): void {
    const errno = made === undefined ? 0 : makeLink(made, directory, name, this.#policy.overwrite);
    if (made !== undefined && errno === 0) return;
    const path = pathOf();
    throwIfFinal(errno, "making the hard link", path);
    const why = made === undefined ? "the entry it links to was not restored" : reasonOf(errno);
    this.#warn({ code: "ENTRY_NOT_RESTORED", path, message: `the hard link was not restored: ${why}` });
  }

  #objectAt(pathDigest: string | undefined): LinkObject | undefined {
    if (pathDigest === undefined) return undefined;
    this.#byPath ??= new Map([...this.#objects.values()].map((object) => [object.pathDigest, object]));
    return this.#byPath.get(pathDigest);
  }

  /** Sets the flags that would have forbidden links and sharing. */
  finish(): void {
    const native = addon();
    for (const { made, row, path } of this.#deferred) {
      const { directory, name } = made;
      const metadata = new MetadataWriter(this.#policy, (warning) => this.#warn({ ...warning, path }));
      const fd = native.openAt(directory.acquire(), fromLatin1(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0);
      directory.release();
      if (fd < 0) {
        metadata.lost("inode flags", errnoName(-fd));
        continue;
      }
      if (inodeOf(fd, noName) === made.ino) metadata.flags(fd, row.inodeFlags, [], unlinkableFlags);
      else metadata.lost("inode flags", errnoName(ESTALE));
      native.close(fd);
    }
  }
}

/** Links `name` to what was made; 0 or the errno. With `replace`, what is in the way is removed first. */
function makeLink(made: MadeObject, directory: DirectoryHandle, name: Uint8Array, replace: boolean): number {
  const native = addon();
  const madeName = fromLatin1(made.name);
  const fromFd = made.directory.acquire();
  const toFd = directory.acquire();
  try {
    let linked = native.linkAt(fromFd, madeName, toFd, name, 0);
    if (linked === -EEXIST && replace && native.unlinkAt(toFd, name, 0) >= 0) {
      linked = native.linkAt(fromFd, madeName, toFd, name, 0);
    }
    if (linked < 0) return -linked;
    if (inodeOf(toFd, name) === made.ino) return 0;
    // Somebody swapped the object meanwhile: whatever was linked is not ours.
    native.unlinkAt(toFd, name, 0);
    return ESTALE;
  } finally {
    made.directory.release();
    directory.release();
  }
}

function inodeOf(fd: number, name: Uint8Array): bigint | undefined {
  const stat = new Uint8Array(statLayout.size);
  if (addon().statAt(fd, name, stat) < 0) return undefined;
  return new DataView(stat.buffer).getBigUint64(statLayout.ino, true);
}
