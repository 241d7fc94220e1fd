// A stat record (statLayout) as a typed object, and questions to a mode. Hot paths read the fields they need straight
// from the record instead.

import { viewOf } from "../base/bytes.ts";
import { EntryKind, type Timestamp } from "../model/entry.ts";
import { addon } from "./addon.ts";
import * as constants from "./constants.ts";
import { check } from "./errors.ts";
import { statLayout as layout } from "./layout.ts";

export interface Stat {
  /** errno of the statx call; then all else is 0. */
  readonly error: number;
  /** Type and permission bits (st_mode). */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** bigint from 2^53. */
  readonly ino: number | bigint;
  readonly dev: DeviceNumber;
  readonly rdev: DeviceNumber;
  readonly sizeBytes: number;
  /** Allocated bytes. */
  readonly allocatedBytes: number;
  readonly mtime: Timestamp;
  readonly atime: Timestamp;
  readonly ctime: Timestamp;
  /** Where the file system keeps it. */
  readonly btime?: Timestamp;
  /** Root of a mount (Linux 5.8). */
  readonly mountRoot: boolean;
  readonly mountId: number;
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

function exact(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/**
 * The stat record at `offset`. Sizes and seconds beyond 2^53 (no file system has them) lose their last bits.
 * Throws RangeError when fewer than 128 bytes are there.
 */
export function readStat(bytes: Uint8Array | DataView, offset = 0): Stat {
  const view = bytes instanceof DataView ? bytes : viewOf(bytes);
  const u32 = (field: number): number => view.getUint32(offset + field, true);
  const i64 = (field: number): number => Number(view.getBigInt64(offset + field, true));
  const time = (seconds: number, nanoseconds: number): Timestamp => ({
    seconds: i64(seconds),
    nanoseconds: u32(nanoseconds),
  });
  const known = (u32(layout.mask) & constants.STATX_BTIME) !== 0;
  return {
    error: u32(layout.error),
    mode: u32(layout.mode),
    nlink: u32(layout.nlink),
    uid: u32(layout.uid),
    gid: u32(layout.gid),
    ino: exact(view.getBigUint64(offset + layout.ino, true)),
    dev: { major: u32(layout.devMajor), minor: u32(layout.devMinor) },
    rdev: { major: u32(layout.rdevMajor), minor: u32(layout.rdevMinor) },
    sizeBytes: i64(layout.sizeBytes),
    allocatedBytes: i64(layout.blocks) * 512,
    mtime: time(layout.mtime, layout.mtimeNs),
    atime: time(layout.atime, layout.atimeNs),
    ctime: time(layout.ctime, layout.ctimeNs),
    ...(known ? { btime: time(layout.btime, layout.btimeNs) } : {}),
    mountRoot: (u32(layout.attributes) & constants.STATX_ATTR_MOUNT_ROOT) !== 0,
    mountId: Number(view.getBigUint64(offset + layout.mountId, true)),
  };
}

const nameless = new Uint8Array(0);

/** statx of an open descriptor; throws IO where the file system cannot tell. */
export function statDescriptor(fd: number): Stat {
  const record = new Uint8Array(layout.size);
  check(addon().statAt(fd, nameless, record), "statx");
  return readStat(record);
}

const kindOfType: Readonly<Record<number, EntryKind>> = {
  [constants.S_IFREG]: EntryKind.file,
  [constants.S_IFDIR]: EntryKind.directory,
  [constants.S_IFLNK]: EntryKind.symlink,
  [constants.S_IFCHR]: EntryKind.charDevice,
  [constants.S_IFBLK]: EntryKind.blockDevice,
  [constants.S_IFIFO]: EntryKind.fifo,
  [constants.S_IFSOCK]: EntryKind.socket,
};

/** Kind of an entry by its st_mode; absent for a type that no archive knows. */
export function kindOfMode(mode: number): EntryKind {
  return kindOfType[mode & constants.S_IFMT] ?? EntryKind.absent;
}

const isType =
  (type: number) =>
  (mode: number): boolean =>
    (mode & constants.S_IFMT) === type;

export const isFile: (mode: number) => boolean = isType(constants.S_IFREG);
export const isDirectory: (mode: number) => boolean = isType(constants.S_IFDIR);
export const isBlockDevice: (mode: number) => boolean = isType(constants.S_IFBLK);
export const isSocket: (mode: number) => boolean = isType(constants.S_IFSOCK);
