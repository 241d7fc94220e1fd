// What the addon's gather call found of one entry beyond its stat, read from a gather record (sys/layout.ts).

import { viewOf } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { ExtendedAttribute, Extent, SharedExtent } from "../model/entry.ts";
import { addon } from "./addon.ts";
import {
  FIEMAP_EXTENT_DATA_INLINE,
  FIEMAP_EXTENT_DELALLOC,
  FIEMAP_EXTENT_ENCODED,
  FIEMAP_EXTENT_SHARED,
  FIEMAP_EXTENT_UNKNOWN,
  FIEMAP_EXTENT_UNWRITTEN,
} from "./constants.ts";
import { gatherLayout, readInt64 } from "./layout.ts";
import type { TreeSource } from "./tree-source.ts";

export interface Gathered {
  /** errno of opening, reading the link or the identity check; 0 = fine. */
  readonly errno: number;
  readonly inodeFlags: number;
  readonly projectId: number;
  readonly link: Uint8Array;
  readonly attributes: readonly ExtendedAttribute[];
  readonly attributeError: number;
  readonly flagsError: number;
  /** Inode number and status of the opened object. */
  readonly ino: bigint;
  readonly size: number;
  readonly mtime: number;
  readonly mtimeNs: number;
  /** −1: unknown. */
  readonly firstHole: number;
  /** It may have preallocated extents that were never written. */
  readonly unwritten: boolean;
  /** It may have extents that other files use too. */
  readonly shared: boolean;
  /** Bytes of this record: the next one follows. */
  readonly length: number;
}

const noAttributes: readonly ExtendedAttribute[] = [];
const noLink = new Uint8Array(0);

export function readGathered(bytes: Uint8Array, view: DataView, at: number): Gathered {
  const linkLength = view.getUint32(at + gatherLayout.linkLength, true);
  const linkAt = at + gatherLayout.size;
  const count = view.getUint32(at + gatherLayout.attributeCount, true);
  return {
    errno: view.getUint32(at + gatherLayout.error, true),
    inodeFlags: view.getUint32(at + gatherLayout.inodeFlags, true),
    projectId: view.getUint32(at + gatherLayout.projectId, true),
    link: linkLength === 0 ? noLink : bytes.slice(linkAt, linkAt + linkLength),
    attributes: count === 0 ? noAttributes : readAttributes(bytes, view, linkAt + linkLength, count),
    attributeError: view.getUint32(at + gatherLayout.attributeError, true),
    flagsError: view.getUint32(at + gatherLayout.flagsError, true),
    ino: view.getBigUint64(at + gatherLayout.ino, true),
    size: readInt64(view, at + gatherLayout.sizeBytes),
    mtime: readInt64(view, at + gatherLayout.mtime),
    mtimeNs: view.getUint32(at + gatherLayout.mtimeNs, true),
    firstHole: readInt64(view, at + gatherLayout.firstHole),
    unwritten: view.getUint32(at + gatherLayout.unwritten, true) !== 0,
    shared: view.getUint32(at + gatherLayout.shared, true) !== 0,
    length: view.getUint32(at + gatherLayout.length, true),
  };
}

function readAttributes(bytes: Uint8Array, view: DataView, start: number, count: number): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const nameLength = view.getUint16(at, true);
    const valueLength = view.getUint32(at + 4, true);
    const nameAt = at + 8;
    const name = bytes.slice(nameAt, nameAt + nameLength);
    if (!isRawAcl(name)) {
      attributes.push({ name, value: bytes.slice(nameAt + nameLength, nameAt + nameLength + valueLength) });
    }
    at = nameAt + nameLength + valueLength;
  }
  return attributes;
}

const rawAclPrefix = Buffer.from("trusted.SGI_ACL_");

/** xfs lists each ACL twice for root: as the ACL, and as the bytes it stores it in (fs/xfs/xfs_xattr.c). */
function isRawAcl(name: Uint8Array): boolean {
  return name.length > rawAclPrefix.length && rawAclPrefix.equals(name.subarray(0, rawAclPrefix.length));
}

const extentLimit = 1_000_000;
const wholeFile = Number.MAX_SAFE_INTEGER;
/** Addresses that a catalog row can hold. */
const addressMax = 2 ** 52;
/** Extents whose address says nothing of where their bytes are, or that hold none. */
const unplaced = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_UNWRITTEN;

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

export interface FileExtents {
  /** Preallocated, never written runs, also beyond the end of the file. */
  readonly unwritten: readonly Extent[] | undefined;
  /** Runs in storage that other files use too, as far as a catalog row holds them. */
  readonly shared: readonly SharedExtent[] | undefined;
}

/**
 * What is special about the extents of an open file; undefined: none, or the file system cannot say. `flush`: write the file's cached data out first,
 * without which a file that is being written has data in what looks unwritten.
 */
export function fileExtents(fd: number, flush: boolean, tree: Pick<TreeSource, "extentMap"> = addon()): FileExtents {
  const records = tree.extentMap(fd, 0, wholeFile, flush, extentLimit);
  if (typeof records === "number") return { unwritten: undefined, shared: undefined };
  const view = viewOf(records);
  const unwritten: Writable<Extent>[] = [];
  const shared: Writable<SharedExtent>[] = [];
  for (let at = 0; at < records.byteLength; at += 32) {
    const flags = view.getUint32(at + 24, true);
    if ((flags & (FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_SHARED)) === 0) continue;
    const offset = Number(view.getBigUint64(at, true));
    const length = Number(view.getBigUint64(at + 16, true));
    if ((flags & FIEMAP_EXTENT_UNWRITTEN) !== 0) {
      const last = unwritten.at(-1);
      if (last !== undefined && last.offset + last.length === offset) last.length += length;
      else unwritten.push({ offset, length });
    }
    if ((flags & FIEMAP_EXTENT_SHARED) === 0 || (flags & unplaced) !== 0) continue;
    const address = Number(view.getBigUint64(at + 8, true));
    if (address >= addressMax || [offset, length, address].some((bytes) => bytes % 512 !== 0)) continue;
    const encoded = (flags & FIEMAP_EXTENT_ENCODED) !== 0;
    const last = shared.at(-1);
    const follows =
      last?.offset === offset - (last?.length ?? 0) && last.address + last.length === address && !last.encoded;
    if (follows && !encoded) last.length += length;
    else if (shared.length < limits.sharedExtents) shared.push({ offset, length, address, encoded });
  }
  return {
    unwritten: unwritten.length === 0 ? undefined : unwritten,
    shared: shared.length === 0 ? undefined : shared,
  };
}
