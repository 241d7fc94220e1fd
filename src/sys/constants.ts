// Constants of the kernel's interface, each group with the header it comes from (include/uapi). Values that differ
// between architectures are taken from Node.

import { constants } from "node:fs";

// asm/fcntl.h: open flags.
export const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK } = constants;
export const { O_DIRECTORY, O_NOFOLLOW, O_NOATIME, O_DIRECT } = constants;
export const O_PATH = 0o10000000;
export const O_TMPFILE: number = 0o20000000 | constants.O_DIRECTORY;

// linux/fcntl.h: flags of the *at calls.
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;

// linux/openat2.h: how openat2 resolves a path.
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
/** What every walk below a directory of ours asks for. */
export const RESOLVE_CONTAINED: number = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

// linux/fs.h: renameat2.
export const RENAME_NOREPLACE = 1;

// linux/stat.h: st_mode, statx masks and attributes.
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
export const STATX_MNT_ID = 0x1000;
export const STATX_ATTR_MOUNT_ROOT = 0x2000;

// linux/stat.h, asm-generic/fcntl.h: utimensat.
export const UTIME_OMIT = 0x3ffffffe;

// asm-generic/fcntl.h: flock.
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

// linux/mount.h: attributes of a mount.
export const MOUNT_ATTR_RDONLY = 0x01;
export const MOUNT_ATTR_NOSUID = 0x02;
export const MOUNT_ATTR_NODEV = 0x04;
export const MOUNT_ATTR_NOATIME = 0x10;

// linux/statfs.h: bits of statFilesystem's flags.
export const ST_RDONLY = 0x01;

// linux/magic.h: file system types as statFilesystem gives them.
export const BTRFS_SUPER_MAGIC = 0x9123683e;

// linux/loop.h.
export const LO_FLAGS_READ_ONLY = 1;
export const LO_FLAGS_AUTOCLEAR = 4;
export const LO_FLAGS_DIRECT_IO = 16;

// linux/falloc.h.
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;

// linux/fadvise.h.
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;

// linux/fiemap.h: flags of an extent.
export const FIEMAP_EXTENT_LAST = 0x0001;
export const FIEMAP_EXTENT_UNKNOWN = 0x0002;
export const FIEMAP_EXTENT_DELALLOC = 0x0004;
export const FIEMAP_EXTENT_ENCODED = 0x0008;
export const FIEMAP_EXTENT_DATA_INLINE = 0x0200;
export const FIEMAP_EXTENT_UNWRITTEN = 0x0800;
export const FIEMAP_EXTENT_SHARED = 0x2000;

// linux/fs.h: inode flags (chattr(1), ioctl_iflags(2)); the letter is lsattr's.
export const FS_SECRM_FL = 0x0000_0001; // s
export const FS_SYNC_FL = 0x0000_0008; // S
export const FS_APPEND_FL = 0x0000_0020; // a
export const FS_NODUMP_FL = 0x0000_0040; // d
export const FS_NOATIME_FL = 0x0000_0080; // A
export const FS_EXTENT_FL = 0x0008_0000; // e

// linux/capability.h.
export const CAP_FOWNER = 3;
export const CAP_SYS_ADMIN = 21;
