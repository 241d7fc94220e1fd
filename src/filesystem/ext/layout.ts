// What the kernel's calls tell of an ext inode, as the records that saving works with (sys/layout.ts).

import { viewOf } from "../../base/bytes.ts";
import type { ExtendedAttribute } from "../../model/entry.ts";
import { gatherLayout, statLayout } from "../../sys/layout.ts";
import type { FoundAttributes } from "./filesystem.ts";
import { type ExtInode, inodeFlags, type TimeField, timeFields } from "./inode.ts";

/** EXT4_FL_USER_VISIBLE: the flags that FS_IOC_GETFLAGS shows. */
const visibleFlags = 0x725bdfff;
const birthKnown = 0x800; // STATX_BTIME
const basicStats = 0x7ff; // STATX_BASIC_STATS
const kindMask = 0xf000;
const kinds = { character: 0x2000, block: 0x6000, file: 0x8000 } as const;

/** Writes the stat record of an inode at `at`: that of statx, device 0:0. */
export function writeStat(view: DataView, at: number, inode: ExtInode): void {
  for (let i = 0; i < statLayout.size; i += 4) view.setUint32(at + i, 0, true);
  const { mode } = inode;
  const kind = mode & kindMask;
  view.setUint32(at + statLayout.mode, mode, true);
  view.setUint32(at + statLayout.nlink, inode.links, true);
  view.setUint32(at + statLayout.uid, inode.uid, true);
  view.setUint32(at + statLayout.gid, inode.gid, true);
  setInt64(view, at + statLayout.ino, inode.number);
  if (kind === kinds.character || kind === kinds.block) {
    const { major, minor } = deviceOf(inode);
    view.setUint32(at + statLayout.rdevMajor, major, true);
    view.setUint32(at + statLayout.rdevMinor, minor, true);
  }
  setInt64(view, at + statLayout.sizeBytes, inode.size);
  setInt64(view, at + statLayout.blocks, allocatedSectors(inode));
  writeTime(view, at + statLayout.mtime, at + statLayout.mtimeNs, inode, timeFields.modification);
  writeTime(view, at + statLayout.atime, at + statLayout.atimeNs, inode, timeFields.access);
  writeTime(view, at + statLayout.ctime, at + statLayout.ctimeNs, inode, timeFields.change);
  if (inode.hasBirthTime) writeTime(view, at + statLayout.btime, at + statLayout.btimeNs, inode, timeFields.birth);
  view.setUint32(at + statLayout.mask, basicStats | (inode.hasBirthTime ? birthKnown : 0), true);
}

function setInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
}

function writeTime(view: DataView, secondsAt: number, nanosecondsAt: number, inode: ExtInode, field: TimeField): void {
  setInt64(view, secondsAt, inode.seconds(field));
  view.setUint32(nanosecondsAt, inode.nanoseconds(field), true);
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

/** Of a regular file. */
export interface FileLayout {
  /** Where the first hole is. −1: the file is empty. */
  readonly firstHole: number;
  readonly hasUnwritten: boolean;
}

/** What a gather record holds besides what the inode says. */
export interface GatherFields {
  readonly link: Uint8Array;
  readonly found: FoundAttributes;
  readonly layout: FileLayout;
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
  const { link, layout } = fields;
  const { attributes, errno } = fields.found;
  let attributeBytes = 0;
  for (let i = 0; i < attributes.length; i++) {
    const { name, value } = attributes[i] as ExtendedAttribute;
    attributeBytes += 8 + name.length + value.length;
  }
  const length = (gatherLayout.size + link.length + attributeBytes + 7) & ~7;
  if (at + length > out.length) return 0;
  out.fill(0, at, at + length);
  view.setUint32(at + gatherLayout.length, length, true);
  view.setUint32(at + gatherLayout.linkLength, link.length, true);
  view.setUint32(at + gatherLayout.attributeBytes, attributeBytes, true);
  view.setUint32(at + gatherLayout.attributeError, errno, true);
  view.setUint32(at + gatherLayout.attributeCount, attributes.length, true);
  if (hasFlags) {
    view.setUint32(at + gatherLayout.inodeFlags, flagsOf(inode), true);
    view.setUint32(at + gatherLayout.projectId, inode.projectId, true);
    setInt64(view, at + gatherLayout.ino, inode.number);
    setInt64(view, at + gatherLayout.sizeBytes, inode.size);
    writeTime(view, at + gatherLayout.mtime, at + gatherLayout.mtimeNs, inode, timeFields.modification);
  }
  setInt64(view, at + gatherLayout.firstHole, layout.firstHole);
  view.setUint32(at + gatherLayout.unwritten, layout.hasUnwritten ? 1 : 0, true);
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
