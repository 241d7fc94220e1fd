// One statx call into a stat record; shared by the directory, file and gather families.

#ifndef TSFSA_STAT_H
#define TSFSA_STAT_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "kernel.h"
#include "layout.h"

#ifndef AT_NO_AUTOMOUNT
#define AT_NO_AUTOMOUNT 0x800
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

// statx of dir_fd/name without following (empty name: of dir_fd itself) to `out` of 128 bytes, at any alignment.
// Returns 0 or the errno, which also stands in the record (then all else is zero).
static inline int stat_to_record(int dir_fd, const char *name, uint8_t *out) {
  struct kernel_statx found;
  struct stat_record record = {0};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == 0 ? AT_EMPTY_PATH : 0);
  const unsigned int mask = KERNEL_STATX_BASIC_STATS | KERNEL_STATX_BTIME | KERNEL_STATX_MNT_ID;
  if (syscall(SYS_statx, dir_fd, name, flags, mask, &found) < 0) {
    record.error = (uint32_t)errno;
  } else {
    record.mode = found.mode;
    record.nlink = found.nlink;
    record.uid = found.uid;
    record.gid = found.gid;
    record.mtimeNs = found.mtime.nanoseconds;
    record.ino = found.ino;
    record.devMajor = found.dev_major;
    record.devMinor = found.dev_minor;
    record.rdevMajor = found.rdev_major;
    record.rdevMinor = found.rdev_minor;
    record.sizeBytes = (int64_t)found.size;
    record.blocks = (int64_t)found.blocks;
    record.mtime = found.mtime.seconds;
    record.atime = found.atime.seconds;
    record.ctime = found.ctime.seconds;
    record.btime = found.btime.seconds;
    record.atimeNs = found.atime.nanoseconds;
    record.ctimeNs = found.ctime.nanoseconds;
    record.btimeNs = found.btime.nanoseconds;
    record.mask = found.mask;
    record.attributes = found.attributes;
    record.mountId = found.mount_id;
  }
  memcpy(out, &record, sizeof record);
  return (int)record.error;
}

#endif
