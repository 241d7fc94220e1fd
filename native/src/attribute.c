// Extended attributes of descriptors and names, inode flags, project ids.

#include "attribute.h"

#include <linux/limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "arguments.h"
#include "space.h"
#include "stat.h"

// What an attribute call works on: a descriptor, or a path that must not be followed.
struct subject {
  int fd;
  bool by_fd;
  // /proc/self/fd/N itself is a link to what N is, so the path of an empty name is followed.
  bool follow;
  struct proc_path path;
};

static bool subject_arguments(napi_env env, const napi_value *values, struct subject *out) {
  struct path name;
  int32_t fd;
  if (!argument_i32(env, values[0], &fd) || !argument_path(env, values[1], &name)) return false;
  out->fd = fd;
  out->by_fd = name.length == 0;
  out->follow = name.length == 0;
  proc_path_of(fd, name.text, &out->path);
  return true;
}

// The f* calls refuse descriptors opened with O_PATH (EBADF): those go by /proc.
static bool retry_by_path(struct subject *subject, ssize_t result) {
  if (!subject->by_fd || result >= 0 || errno != EBADF || fcntl(subject->fd, F_GETFD) < 0) return false;
  subject->by_fd = false;
  return true;
}

static ssize_t list(struct subject *subject, char *out, size_t size) {
  if (subject->by_fd) {
    const ssize_t result = flistxattr(subject->fd, out, size);
    if (!retry_by_path(subject, result)) return result;
  }
  return subject->follow ? listxattr(subject->path.text, out, size) : llistxattr(subject->path.text, out, size);
}

static ssize_t get(struct subject *subject, const char *name, void *out, size_t size) {
  if (subject->by_fd) {
    const ssize_t result = fgetxattr(subject->fd, name, out, size);
    if (!retry_by_path(subject, result)) return result;
  }
  return subject->follow ? getxattr(subject->path.text, name, out, size)
                         : lgetxattr(subject->path.text, name, out, size);
}

static int set(struct subject *subject, const char *name, const void *value, size_t size) {
  if (subject->by_fd) {
    const int result = fsetxattr(subject->fd, name, value, size, 0);
    if (!retry_by_path(subject, result)) return result;
  }
  return subject->follow ? setxattr(subject->path.text, name, value, size, 0)
                         : lsetxattr(subject->path.text, name, value, size, 0);
}

static int delete(struct subject *subject, const char *name) {
  if (subject->by_fd) {
    const int result = fremovexattr(subject->fd, name);
    if (!retry_by_path(subject, result)) return result;
  }
  return subject->follow ? removexattr(subject->path.text, name) : lremovexattr(subject->path.text, name);
}

static napi_value list_attributes(napi_env env, napi_callback_info info) {
  napi_value values[2];
  struct subject subject;
  if (!arguments(env, info, 2, values) || !subject_arguments(env, values, &subject)) return NULL;
  char names[XATTR_LIST_MAX];
  const ssize_t length = list(&subject, names, sizeof names);
  return length < 0 ? negative_errno(env, errno) : new_bytes(env, names, (size_t)length);
}

static napi_value get_attribute(napi_env env, napi_callback_info info) {
  napi_value values[3];
  struct subject subject;
  struct attribute_name name;
  if (!arguments(env, info, 3, values) || !subject_arguments(env, values, &subject) ||
      !argument_attribute(env, values[2], &name)) {
    return NULL;
  }
  char value[XATTR_SIZE_MAX];
  const ssize_t length = get(&subject, name.text, value, sizeof value);
  return length < 0 ? negative_errno(env, errno) : new_bytes(env, value, (size_t)length);
}

static napi_value set_attribute(napi_env env, napi_callback_info info) {
  napi_value values[4];
  struct subject subject;
  struct attribute_name name;
  struct bytes value;
  if (!arguments(env, info, 4, values) || !subject_arguments(env, values, &subject) ||
      !argument_attribute(env, values[2], &name) || !argument_bytes(env, values[3], &value)) {
    return NULL;
  }
  // An attribute that is too long for its file gets ENOSPC as well: after one wait in vain there is none.
  static atomic_bool was_vain;
  unsigned tries = was_vain ? SPACE_TRIES : 0;
  int result;
  do {
    result = set(&subject, name.text, value.data, value.length);
  } while (result < 0 && await_space(subject.fd, value.length, &tries));
  if (result < 0 && tries == SPACE_TRIES) was_vain = true;
  return result_or_errno(env, result);
}

static napi_value remove_attribute(napi_env env, napi_callback_info info) {
  napi_value values[3];
  struct subject subject;
  struct attribute_name name;
  if (!arguments(env, info, 3, values) || !subject_arguments(env, values, &subject) ||
      !argument_attribute(env, values[2], &name)) {
    return NULL;
  }
  return result_or_errno(env, delete(&subject, name.text));
}

static napi_value get_inode_flags(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  uint32_t flags = 0;
  return ioctl(fd, KERNEL_GETFLAGS, &flags) < 0 ? negative_errno(env, errno) : number(env, flags);
}

static napi_value set_inode_flags(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t flags;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_u32(env, values[1], &flags)) {
    return NULL;
  }
  return result_or_errno(env, ioctl(fd, KERNEL_SETFLAGS, &flags));
}

static napi_value get_extended_flags(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t *out;
  size_t length;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_u32s(env, values[1], &out, &length)) {
    return NULL;
  }
  if (length < 4) return range_error(env, "out is too short"), NULL;
  struct kernel_fsxattr found = {0};
  if (ioctl(fd, KERNEL_FSGETXATTR, &found) < 0) return negative_errno(env, errno);
  out[0] = found.xflags;
  out[1] = found.extent_size;
  out[2] = found.project_id;
  out[3] = found.cow_extent_size;
  return number(env, 0);
}

static napi_value set_project_id(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  uint32_t project_id;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_u32(env, values[1], &project_id)) {
    return NULL;
  }
  struct kernel_fsxattr state = {0};
  if (ioctl(fd, KERNEL_FSGETXATTR, &state) < 0) return negative_errno(env, errno);
  state.project_id = project_id;
  return result_or_errno(env, ioctl(fd, KERNEL_FSSETXATTR, &state));
}

const struct method attribute_methods[] = {
    {"listAttributes", list_attributes},
    {"getAttribute", get_attribute},
    {"setAttribute", set_attribute},
    {"removeAttribute", remove_attribute},
    {"getInodeFlags", get_inode_flags},
    {"setInodeFlags", set_inode_flags},
    {"getExtendedFlags", get_extended_flags},
    {"setProjectId", set_project_id},
    {NULL, NULL},
};
