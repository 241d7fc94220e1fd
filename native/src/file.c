// Files and names relative to a directory descriptor: open, stat, read, write, make, link, remove, own, time.

#include <linux/capability.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "arguments.h"
#include "space.h"
#include "stat.h"
#include "write.h"

// The result of a call that makes an entry in the directory `fd`, tried again for as long as it is worth it (space.h).
#define AWAITING_SPACE(fd, call)                        \
  __extension__({                                       \
    unsigned tries = 0;                                 \
    int result;                                         \
    do {                                                \
      result = (call);                                  \
    } while (result < 0 && await_space(fd, 0, &tries)); \
    result;                                             \
  })

static napi_value open_at(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t dir_fd;
  struct path name;
  uint32_t flags, mode, resolve;
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &flags) ||
      !argument_u32(env, values[3], &mode) || !argument_u32(env, values[4], &resolve)) {
    return NULL;
  }
  flags |= O_CLOEXEC;
  long fd;
  unsigned tries = 0;
  do {
    if (resolve == 0) {
      fd = openat(dir_fd, name.text, (int)flags, mode);
    } else {
      // openat2 refuses a mode where nothing can be made.
      const bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
      const struct kernel_open_how how = {.flags = flags, .mode = makes ? mode : 0, .resolve = resolve};
      fd = syscall(SYS_openat2, dir_fd, name.text, &how, sizeof how);
    }
  } while (fd < 0 && (errno == EINTR || await_space(dir_fd, 0, &tries)));
  return result_or_errno(env, fd);
}

static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  // On Linux the descriptor is gone also after EINTR (close(2)).
  const int result = close(fd);
  return result < 0 && errno == EINTR ? number(env, 0) : result_or_errno(env, result);
}

static napi_value stat_at(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t dir_fd;
  struct path name;
  struct bytes out;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_bytes(env, values[2], &out)) {
    return NULL;
  }
  if (out.length < sizeof(struct stat_record)) return range_error(env, "out is too short"), NULL;
  return negative_errno(env, stat_to_record(dir_fd, name.text, out.data));
}

struct transfer {
  int32_t fd;
  uint8_t *data;
  size_t length;
  int64_t position;  // −1: the descriptor's own offset
};

static bool transfer_arguments(napi_env env, napi_callback_info info, struct transfer *out) {
  napi_value values[5];
  struct bytes buffer;
  size_t offset;
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &out->fd) ||
      !argument_bytes(env, values[1], &buffer) ||
      !argument_range(env, values[2], values[3], buffer.length, &offset, &out->length) ||
      !argument_i64(env, values[4], &out->position)) {
    return false;
  }
  if (out->position < -1) return range_error(env, "negative position");
  out->data = buffer.data + offset;
  return true;
}

static napi_value read_fd(napi_env env, napi_callback_info info) {
  struct transfer job;
  if (!transfer_arguments(env, info, &job)) return NULL;
  size_t done = 0;
  while (done < job.length) {
    const ssize_t got = job.position < 0
                            ? read(job.fd, job.data + done, job.length - done)
                            : pread(job.fd, job.data + done, job.length - done, job.position + (int64_t)done);
    if (got == 0) break;
    if (got > 0) {
      done += (size_t)got;
    } else if (errno != EINTR) {
      return negative_errno(env, errno);
    }
  }
  return number(env, (double)done);
}

static napi_value page_offset(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct bytes bytes;
  if (!arguments(env, info, 1, values) || !argument_bytes(env, values[0], &bytes)) return NULL;
  return number(env, (double)((uintptr_t)bytes.data & 4095));
}

static napi_value write_fd(napi_env env, napi_callback_info info) {
  struct transfer job;
  if (!transfer_arguments(env, info, &job)) return NULL;
  const int error = write_all(job.fd, job.data, job.length, job.position);
  return error == 0 ? number(env, (double)job.length) : negative_errno(env, error);
}

static napi_value truncate_fd(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  int64_t size;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) || !argument_i64(env, values[1], &size)) {
    return NULL;
  }
  return result_or_errno(env, ftruncate(fd, size));
}

static napi_value fsync_fd(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, fsync(fd));
}

static napi_value sync_filesystem(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, syncfs(fd));
}

static napi_value mkdir_at(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t dir_fd;
  struct path name;
  uint32_t mode;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &mode)) {
    return NULL;
  }
  return result_or_errno(env, AWAITING_SPACE(dir_fd, mkdirat(dir_fd, name.text, mode)));
}

static napi_value mknod_at(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t dir_fd;
  struct path name;
  uint32_t mode, major_number, minor_number;
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &mode) ||
      !argument_u32(env, values[3], &major_number) || !argument_u32(env, values[4], &minor_number)) {
    return NULL;
  }
  // The kernel holds 12 and 20 bits; more would be cut off in silence by the C library's encoding.
  if (major_number > 0xfff || minor_number > 0xfffff) return negative_errno(env, EINVAL);
  return result_or_errno(env, AWAITING_SPACE(dir_fd, mknodat(dir_fd, name.text, mode, makedev(major_number, minor_number))));
}

static napi_value symlink_at(napi_env env, napi_callback_info info) {
  napi_value values[3];
  struct path target, name;
  int32_t dir_fd;
  if (!arguments(env, info, 3, values) || !argument_path(env, values[0], &target) ||
      !argument_i32(env, values[1], &dir_fd) || !argument_path(env, values[2], &name)) {
    return NULL;
  }
  return result_or_errno(env, AWAITING_SPACE(dir_fd, symlinkat(target.text, dir_fd, name.text)));
}

static napi_value readlink_at(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t dir_fd;
  struct path name;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name)) {
    return NULL;
  }
  char target[PATH_MAX + 1];
  const ssize_t length = readlinkat(dir_fd, name.text, target, sizeof target);
  if (length < 0) return negative_errno(env, errno);
  if (length == (ssize_t)sizeof target) return negative_errno(env, ENAMETOOLONG);
  return new_bytes(env, target, (size_t)length);
}

static bool two_names(napi_env env, const napi_value *values, int32_t *from_fd, struct path *from, int32_t *to_fd,
                      struct path *to, uint32_t *flags) {
  return argument_i32(env, values[0], from_fd) && argument_path(env, values[1], from) &&
         argument_i32(env, values[2], to_fd) && argument_path(env, values[3], to) &&
         argument_u32(env, values[4], flags);
}

static napi_value link_at(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t from_fd, to_fd;
  struct path from, to;
  uint32_t flags;
  if (!arguments(env, info, 5, values) || !two_names(env, values, &from_fd, &from, &to_fd, &to, &flags)) return NULL;
  return result_or_errno(env, AWAITING_SPACE(to_fd, linkat(from_fd, from.text, to_fd, to.text, (int)flags)));
}

static napi_value rename_at(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t from_fd, to_fd;
  struct path from, to;
  uint32_t flags;
  if (!arguments(env, info, 5, values) || !two_names(env, values, &from_fd, &from, &to_fd, &to, &flags)) return NULL;
  return result_or_errno(env, syscall(SYS_renameat2, from_fd, from.text, to_fd, to.text, flags));
}

static napi_value unlink_at(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t dir_fd;
  struct path name;
  uint32_t flags;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &flags)) {
    return NULL;
  }
  return result_or_errno(env, unlinkat(dir_fd, name.text, (int)flags));
}

static napi_value chown_at(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t dir_fd;
  struct path name;
  uint32_t uid, gid;
  if (!arguments(env, info, 4, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &uid) ||
      !argument_u32(env, values[3], &gid)) {
    return NULL;
  }
  const int flags = AT_SYMLINK_NOFOLLOW | (name.length == 0 ? AT_EMPTY_PATH : 0);
  return result_or_errno(env, fchownat(dir_fd, name.text, uid, gid, flags));
}

static napi_value chmod_at(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t dir_fd;
  struct path name;
  uint32_t mode;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_u32(env, values[2], &mode)) {
    return NULL;
  }
  if (name.length == 0) return result_or_errno(env, fchmod(dir_fd, mode));
  // fchmodat2 (Linux 6.6) does not follow a symlink that took the name's place; before it nothing can prevent that.
  long result = syscall(SYS_fchmodat2, dir_fd, name.text, mode, AT_SYMLINK_NOFOLLOW);
  if (result < 0 && errno == ENOSYS) result = fchmodat(dir_fd, name.text, mode, 0);
  return result_or_errno(env, result);
}

static napi_value utimes_at(napi_env env, napi_callback_info info) {
  napi_value values[6];
  int32_t dir_fd;
  struct path name;
  int64_t atime, mtime;
  uint32_t atime_ns, mtime_ns;
  if (!arguments(env, info, 6, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name) || !argument_i64(env, values[2], &atime) ||
      !argument_u32(env, values[3], &atime_ns) || !argument_i64(env, values[4], &mtime) ||
      !argument_u32(env, values[5], &mtime_ns)) {
    return NULL;
  }
  const struct timespec times[2] = {{.tv_sec = atime, .tv_nsec = atime_ns}, {.tv_sec = mtime, .tv_nsec = mtime_ns}};
  const int result = name.length == 0 ? futimens(dir_fd, times)
                                      : utimensat(dir_fd, name.text, times, AT_SYMLINK_NOFOLLOW);
  return result_or_errno(env, result);
}

static napi_value duplicate(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static napi_value lock(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t operation;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_u32(env, values[1], &operation)) {
    return NULL;
  }
  int result;
  do {
    result = flock(fd, (int)operation);
  } while (result < 0 && errno == EINTR);
  return result_or_errno(env, result);
}

static napi_value has_capability(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t capability;
  if (!arguments(env, info, 1, values) || !argument_u32(env, values[0], &capability)) return NULL;
  if (capability > 63) return range_error(env, "no such capability"), NULL;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2] = {0};
  if (syscall(SYS_capget, &header, data) < 0) return boolean(env, false);
  return boolean(env, (data[capability / 32].effective >> (capability % 32) & 1) != 0);
}

static napi_value open_file_limit(napi_env env, napi_callback_info info) {
  (void)info;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return negative_errno(env, errno);
  // RLIM_INFINITY is beyond what any descriptor number can be.
  return number(env, limit.rlim_cur > INT32_MAX ? INT32_MAX : (double)limit.rlim_cur);
}

static napi_value set_umask(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t mask;
  if (!arguments(env, info, 1, values) || !argument_u32(env, values[0], &mask)) return NULL;
  return number(env, umask(mask));
}

const struct method file_methods[] = {
    {"openAt", open_at},
    {"close", close_fd},
    {"statAt", stat_at},
    {"read", read_fd},
    {"pageOffset", page_offset},
    {"write", write_fd},
    {"truncate", truncate_fd},
    {"fsync", fsync_fd},
    {"syncFilesystem", sync_filesystem},
    {"mkdirAt", mkdir_at},
    {"mknodAt", mknod_at},
    {"symlinkAt", symlink_at},
    {"readlinkAt", readlink_at},
    {"linkAt", link_at},
    {"unlinkAt", unlink_at},
    {"renameAt", rename_at},
    {"chownAt", chown_at},
    {"chmodAt", chmod_at},
    {"utimesAt", utimes_at},
    {"duplicate", duplicate},
    {"lock", lock},
    {"hasCapability", has_capability},
    {"openFileLimit", open_file_limit},
    {"umask", set_umask},
    {NULL, NULL},
};
