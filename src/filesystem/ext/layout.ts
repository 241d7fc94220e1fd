// What the kernel's calls tell of an ext inode, as the records that saving works with (sys/layout.ts).

import { viewOf } from "../../base/bytes.ts";
import type { ExtendedAttribute } from "../../model/entry.ts";
import { gatherLayout, statLayout } from "../../sys/layout.ts";
import { type ExtInode, inodeFlags, type ExtTime } from "./inode.ts";

/** EXT4_FL_USER_VISIBLE: the flags that FS_IOC_GETFLAGS shows. */
const visibleFlags = 0x725bdfff;
const birthKnown = 0x800; // STATX_BTIME
const basicStats = 0x7ff; // STATX_BASIC_STATS
const kindMask = 0xf000;
const kinds = { character: 0x2000, block: 0x6000, file: 0x8000 } as const;

/** Writes the stat record of an inode at `at`: that of statx, device 0:0. */
export function writeStat(view: DataView, at: number, inode: ExtInode): void {
  const u32 = (field: number, value: number): void => view.setUint32(at + field, value, true);
  const i64 = (field: number, value: number): void => {
    u32(field, value >>> 0);
    view.setInt32(at + field + 4, Math.floor(value / 2 ** 32), true);
  };
  const time = (field: number, nanosecondsField: number, { seconds, nanoseconds }: ExtTime): void => {
    i64(field, seconds);
    u32(nanosecondsField, nanoseconds);
  };
  for (let i = 0; i < statLayout.size; i += 4) u32(i, 0);
  const kind = inode.mode & kindMask;
  u32(statLayout.mode, inode.mode);
  u32(statLayout.nlink, inode.links);
  u32(statLayout.uid, inode.uid);
  u32(statLayout.gid, inode.gid);
  i64(statLayout.ino, inode.number);
  if (kind === kinds.character || kind === kinds.block) {
    const { major, minor } = deviceOf(inode);
    u32(statLayout.rdevMajor, major);
    u32(statLayout.rdevMinor, minor);
  }
  i64(statLayout.sizeBytes, inode.size);
  i64(statLayout.blocks, allocatedSectors(inode));
  time(statLayout.mtime, statLayout.mtimeNs, inode.mtime);
  time(statLayout.atime, statLayout.atimeNs, inode.atime);
  time(statLayout.ctime, statLayout.ctimeNs, inode.ctime);
  if (inode.btime !== undefined) time(statLayout.btime, statLayout.btimeNs, inode.btime);
  u32(statLayout.mask, basicStats | (inode.btime === undefined ? 0 : birthKnown));
}

/** ext4_file_getattr(): a file whose content stands in its inode takes at least what it holds. */
function allocatedSectors({ mode, flags, sectors, size }: ExtInode): number {
  const isInline = (mode & kindMask) === kinds.file && (flags & inodeFlags.inlineData) !== 0;
  return isInline ? sectors + Math.ceil(size / 512) : sectors;
}

/** old_decode_dev() of the first word, or where that is zero new_decode_dev() of the second. */
function deviceOf({ map }: ExtInode): { readonly major: number; readonly minor: number } {
  const view = viewOf(map);
  const old = view.getUint32(0, true);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const device = view.getUint32(4, true);
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

/** FS_IOC_GETFLAGS. */
export function flagsOf({ mode, flags }: ExtInode): number {
  const hidden = (mode & kindMask) === kinds.file ? inodeFlags.projectInherit : 0;
  return (flags & visibleFlags & ~hidden) >>> 0;
}

/** What a gather record holds besides what the inode says. */
export interface GatherFields {
  readonly link: Uint8Array;
  readonly attributes: readonly ExtendedAttribute[];
  readonly attributeErrno: number;
  /** Of regular files. */
  readonly firstHole: number;
  readonly hasUnwritten: boolean;
}

/** A gather record that says only why there is nothing to say. Returns its length; 0: it does not fit. */
export function writeGatherError(out: Uint8Array, view: DataView, at: number, errno: number): number {
  if (at + gatherLayout.size > out.length) return 0;
  out.fill(0, at, at + gatherLayout.size);
  view.setUint32(at + gatherLayout.length, gatherLayout.size, true);
  view.setUint32(at + gatherLayout.error, errno, true);
  view.setBigInt64(at + gatherLayout.firstHole, -1n, true);
  return gatherLayout.size;
}

/** Writes the gather record of an inode. Returns its length; 0: it does not fit. `hasFlags`: files and directories have flags to ask for. */
export function writeGathered(
  out: Uint8Array,
  view: DataView,
  at: number,
  inode: ExtInode,
  hasFlags: boolean,
  fields: GatherFields,
): number {
  const { link, attributes } = fields;
  const attributeBytes = attributes.reduce((sum, { name, value }) => sum + 8 + name.length + value.length, 0);
  const length = (gatherLayout.size + link.length + attributeBytes + 7) & ~7;
  if (at + length > out.length) return 0;
  out.fill(0, at, at + length);
  const u32 = (field: number, value: number): void => view.setUint32(at + field, value, true);
  const i64 = (field: number, value: number): void => {
    u32(field, value >>> 0);
    view.setInt32(at + field + 4, Math.floor(value / 2 ** 32), true);
  };
  u32(gatherLayout.length, length);
  u32(gatherLayout.linkLength, link.length);
  u32(gatherLayout.attributeBytes, attributeBytes);
  u32(gatherLayout.attributeError, fields.attributeErrno);
  u32(gatherLayout.attributeCount, attributes.length);
  if (hasFlags) {
    u32(gatherLayout.inodeFlags, flagsOf(inode));
    u32(gatherLayout.projectId, inode.projectId);
    i64(gatherLayout.ino, inode.number);
    i64(gatherLayout.sizeBytes, inode.size);
    i64(gatherLayout.mtime, inode.mtime.seconds);
    u32(gatherLayout.mtimeNs, inode.mtime.nanoseconds);
  }
  i64(gatherLayout.firstHole, fields.firstHole);
  u32(gatherLayout.unwritten, fields.hasUnwritten ? 1 : 0);
  let to = at + gatherLayout.size;
  out.set(link, to);
  to += link.length;
  for (const { name, value } of attributes) {
    view.setUint16(to, name.length, true);
    view.setUint32(to + 4, value.length, true);
    out.set(name, to + 8);
    out.set(value, to + 8 + name.length);
    to += 8 + name.length + value.length;
  }
  return length;
}
