// The kernel's ABI of calls which the headers of an older C library may lack, with our own names, so that the addon
// builds against any glibc. Sources: include/uapi/linux/{stat,openat2,mount,loop,fs}.h. The call numbers are the same
// on every architecture that Node supports (they were added after the tables were unified).

#ifndef TSFSA_KERNEL_H
#define TSFSA_KERNEL_H

#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif
#ifndef SYS_fspick
#define SYS_fspick 433
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

// struct open_how (openat2(2), Linux 5.6).
struct kernel_open_how {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

struct kernel_statx_timestamp {
  int64_t seconds;
  uint32_t nanoseconds;
  int32_t reserved;
};

// struct statx (statx(2), Linux 4.11; mount id since 5.8).
struct kernel_statx {
  uint32_t mask;
  uint32_t block_size;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t spare0;
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributes_mask;
  struct kernel_statx_timestamp atime, btime, ctime, mtime;
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t mount_id;
  uint64_t spare[13];
};
_Static_assert(sizeof(struct kernel_statx) == 256, "struct statx");

enum {
  KERNEL_STATX_BASIC_STATS = 0x7ff,
  KERNEL_STATX_BTIME = 0x800,
  KERNEL_STATX_MNT_ID = 0x1000,
};

// struct fsxattr (linux/fs.h) and its requests.
struct kernel_fsxattr {
  uint32_t xflags;
  uint32_t extent_size;
  uint32_t extent_count;
  uint32_t project_id;
  uint32_t cow_extent_size;
  uint8_t padding[8];
};
_Static_assert(sizeof(struct kernel_fsxattr) == 28, "struct fsxattr");

// GETFLAGS is declared with `long`, but the kernel reads and writes an int (ioctl_iflags(2)).
#define KERNEL_GETFLAGS _IOR('f', 1, long)
#define KERNEL_SETFLAGS _IOW('f', 2, long)
#define KERNEL_FSGETXATTR _IOR('X', 31, struct kernel_fsxattr)
#define KERNEL_FSSETXATTR _IOW('X', 32, struct kernel_fsxattr)

#endif
