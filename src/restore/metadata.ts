// Setting metadata, always relative to a held descriptor and never through a link, in the one order that keeps all of it (chown clears setuid and
// capabilities; a flag set too early forbids the rest):
// owner → mode → ACL → other attributes → security.capability → project id → times → inode flags

import { latin1, utf8 } from "../base/bytes.ts";
import { aclAttributes } from "../format/member.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind, type ExtendedAttribute } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { errnoName, ENODATA, ENOTSUP } from "../sys/errors.ts";
import type { WritePolicy } from "./protocol.ts";

/** An object that exists and is to get its metadata: a descriptor (`name` empty), or a name in a held directory for what cannot be opened. */
export interface Place {
  readonly fd: number;
  readonly name: Uint8Array;
}

/** Inode flags a user can set (linux/fs.h, FS_FL_USER_MODIFIABLE and those file systems add); all others describe how the file is stored. */
export const settableFlags: number =
  0x1 | // secure deletion
  0x2 | // undelete
  0x4 | // compress
  0x8 | // synchronous
  0x10 | // immutable
  0x20 | // append only
  0x40 | // no dump
  0x80 | // no atime
  0x400 | // do not compress
  0x4000 | // journal data
  0x8000 | // no tail merging
  0x10000 | // synchronous directory
  0x20000 | // top directory
  0x800000 | // no copy on write
  0x2000000 | // DAX
  0x20000000; // inherit project id
/** Only an empty file can become no-copy-on-write. */
const noCowFlag = 0x800000;
/** Immutable or append-only: no link to it can be made. */
export const unlinkableFlags = 0x30;

const flagNames: readonly (readonly [number, string])[] = [
  [0x1, "s"],
  [0x2, "u"],
  [0x4, "c"],
  [0x8, "S"],
  [0x10, "i"],
  [0x20, "a"],
  [0x40, "d"],
  [0x80, "A"],
  [0x400, "m"],
  [0x4000, "j"],
  [0x8000, "t"],
  [0x10000, "D"],
  [0x20000, "T"],
  [0x800000, "C"],
  [0x2000000, "x"],
  [0x20000000, "P"],
];

/** Letters as lsattr writes them. */
export function flagLetters(flags: number): string {
  return flagNames.flatMap(([bit, letter]) => ((flags & bit) === 0 ? [] : [letter])).join("");
}

const capability = "security.capability";
const compressionAttribute = utf8("btrfs.compression");
const noName = new Uint8Array(0);

export class MetadataWriter {
  readonly #policy: WritePolicy;
  readonly #warn: (warning: Omit<Warning, "path">) => void;

  /** `warn` is told of everything that could not be set. */
  constructor(policy: WritePolicy, warn: (warning: Omit<Warning, "path">) => void) {
    this.#policy = policy;
    this.#warn = warn;
  }

  /** What decides how content is stored, on a file that is still empty: no copy on write, and compression. */
  prepare(fd: number, row: CatalogRow, attributes: readonly ExtendedAttribute[]): void {
    if ((row.inodeFlags & noCowFlag) !== 0 || this.#policy.clearInheritedAcl) {
      this.flags(fd, row.inodeFlags, attributes, noCowFlag);
    }
    prepareCompression(fd, attributes);
  }

  /** Sets everything but inode flags (see flags()). */
  apply(place: Place, row: CatalogRow, attributes: readonly ExtendedAttribute[]): void {
    const native = addon();
    const { fd, name } = place;
    const isLink = row.kind === EntryKind.symlink;
    const chowned = this.#owner(place, row);
    if (!isLink) this.#check("mode", native.chmodAt(fd, name, chowned ? row.mode : row.mode & 0o1777));
    if (this.#policy.clearInheritedAcl && !isLink) this.#clearAcls(place, attributes);
    for (const { name: attribute, value } of ordered(attributes)) this.#attribute(place, attribute, value);
    if (row.projectId !== 0 && name.length === 0) this.#check("project id", native.setProjectId(fd, row.projectId));
    const { atime, mtime } = row;
    this.#check("times", native.utimesAt(fd, name, atime.seconds, atime.nanoseconds, mtime.seconds, mtime.nanoseconds));
  }

  /**
   * Sets the flags a user can set, as far as `mask` says; the descriptor must be of the object itself. `attributes`: those that were set before, of which
   * setting flags may undo one: on btrfs it resets the kind of compression (btrfs_fileattr_set, fs/btrfs/ioctl.c).
   */
  flags(fd: number, saved: number, attributes: readonly ExtendedAttribute[], mask: number = settableFlags): void {
    if (!this.#setFlags(fd, saved & settableFlags & mask, mask)) return;
    const compression = compressionOf(attributes);
    if (compression !== undefined) this.#attribute({ fd, name: noName }, compression.name, compression.value);
  }

  /** True when any was changed. */
  #setFlags(fd: number, wanted: number, mask: number): boolean {
    const native = addon();
    const current = native.getInodeFlags(fd);
    if (current < 0) {
      if (wanted !== 0) this.#flagsLost(wanted, -current);
      return false;
    }
    const target = ((current & ~(settableFlags & mask)) | wanted) >>> 0;
    if (target === current) return false;
    if (native.setInodeFlags(fd, target) >= 0) return true;
    // One flag the file system does not know forbids them all: try each.
    let lost = 0;
    let errno = 0;
    let now = current;
    for (const [bit] of flagNames) {
      if ((wanted & bit) === (now & bit)) continue;
      const result = native.setInodeFlags(fd, (wanted & bit) !== 0 ? (now | bit) >>> 0 : (now & ~bit) >>> 0);
      if (result >= 0) now ^= bit;
      else if ((wanted & bit) !== 0) {
        lost |= bit;
        errno = -result;
      }
    }
    if (lost !== 0) this.#flagsLost(lost, errno);
    return now !== current;
  }

  /** True when the owner is the archived one. */
  #owner(place: Place, row: CatalogRow): boolean {
    const { uid, gid } = this.#policy;
    if (row.uid === uid && row.gid === gid) return true;
    const result = addon().chownAt(place.fd, place.name, row.uid, row.gid);
    if (result < 0) this.lost(`owner ${row.uid}:${row.gid}`, errnoName(-result));
    return result >= 0;
  }

  #clearAcls(place: Place, attributes: readonly ExtendedAttribute[]): void {
    for (const name of [aclAttributes.access, aclAttributes.default]) {
      const wanted = utf8(name);
      if (attributes.some((attribute) => Buffer.compare(attribute.name, wanted) === 0)) continue;
      const result = addon().removeAttribute(place.fd, place.name, wanted);
      if (result < 0 && -result !== ENODATA && -result !== ENOTSUP)
        this.lost("inherited ACL (not removed)", errnoName(-result));
    }
  }

  #attribute(place: Place, name: Uint8Array, value: Uint8Array): void {
    const result = addon().setAttribute(place.fd, place.name, name, value);
    if (result < 0) this.lost(`attribute ${latin1(name)}`, errnoName(-result));
  }

  #check(what: string, result: number): void {
    if (result < 0) this.lost(what, errnoName(-result));
  }

  #flagsLost(flags: number, errno: number): void {
    this.lost(`inode flags ${flagLetters(flags)}`, errnoName(errno));
  }

  /** Tells of something that could not be set. */
  lost(what: string, errno: string): void {
    this.#warn({ code: "ATTRIBUTE_NOT_RESTORED", message: `its ${what} could not be set: ${errno}`, errno });
  }
}

/** Its place is remembered: for links to it, or for others that shared storage with it. */
export function isRemembered(row: CatalogRow): boolean {
  return row.linked || row.sharedExtents !== undefined;
}

/** True when a row's flags need a call of their own. */
export function hasSettableFlags(row: CatalogRow): boolean {
  return (row.inodeFlags & settableFlags) !== 0;
}

function compressionOf(attributes: readonly ExtendedAttribute[]): ExtendedAttribute | undefined {
  return attributes.find(({ name }) => Buffer.compare(name, compressionAttribute) === 0);
}

/** Content written from now on is compressed as the attributes say. Where that is refused, MetadataWriter.apply() tells. */
export function prepareCompression(fd: number, attributes: readonly ExtendedAttribute[]): void {
  const compression = compressionOf(attributes);
  if (compression !== undefined) addon().setAttribute(fd, noName, compression.name, compression.value);
}

/** Capabilities last: setting other attributes may clear them. */
function ordered(attributes: readonly ExtendedAttribute[]): readonly ExtendedAttribute[] {
  if (attributes.length < 2) return attributes;
  return [...attributes.filter((attribute) => !isCapability(attribute)), ...attributes.filter(isCapability)];
}

function isCapability({ name }: ExtendedAttribute): boolean {
  return latin1(name) === capability;
}

export { noName };
