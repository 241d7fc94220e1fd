// Layouts of the packed records shared with native/ (native/src/layout.h holds the twins). All little-endian.

/** Stat record, 128 bytes. Times are i64 seconds plus u32 nanoseconds; devices are u32 major, u32 minor. */
export const statLayout = {
  size: 128,
  error: 0, // u32 errno, 0 = fine
  mode: 4, // u32 st_mode
  nlink: 8, // u32
  uid: 12, // u32
  gid: 16, // u32
  mtimeNs: 20, // u32
  ino: 24, // u64
  devMajor: 32, // u32
  devMinor: 36, // u32
  rdevMajor: 40, // u32
  rdevMinor: 44, // u32
  sizeBytes: 48, // i64
  blocks: 56, // i64, of 512 bytes
  mtime: 64, // i64
  atime: 72, // i64
  ctime: 80, // i64
  btime: 88, // i64
  atimeNs: 96, // u32
  ctimeNs: 100, // u32
  btimeNs: 104, // u32
  mask: 108, // u32 stx_mask (STATX_BTIME = 0x800: btime is known)
  attributes: 112, // u64 stx_attributes (STATX_ATTR_MOUNT_ROOT = 0x2000)
  mountId: 120, // u64 (STATX_MNT_ID)
} as const;

/**
 * Gather record: a fixed part of 80 bytes, then the link target, then the xattrs as repeated u16 name length, u16 0, u32 value length, name, value; the whole padded
 * to a multiple of 8.
 */
export const gatherLayout = {
  size: 80,
  length: 0, // u32 whole record with variable part and padding
  error: 4, // u32 errno of open, read of the link or identity check (ESTALE); 0 = fine
  inodeFlags: 8, // u32 FS_IOC_GETFLAGS, 0 where unsupported
  projectId: 12, // u32
  linkLength: 16, // u32 bytes of the symlink target
  attributeBytes: 20, // u32 bytes of the attribute list
  attributeError: 24, // u32 first errno of listxattr/getxattr other than ENOTSUP; 0 = all taken
  attributeCount: 28, // u32
  ino: 32, // u64 of the opened object (fstat), 0 where none was opened
  sizeBytes: 40, // i64
  mtime: 48, // i64
  mtimeNs: 56, // u32
  flagsError: 60, // u32 errno of GETFLAGS other than ENOTTY, ENOTSUP, EINVAL, ENOSYS
  firstHole: 64, // i64 SEEK_HOLE from 0 for regular files of size > 0 (−1: unsupported), else −1
  unwritten: 72, // u32 1: the file may have preallocated, never written extents (FIEMAP tells more); 0: it has none, or its data map shows them
  shared: 76, // u32 1: the file may have extents that others use too (FIEMAP tells more); 0: it has none
} as const;

/**
 * Entry record: what the plan knows of an entry. A fixed part of 160 bytes, then its name, then for hard links the member name of the object; the whole padded
 * to a multiple of 8.
 */
export const entryLayout = {
  size: 160,
  directory: 0, // u32 index of its directory in the job
  kind: 4, // u8 EntryKind
  nameLength: 5, // u8
  flags: 6, // u8 entryFlags
  depth: 8, // u32
  linkLength: 12, // u32
  linkEntry: 16, // f64 entry number of the object, −1: it is no link
  error: 24, // u32 errno: why an absent entry is absent, or why a directory's content is
  stat: 32, // stat record
} as const;

export const entryFlags = {
  /** nlink > 1: a later entry may be a hard link to this one. */
  linked: 1,
  /** A directory that may be the root of a btrfs subvolume. */
  subvolume: 2,
} as const;

/** Where planPlain() has come to: an array of f64. */
export const planLayout = {
  length: 4,
  name: 0, // offset of the next name
  stat: 1, // offset of its stat record
  records: 2, // bytes of entry records
  estimate: 3, // bytes that the entries of the job will take in the tar stream, about
} as const;

/** Where placePlain() has come to: an array of f64. */
export const placeLayout = {
  length: 6,
  at: 0, // next entry
  end: 1, // bytes of tar in the block
  rows: 2, // bytes of rows
  files: 3, // files among what was placed
  bytes: 4, // bytes of content that this call placed
  room: 5, // bytes of tar that the next entry needs, if it is more than there are; else 0
} as const;

/** Bytes of rows that placePlain() may need for each entry. */
export const plainRowMax = 512;

/** What scatter says of a row: 0 it was made, 1 to 6 the step that failed first, or: it was left. With `otherDigest`: its content is not that of its digest. */
export const scatterSteps = {
  create: 1,
  write: 2,
  owner: 3,
  mode: 4,
  times: 5,
  close: 6,
  left: 64,
  otherDigest: 128,
} as const;

/** A u64: a number up to 2^53, a bigint above, so that each value has one form. */
export function readUint64(view: DataView, at: number): number | bigint {
  const high = view.getUint32(at + 4, true);
  return high < 2 ** 21 ? high * 2 ** 32 + view.getUint32(at, true) : view.getBigUint64(at, true);
}

/** An i64 as a number, exact up to ±2^53: without the bigint that DataView would make. */
export function readInt64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}
