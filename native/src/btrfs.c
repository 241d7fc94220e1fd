// btrfs subvolumes: making and removing them, what they say of themselves, and which one is the default.

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arguments.h"

// A subvolume record: 64 bytes.
struct subvolume_record {
  uint64_t id;
  uint64_t readOnly;
  uint8_t uuid[16];
  uint8_t parentUuid[16];
  uint8_t receivedUuid[16];
};
_Static_assert(sizeof(struct subvolume_record) == 64, "subvolume record");

static napi_value subvolume_info(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  struct bytes out;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) ||
      !argument_bytes(env, values[1], &out)) {
    return NULL;
  }
  if (out.length < sizeof(struct subvolume_record)) return range_error(env, "out is too short"), NULL;
  struct btrfs_ioctl_get_subvol_info_args found = {0};
  if (ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &found) < 0) return negative_errno(env, errno);
  struct subvolume_record record = {.id = found.treeid, .readOnly = (found.flags & BTRFS_ROOT_SUBVOL_RDONLY) != 0};
  memcpy(record.uuid, found.uuid, sizeof record.uuid);
  memcpy(record.parentUuid, found.parent_uuid, sizeof record.parentUuid);
  memcpy(record.receivedUuid, found.received_uuid, sizeof record.receivedUuid);
  memcpy(out.data, &record, sizeof record);
  return number(env, 0);
}

static napi_value create_subvolume(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t dir_fd;
  struct path name;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_path(env, values[1], &name)) {
    return NULL;
  }
  struct btrfs_ioctl_vol_args_v2 request = {0};
  if (name.length >= sizeof request.name) return negative_errno(env, ENAMETOOLONG);
  memcpy(request.name, name.text, name.length);
  return result_or_errno(env, ioctl(dir_fd, BTRFS_IOC_SUBVOL_CREATE_V2, &request));
}

// The tool would want a path, which a detached mount does not have.
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

static napi_value set_subvolume_read_only(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  uint64_t flags = 0;
  if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0) return negative_errno(env, errno);
  flags |= BTRFS_SUBVOL_RDONLY;
  return result_or_errno(env, ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags));
}

static napi_value set_default_subvolume(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  int64_t id;
  if (!arguments(env, info, 2, values) || !argument_i32(env, values[0], &fd) || !argument_i64(env, values[1], &id)) {
    return NULL;
  }
  uint64_t object = (uint64_t)id;
  return result_or_errno(env, ioctl(fd, BTRFS_IOC_DEFAULT_SUBVOL, &object));
}

// The directory item "default" of the tree of tree roots points to the default subvolume; without it, that is the top level.
static napi_value default_subvolume(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  struct btrfs_ioctl_search_args request = {
      .key = {.tree_id = BTRFS_ROOT_TREE_OBJECTID,
              .min_objectid = BTRFS_ROOT_TREE_DIR_OBJECTID,
              .max_objectid = BTRFS_ROOT_TREE_DIR_OBJECTID,
              .min_type = BTRFS_DIR_ITEM_KEY,
              .max_type = BTRFS_DIR_ITEM_KEY,
              .max_offset = UINT64_MAX,
              .max_transid = UINT64_MAX,
              .nr_items = 64}};
  if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &request) < 0) return negative_errno(env, errno);
  static const char wanted[] = "default";
  const size_t name_length = sizeof wanted - 1;
  size_t at = 0;
  for (uint32_t i = 0; i < request.key.nr_items; i++) {
    struct btrfs_ioctl_search_header header;
    if (sizeof request.buf - at < sizeof header) break;
    memcpy(&header, request.buf + at, sizeof header);
    at += sizeof header;
    if (sizeof request.buf - at < header.len) break;
    struct btrfs_dir_item item;
    if (header.len >= sizeof item + name_length) {
      memcpy(&item, request.buf + at, sizeof item);
      // Little-endian on the disk, as is every machine this is built for (layout.h).
      if (item.name_len == name_length && memcmp(request.buf + at + sizeof item, wanted, name_length) == 0) {
        return number(env, (double)item.location.objectid);
      }
    }
    at += header.len;
  }
  return number(env, BTRFS_FS_TREE_OBJECTID);
}

const struct method btrfs_methods[] = {
    {"subvolumeInfo", subvolume_info},
    {"createSubvolume", create_subvolume},
    {"deleteSubvolume", delete_subvolume},
    {"setSubvolumeReadOnly", set_subvolume_read_only},
    {"setDefaultSubvolume", set_default_subvolume},
    {"defaultSubvolume", default_subvolume},
    {NULL, NULL},
};
