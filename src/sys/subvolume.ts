// btrfs subvolumes as the addon tells of them. Whether a directory is the root of one shows in its stat first: inode 256, and no mount point.

import { viewOf } from "../base/bytes.ts";
import type { Subvolume } from "../model/entry.ts";
import { addon } from "./addon.ts";
import { BTRFS_SUPER_MAGIC, S_IFDIR, S_IFMT, STATX_ATTR_MOUNT_ROOT, STATX_MNT_ID } from "./constants.ts";
import { statLayout } from "./layout.ts";

/** Inode of the root of every subvolume: BTRFS_FIRST_FREE_OBJECTID, linux/btrfs_tree.h. */
export const subvolumeInode = 256;
const placeholderInode = 2n;
const recordSize = 64;
const uuidLength = 16;

/** A stat record's directory may be the root of a subvolume. Other file systems have an inode 256, too: subvolumeOf() decides. */
export function maybeSubvolume(stat: DataView, at: number): boolean {
  return (
    stat.getUint32(at + statLayout.ino, true) === subvolumeInode &&
    stat.getUint32(at + statLayout.ino + 4, true) === 0 &&
    (stat.getUint32(at + statLayout.attributes, true) & STATX_ATTR_MOUNT_ROOT) === 0
  );
}

/** A subvolume has a device number of its own, but is part of the mount; kernels before 5.8 do not tell which mount that is. */
export function isOnMount(stat: DataView, at: number, mountId: bigint): boolean {
  return (
    (stat.getUint32(at + statLayout.mask, true) & STATX_MNT_ID) !== 0 &&
    stat.getBigUint64(at + statLayout.mountId, true) === mountId
  );
}

/**
 * A subvolume that was below a snapshot's origin shows in the snapshot as an empty directory without an inode of its own (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID),
 * whose times are those of the moment it was looked at. Gives such a stat record, of an entry of the open directory `dirFd`, the times of that directory.
 */
export function settlePlaceholder(stat: Uint8Array, dirFd: number): void {
  const view = viewOf(stat);
  const isDirectory = (view.getUint32(statLayout.mode, true) & S_IFMT) === S_IFDIR;
  if (!isDirectory || view.getBigUint64(statLayout.ino, true) !== placeholderInode) return;
  const found = new Float64Array(12);
  const parent = new Uint8Array(statLayout.size);
  if (addon().statFilesystem(dirFd, found) < 0 || found[0] !== BTRFS_SUPER_MAGIC) return;
  if (addon().statAt(dirFd, new Uint8Array(0), parent) < 0) return;
  const { atime, ctime, btime, mtime, atimeNs, ctimeNs, btimeNs, mtimeNs } = statLayout;
  for (const field of [atime, ctime, btime, mtime]) stat.set(parent.subarray(field, field + 8), field);
  for (const field of [atimeNs, ctimeNs, btimeNs, mtimeNs]) stat.set(parent.subarray(field, field + 4), field);
}

export interface FoundSubvolume extends Omit<Subvolume, "isDefault"> {
  readonly id: number;
}

/** The subvolume that holds an open directory; undefined: it is on no btrfs, or the kernel does not tell (before 4.18). */
export function subvolumeOf(fd: number): FoundSubvolume | undefined {
  const record = new Uint8Array(recordSize);
  if (addon().subvolumeInfo(fd, record) < 0) return undefined;
  const view = new DataView(record.buffer);
  const uuid = (index: number): Uint8Array | undefined => {
    const bytes = record.slice(16 + index * uuidLength, 16 + (index + 1) * uuidLength);
    return bytes.every((byte) => byte === 0) ? undefined : bytes;
  };
  return {
    id: Number(view.getBigUint64(0, true)),
    readOnly: view.getUint32(8, true) !== 0,
    uuid: uuid(0),
    parentUuid: uuid(1),
    receivedUuid: uuid(2),
  };
}
