// Detached mounts (fsopen, fsmount, open_tree), what a file system says of itself, thaw.

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/vfs.h>

#include "arguments.h"
#include "kernel.h"
#include "stat.h"

// include/uapi/linux/mount.h.
enum {
  KERNEL_FSOPEN_CLOEXEC = 1,
  KERNEL_FSMOUNT_CLOEXEC = 1,
  KERNEL_FSCONFIG_SET_FLAG = 0,
  KERNEL_FSCONFIG_SET_STRING = 1,
  KERNEL_FSCONFIG_CMD_CREATE = 6,
  KERNEL_OPEN_TREE_CLONE = 1,
};

// struct mount_attr (mount_setattr(2), Linux 5.12).
struct kernel_mount_attr {
  uint64_t attr_set;
  uint64_t attr_clr;
  uint64_t propagation;
  uint64_t userns_fd;
};

// The kernel's messages of this thread's last mountDetached that failed, one per line.
static _Thread_local char last_message[4096];

static void keep_messages(int context) {
  size_t length = 0;
  while (length + 1 < sizeof last_message) {
    const size_t start = length == 0 ? 0 : length + 1;
    const ssize_t got = read(context, last_message + start, sizeof last_message - start - 1);
    // ENODATA: no more messages.
    if (got <= 0) break;
    if (start > 0) last_message[length] = '\n';
    length = start + (size_t)got;
    while (length > 0 && last_message[length - 1] == '\n') length--;
  }
  last_message[length] = 0;
}

// One option, `key` or `key=value`.
static long set_option(int context, char *option) {
  char *equals = strchr(option, '=');
  if (equals == NULL) return syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_SET_FLAG, option, NULL, 0);
  *equals = 0;
  return syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_SET_STRING, option, equals + 1, 0);
}

// Returns false with an exception pending; else *result is 0 or −1 with errno.
static bool set_options(napi_env env, napi_value options, int context, long *result) {
  uint32_t count;
  if (napi_get_array_length(env, options, &count) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an array of options");
    return false;
  }
  char option[4096];
  *result = 0;
  for (uint32_t i = 0; i < count && *result == 0; i++) {
    napi_value value;
    if (napi_get_element(env, options, i, &value) != napi_ok || !argument_string(env, value, option, sizeof option)) {
      return false;
    }
    *result = set_option(context, option);
  }
  return true;
}

static napi_value mount_detached(napi_env env, napi_callback_info info) {
  napi_value values[4];
  char type[256], source[PATH_MAX];
  uint32_t attributes;
  if (!arguments(env, info, 4, values) || !argument_string(env, values[0], type, sizeof type) ||
      !argument_string(env, values[1], source, sizeof source) || !argument_u32(env, values[3], &attributes)) {
    return NULL;
  }
  last_message[0] = 0;
  const int context = (int)syscall(SYS_fsopen, type, KERNEL_FSOPEN_CLOEXEC);
  if (context < 0) return negative_errno(env, errno);
  long result = syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_SET_STRING, "source", source, 0);
  if (result == 0 && !set_options(env, values[2], context, &result)) {
    close(context);
    return NULL;
  }
  if (result == 0) result = syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  if (result == 0) result = syscall(SYS_fsmount, context, KERNEL_FSMOUNT_CLOEXEC, attributes);
  const int error = errno;
  if (result < 0) keep_messages(context);
  close(context);
  return result < 0 ? negative_errno(env, error) : number(env, (double)result);
}

static napi_value last_mount_message(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  return napi_create_string_utf8(env, last_message, NAPI_AUTO_LENGTH, &result) == napi_ok ? result : NULL;
}

static napi_value clone_tree(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t dir_fd;
  struct path name;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name)) {
    return NULL;
  }
  const unsigned int flags =
      KERNEL_OPEN_TREE_CLONE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW | (name.length == 0 ? AT_EMPTY_PATH : 0);
  return result_or_errno(env, syscall(SYS_open_tree, dir_fd, name.text, flags));
}

static napi_value set_mount_attributes(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t attributes;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_u32(env, values[1], &attributes)) {
    return NULL;
  }
  const struct kernel_mount_attr change = {.attr_set = attributes};
  return result_or_errno(env, syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &change, sizeof change));
}

static napi_value stat_filesystem(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  double *out;
  size_t length;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_f64s(env, values[1], &out, &length)) {
    return NULL;
  }
  if (length < 12) return range_error(env, "out is too short"), NULL;
  struct statfs found;
  if (fstatfs(fd, &found) < 0) return negative_errno(env, errno);
  uint32_t id[2];
  _Static_assert(sizeof found.f_fsid == sizeof id, "fsid");
  memcpy(id, &found.f_fsid, sizeof id);
  const double values_found[12] = {
      (double)(uint32_t)found.f_type, (double)found.f_bsize, (double)found.f_blocks, (double)found.f_bfree,
      (double)found.f_bavail,         (double)found.f_files, (double)found.f_ffree,  id[0],
      id[1],                          (double)found.f_namelen, (double)found.f_frsize, (double)found.f_flags,
  };
  memcpy(out, values_found, sizeof values_found);
  return number(env, 0);
}

static napi_value thaw(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, ioctl(fd, FITHAW, 0));
}

const struct method mount_methods[] = {
    {"mountDetached", mount_detached},
    {"lastMountMessage", last_mount_message},
    {"cloneTree", clone_tree},
    {"setMountAttributes", set_mount_attributes},
    {"statFilesystem", stat_filesystem},
    {"thaw", thaw},
    {NULL, NULL},
};
