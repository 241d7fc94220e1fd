// Extended attributes: struct ext4_xattr_entry (Linux fs/ext4/xattr.h) behind the fields of an inode and in a block of its own, values also in inodes
// (ea_inode). Names and values are those the kernel shows.

import { viewOf } from "../../base/bytes.ts";
import type { ExtendedAttribute } from "../../model/entry.ts";
import { crc32cRaw } from "../crc32c.ts";
import { roCompat } from "./features.ts";
import { damaged, wrongChecksum } from "./flaw.ts";
import type { ExtGeometry } from "./geometry.ts";
import { attributeMagic, type ExtInode } from "./inode.ts";

/** An entry with its value, or the inode that holds the value. */
export interface RawAttribute {
  readonly prefix: number;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  /** 0: the value stands here. */
  readonly valueInode: number;
  readonly valueBytes: number;
  readonly hash: number;
}

const entryBytes = 16;
const blockHeaderBytes = 32; // struct ext4_xattr_header
const valueBytesMax = 65_536; // XATTR_SIZE_MAX

/** e_name_index: EXT4_XATTR_INDEX_*. */
export const attributePrefixes = { accessAcl: 2, defaultAcl: 3, system: 7 } as const;

/** Prefixes of the names that the kernel lists; what has none (encryption contexts, inline data) it keeps to itself. */
const prefixNames: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
  10: "gnu.",
};

const noBytes = new Uint8Array(0);
const none: readonly RawAttribute[] = [];

/** The attributes in an inode, in their order. Throws ExtFlaw. */
export function attributesInInode(inode: ExtInode): readonly RawAttribute[] {
  const { tail } = inode;
  if (tail.length === 0) return none;
  return readEntries(tail.subarray(4), 0, `the attributes in inode ${inode.number}`); // values are placed from the first entry on
}

/** Those in an attribute block. Throws ExtFlaw. */
export function attributesInBlock(geometry: ExtGeometry, inode: ExtInode, block: Uint8Array): RawAttribute[] {
  const what = `the attribute block of inode ${inode.number}`;
  const view = viewOf(block);
  if (view.getUint32(0, true) !== attributeMagic || view.getUint32(8, true) !== 1)
    throw damaged(`${what} has a wrong header`);
  if ((geometry.roCompat & roCompat.metadataChecksum) !== 0) {
    const place = new Uint8Array(8);
    new DataView(place.buffer).setBigUint64(0, BigInt(inode.attributeBlock), true);
    let crc = crc32cRaw(geometry.checksumSeed, place);
    crc = crc32cRaw(crc, block, 16);
    crc = crc32cRaw(crc, new Uint8Array(4)); // h_checksum
    if (crc32cRaw(crc, block.subarray(20)) !== view.getUint32(16, true)) throw wrongChecksum(what);
  }
  return readEntries(block, blockHeaderBytes, what);
}

/** Entries from `start` on, up to four zeros; values lie behind them, placed from the beginning of `bytes`. */
function readEntries(bytes: Uint8Array, start: number, what: string): RawAttribute[] {
  const view = viewOf(bytes);
  const found: RawAttribute[] = [];
  let at = start;
  for (;;) {
    if (at + 4 > bytes.length) throw damaged(`${what} have no end`);
    if (view.getUint32(at, true) === 0) break;
    const nameEnd = at + entryBytes + (bytes[at] as number);
    if (nameEnd > bytes.length) throw damaged(`${what} have an entry that cannot be`);
    const valueAt = view.getUint16(at + 2, true);
    const valueInode = view.getUint32(at + 4, true);
    const valueBytes = view.getUint32(at + 8, true);
    const isHere = valueInode === 0 && valueBytes > 0;
    if (valueBytes > (isHere ? bytes.length - valueAt : valueBytesMax) || (isHere && valueAt < at + 4)) {
      throw damaged(`${what} have a value that cannot be`);
    }
    found.push({
      prefix: bytes[at + 1] as number,
      name: bytes.slice(at + entryBytes, nameEnd),
      value: isHere ? bytes.slice(valueAt, valueAt + valueBytes) : noBytes,
      valueInode,
      valueBytes,
      hash: view.getUint32(at + 12, true),
    });
    at = (nameEnd + 3) & ~3;
  }
  return found;
}

/** The name as the kernel lists it; undefined where it does not, or where the name has a NUL. */
export function listedName({ prefix, name }: RawAttribute): Uint8Array | undefined {
  const text = prefixNames[prefix];
  const isWhole = prefix === attributePrefixes.accessAcl || prefix === attributePrefixes.defaultAcl;
  if (text === undefined || isWhole !== (name.length === 0) || name.includes(0)) return undefined;
  return Buffer.concat([Buffer.from(text), name]);
}

/** The value as the kernel shows it. Throws ExtFlaw for an ACL that is none. */
export function listedValue({ prefix }: RawAttribute, value: Uint8Array): ExtendedAttribute["value"] {
  return prefix === attributePrefixes.accessAcl || prefix === attributePrefixes.defaultAcl ? aclOf(value) : value;
}

const tags = { userObject: 1, user: 2, groupObject: 4, group: 8, mask: 16, other: 32 } as const;
const noId = 0xffff_ffff;

/**
 * The kernel's ACL value (include/uapi/linux/posix_acl_xattr.h: version 2, entries of 8 bytes) of the one on disk (fs/ext4/acl.h: version 1; only named
 * entries have an id).
 */
function aclOf(stored: Uint8Array): Uint8Array {
  const view = viewOf(stored);
  const entries: { tag: number; permissions: number; id: number }[] = [];
  if (stored.length < 4 || view.getUint32(0, true) !== 1) throw damaged("an ACL has an unknown version");
  for (let at = 4; at < stored.length; ) {
    if (at + 4 > stored.length) throw damaged("an ACL is cut");
    const tag = view.getUint16(at, true);
    const permissions = view.getUint16(at + 2, true);
    const isNamed = tag === tags.user || tag === tags.group;
    if (!isNamed && !Object.values(tags).some((known) => known === tag)) throw damaged("an ACL has an unknown entry");
    if (isNamed && at + 8 > stored.length) throw damaged("an ACL is cut");
    entries.push({ tag, permissions, id: isNamed ? view.getUint32(at + 4, true) : noId });
    at += isNamed ? 8 : 4;
  }
  const value = new Uint8Array(4 + 8 * entries.length);
  const target = new DataView(value.buffer);
  target.setUint32(0, 2, true);
  for (const [i, { tag, permissions, id }] of entries.entries()) {
    target.setUint16(4 + 8 * i, tag, true);
    target.setUint16(6 + 8 * i, permissions, true);
    target.setUint32(8 + 8 * i, id, true);
  }
  return value;
}
