// Removing subvolumes of btrfs (linux/btrfs.h). The tool resolves names to paths, which a detached mount does not have.

#include <errno.h>
#include <linux/btrfs.h>
#include <string.h>

#include "arguments.h"
#include "kernel.h"

static napi_value delete_subvolume(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t dir_fd;
  struct path name;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name)) {
    return NULL;
  }
  struct btrfs_ioctl_vol_args request;
  memset(&request, 0, sizeof request);
  if (name.length > BTRFS_PATH_NAME_MAX) return negative_errno(env, ENAMETOOLONG);
  memcpy(request.name, name.text, name.length);
  return result_or_errno(env, ioctl(dir_fd, BTRFS_IOC_SNAP_DESTROY, &request));
}

const struct method subvolume_methods[] = {{"deleteSubvolume", delete_subvolume}, {NULL, NULL}};
