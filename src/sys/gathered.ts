// What the addon's gather call found of one entry beyond its stat, read from a gather record (sys/layout.ts).

import type { ExtendedAttribute, Extent } from "../model/entry.ts";
import { addon } from "./addon.ts";
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

const fiemapUnwritten = 0x800; // FIEMAP_EXTENT_UNWRITTEN, linux/fiemap.h
const extentLimit = 1_000_000;
const wholeFile = Number.MAX_SAFE_INTEGER;

/**
 * Preallocated, never written runs of an open file, also beyond its end; undefined: none, or the file system cannot say. `flush`: write the file's
 * cached data out first, without which a file that is being written has data in what looks unwritten.
 */
export function unwrittenExtents(
  fd: number,
  flush: boolean,
  tree: Pick<TreeSource, "extentMap"> = addon(),
): Extent[] | undefined {
  const records = tree.extentMap(fd, 0, wholeFile, flush, extentLimit);
  if (typeof records === "number") return undefined;
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const found: Extent[] = [];
  for (let at = 0; at < records.byteLength; at += 32) {
    if ((view.getUint32(at + 24, true) & fiemapUnwritten) === 0) continue;
    const offset = Number(view.getBigUint64(at, true));
    const length = Number(view.getBigUint64(at + 16, true));
    const last = found.at(-1);
    if (last !== undefined && last.offset + last.length === offset) {
      found[found.length - 1] = { offset: last.offset, length: last.length + length };
    } else found.push({ offset, length });
  }
  return found.length === 0 ? undefined : found;
}
