// Block devices and loop devices.

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "arguments.h"
#include "kernel.h"

// struct loop_config and requests of include/uapi/linux/loop.h since Linux 5.8.
struct kernel_loop_config {
  uint32_t fd;
  uint32_t block_size;
  struct loop_info64 info;
  uint64_t reserved[8];
};
#define KERNEL_LOOP_CONFIGURE 0x4C0A
#define KERNEL_LOOP_SET_BLOCK_SIZE 0x4C09

enum { LOOP_MAJOR_NUMBER = 7, ATTEMPTS = 64 };

static napi_value device_size(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  uint64_t size = 0;
  return ioctl(fd, BLKGETSIZE64, &size) < 0 ? negative_errno(env, errno) : number(env, (double)size);
}

static napi_value device_sector_size(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  int size = 0;
  return ioctl(fd, BLKSSZGET, &size) < 0 ? negative_errno(env, errno) : number(env, size);
}

static napi_value device_read_only(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  int read_only = 0;
  return ioctl(fd, BLKROGET, &read_only) < 0 ? negative_errno(env, errno) : number(env, read_only != 0);
}

static napi_value device_discard(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  int64_t offset, length;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &fd) ||
      !argument_i64(env, values[1], &offset) || !argument_i64(env, values[2], &length)) {
    return NULL;
  }
  if (offset < 0 || length < 0) return range_error(env, "negative offset or length"), NULL;
  const uint64_t range[2] = {(uint64_t)offset, (uint64_t)length};
  return result_or_errno(env, ioctl(fd, BLKDISCARD, range));
}

static napi_value device_flush(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, ioctl(fd, BLKFLSBUF, 0));
}

// Before Linux 5.8: three calls. Read-only follows from how the loop device was opened; direct I/O is left out.
static int configure_in_steps(int loop, const struct kernel_loop_config *config) {
  if (ioctl(loop, LOOP_SET_FD, config->fd) < 0) return errno;
  struct loop_info64 info = config->info;
  info.lo_flags &= (uint32_t)(LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN);
  if (ioctl(loop, LOOP_SET_STATUS64, &info) == 0 &&
      (config->block_size == 0 || ioctl(loop, KERNEL_LOOP_SET_BLOCK_SIZE, config->block_size) == 0)) {
    return 0;
  }
  const int error = errno;
  ioctl(loop, LOOP_CLR_FD, 0);
  return error;
}

static int configure(int loop, const struct kernel_loop_config *config) {
  if (ioctl(loop, KERNEL_LOOP_CONFIGURE, config) == 0) return 0;
  return errno == EINVAL ? configure_in_steps(loop, config) : errno;
}

// Opens /dev/loopN, which is made where a static /dev does not have it.
static int open_loop(int index, int flags) {
  char path[32];
  snprintf(path, sizeof path, "/dev/loop%d", index);
  const int fd = open(path, flags);
  if (fd >= 0 || errno != ENOENT) return fd;
  if (mknod(path, S_IFBLK | 0660, makedev(LOOP_MAJOR_NUMBER, (unsigned)index)) < 0 && errno != EEXIST) return -1;
  return open(path, flags);
}

// Takes a free loop device. Another process may take it first (EBUSY), or remove it (ENXIO): then the next free one.
static int attach(const struct kernel_loop_config *config, int flags, uint32_t *index) {
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return -errno;
  int result = -EBUSY;
  for (int attempt = 0; attempt < ATTEMPTS && (result == -EBUSY || result == -ENXIO); attempt++) {
    const int free_index = ioctl(control, LOOP_CTL_GET_FREE);
    if (free_index < 0) {
      result = -errno;
      break;
    }
    const int loop = open_loop(free_index, flags);
    if (loop < 0) {
      result = -errno;
      continue;
    }
    const int error = configure(loop, config);
    if (error == 0) {
      *index = (uint32_t)free_index;
      result = loop;
    } else {
      close(loop);
      result = -error;
    }
  }
  close(control);
  return result;
}

static napi_value attach_loop(napi_env env, napi_callback_info info) {
  napi_value values[7];
  int32_t backing_fd;
  uint32_t flags, block_size;
  int64_t offset, size_limit;
  struct bytes name;
  uint32_t *out;
  size_t out_length;
  if (!arguments(env, info, 7, values) || !argument_i32(env, values[0], &backing_fd) ||
      !argument_u32(env, values[1], &flags) || !argument_i64(env, values[2], &offset) ||
      !argument_i64(env, values[3], &size_limit) || !argument_u32(env, values[4], &block_size) ||
      !argument_bytes(env, values[5], &name) || !argument_u32s(env, values[6], &out, &out_length)) {
    return NULL;
  }
  if (offset < 0 || size_limit < 0) return range_error(env, "negative offset or size"), NULL;
  if (out_length < 1) return range_error(env, "out is too short"), NULL;
  struct kernel_loop_config config = {
      .fd = (uint32_t)backing_fd,
      .block_size = block_size,
      .info = {.lo_offset = (uint64_t)offset, .lo_sizelimit = (uint64_t)size_limit, .lo_flags = flags},
  };
  const size_t shown = name.length < LO_NAME_SIZE - 1 ? name.length : LO_NAME_SIZE - 1;
  if (shown > 0) memcpy(config.info.lo_file_name, name.data, shown);
  const int access = (flags & LO_FLAGS_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
  return number(env, attach(&config, access | O_CLOEXEC, out));
}

static napi_value detach_loop(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, ioctl(fd, LOOP_CLR_FD, 0));
}

static napi_value loop_status(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  double *out;
  size_t length;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_f64s(env, values[1], &out, &length)) {
    return NULL;
  }
  if (length < 6) return range_error(env, "out is too short"), NULL;
  struct loop_info64 status;
  if (ioctl(fd, LOOP_GET_STATUS64, &status) < 0) return negative_errno(env, errno);
  // The kernel's huge_encode_dev() (include/linux/kdev_t.h).
  out[0] = (double)(status.lo_device >> 8 & 0xfff);
  out[1] = (double)((status.lo_device & 0xff) | (status.lo_device >> 12 & 0xfff00));
  out[2] = (double)status.lo_inode;
  out[3] = (double)status.lo_offset;
  out[4] = (double)status.lo_sizelimit;
  out[5] = (double)status.lo_flags;
  return number(env, 0);
}

const struct method device_methods[] = {
    {"deviceSize", device_size},
    {"deviceSectorSize", device_sector_size},
    {"deviceReadOnly", device_read_only},
    {"deviceDiscard", device_discard},
    {"deviceFlush", device_flush},
    {"attachLoop", attach_loop},
    {"detachLoop", detach_loop},
    {"loopStatus", loop_status},
    {NULL, NULL},
};
