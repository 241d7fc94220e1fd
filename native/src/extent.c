// Where a file has data: SEEK_DATA and SEEK_HOLE, FIEMAP; allocation, clones and advice.

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "kernel.h"
#include "space.h"

// Bytes that grow.
struct run_list {
  uint8_t *data;
  size_t length;
  size_t capacity;
};

static bool append(struct run_list *list, const void *item, size_t size) {
  if (list->capacity - list->length < size) {
    const size_t capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
    uint8_t *grown = realloc(list->data, capacity);
    if (grown == NULL) return false;
    list->data = grown;
    list->capacity = capacity;
  }
  memcpy(list->data + list->length, item, size);
  list->length += size;
  return true;
}

static napi_value finish(napi_env env, struct run_list *list, int error) {
  napi_value result = error == 0 ? new_bytes(env, list->data, list->length) : negative_errno(env, error);
  free(list->data);
  return result;
}

static int map_data(int fd, int64_t size, size_t limit, struct run_list *list) {
  int64_t at = 0;
  size_t count = 0;
  while (at < size) {
    int64_t data = lseek(fd, at, SEEK_DATA);
    int64_t hole = size;
    if (data < 0) {
      // ENXIO: no data up to the end of the file.
      if (errno == ENXIO) return 0;
      // EINVAL: a file system without SEEK_DATA, where all is data.
      if (errno != EINVAL || at != 0) return errno;
      data = 0;
    } else if (data >= size) {
      return 0;
    } else {
      hole = lseek(fd, data, SEEK_HOLE);
      // ENXIO: the file was cut in between.
      if (hole < 0 && errno == ENXIO) return 0;
      if (hole < 0) return errno;
      if (hole > size) hole = size;
      // A live file may have lost what SEEK_DATA saw; go on behind it.
      if (hole <= data) {
        at = data + 1;
        continue;
      }
    }
    if (count++ >= limit) return EOVERFLOW;
    const int64_t run[2] = {data, hole - data};
    if (!append(list, run, sizeof run)) return ENOMEM;
    at = hole;
  }
  return 0;
}

static napi_value data_map(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  int64_t size, limit;
  if (!arguments(env, info, 3, values) || !argument_i32(env, values[0], &fd) || !argument_i64(env, values[1], &size) ||
      !argument_i64(env, values[2], &limit)) {
    return NULL;
  }
  if (size < 0 || limit < 0) return range_error(env, "negative size or limit"), NULL;
  struct run_list list = {0};
  const int error = map_data(fd, size, (size_t)limit, &list);
  return finish(env, &list, error);
}

static napi_value first_hole(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  const off_t hole = lseek(fd, 0, SEEK_HOLE);
  // ENXIO: an empty file has no offset 0; its end is its first hole.
  return hole < 0 && errno == ENXIO ? number(env, 0) : result_or_errno(env, hole);
}

enum { EXTENTS_PER_CALL = 256 };

struct extent_request {
  struct fiemap head;
  struct fiemap_extent extents[EXTENTS_PER_CALL];
};

// Extent record: 32 bytes.
struct extent_record {
  uint64_t logical;
  uint64_t physical;
  uint64_t length;
  uint32_t flags;
  uint32_t reserved;
};

static int map_extents(int fd, uint64_t start, uint64_t length, bool sync, size_t limit, struct run_list *list) {
  const uint64_t end = start + length;
  struct extent_request request;
  size_t count = 0;
  while (start < end) {
    memset(&request.head, 0, sizeof request.head);
    request.head.fm_start = start;
    request.head.fm_length = end - start;
    request.head.fm_flags = sync ? FIEMAP_FLAG_SYNC : 0;
    request.head.fm_extent_count = EXTENTS_PER_CALL;
    if (ioctl(fd, FS_IOC_FIEMAP, &request) < 0) return errno;
    const uint32_t mapped = request.head.fm_mapped_extents;
    if (mapped == 0) return 0;
    for (uint32_t i = 0; i < mapped && i < EXTENTS_PER_CALL; i++) {
      const struct fiemap_extent *extent = &request.extents[i];
      const struct extent_record record = {.logical = extent->fe_logical,
                                           .physical = extent->fe_physical,
                                           .length = extent->fe_length,
                                           .flags = extent->fe_flags};
      if (count++ >= limit) return EOVERFLOW;
      if (!append(list, &record, sizeof record)) return ENOMEM;
      if ((extent->fe_flags & FIEMAP_EXTENT_LAST) != 0) return 0;
      const uint64_t next = extent->fe_logical + extent->fe_length;
      // A map that does not advance would never end.
      if (next <= start) return EIO;
      start = next;
    }
    sync = false;
  }
  return 0;
}

static napi_value extent_map(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t fd;
  int64_t start, length, limit;
  bool sync;
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &fd) || !argument_i64(env, values[1], &start) ||
      !argument_i64(env, values[2], &length) || !argument_bool(env, values[3], &sync) ||
      !argument_i64(env, values[4], &limit)) {
    return NULL;
  }
  if (start < 0 || length < 0 || limit < 0) return range_error(env, "negative start, length or limit"), NULL;
  struct run_list list = {0};
  const int error = map_extents(fd, (uint64_t)start, (uint64_t)length, sync, (size_t)limit, &list);
  return finish(env, &list, error);
}

static napi_value allocate(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  uint32_t mode;
  int64_t offset, length;
  if (!arguments(env, info, 4, values) || !argument_i32(env, values[0], &fd) || !argument_u32(env, values[1], &mode) ||
      !argument_i64(env, values[2], &offset) || !argument_i64(env, values[3], &length)) {
    return NULL;
  }
  int result;
  unsigned tries = 0;
  do {
    result = fallocate(fd, (int)mode, offset, length);
  } while (result < 0 && (errno == EINTR || await_space(fd, (uint64_t)length, &tries)));
  return result_or_errno(env, result);
}

// What two files share, or are to share.
struct shared {
  int32_t from_fd, to_fd;
  int64_t from_offset, length, to_offset;
};

static bool shared_arguments(napi_env env, napi_callback_info info, struct shared *out) {
  napi_value values[5];
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &out->from_fd) ||
      !argument_i64(env, values[1], &out->from_offset) || !argument_i64(env, values[2], &out->length) ||
      !argument_i32(env, values[3], &out->to_fd) || !argument_i64(env, values[4], &out->to_offset)) {
    return false;
  }
  const bool is_negative = out->from_offset < 0 || out->length < 0 || out->to_offset < 0;
  return !is_negative || range_error(env, "negative offset or length");
}

static napi_value clone_range(napi_env env, napi_callback_info info) {
  struct shared shared;
  if (!shared_arguments(env, info, &shared)) return NULL;
  const struct file_clone_range range = {.src_fd = shared.from_fd,
                                         .src_offset = (uint64_t)shared.from_offset,
                                         .src_length = (uint64_t)shared.length,
                                         .dest_offset = (uint64_t)shared.to_offset};
  return result_or_errno(env, ioctl(shared.to_fd, FICLONERANGE, &range));
}

static napi_value start_writeback(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  return result_or_errno(env, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

static napi_value dedupe_range(napi_env env, napi_callback_info info) {
  struct shared shared;
  if (!shared_arguments(env, info, &shared)) return NULL;
  struct {
    struct file_dedupe_range head;
    struct file_dedupe_range_info to;
  } request = {
      .head = {.src_offset = (uint64_t)shared.from_offset, .src_length = (uint64_t)shared.length, .dest_count = 1},
      .to = {.dest_fd = shared.to_fd, .dest_offset = (uint64_t)shared.to_offset}};
  if (ioctl(shared.from_fd, FIDEDUPERANGE, &request) < 0) return negative_errno(env, errno);
  if (request.to.status < 0) return number(env, request.to.status);
  return number(env, request.to.status == FILE_DEDUPE_RANGE_SAME ? (double)request.to.bytes_deduped : 0);
}

static napi_value advise(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t fd;
  int64_t offset, length;
  uint32_t advice;
  if (!arguments(env, info, 4, values) || !argument_i32(env, values[0], &fd) ||
      !argument_i64(env, values[1], &offset) || !argument_i64(env, values[2], &length) ||
      !argument_u32(env, values[3], &advice)) {
    return NULL;
  }
  // It returns the errno instead of setting it.
  return negative_errno(env, posix_fadvise(fd, offset, length, (int)advice));
}

const struct method extent_methods[] = {
    {"dataMap", data_map},       {"firstHole", first_hole},   {"extentMap", extent_map}, {"allocate", allocate},
    {"cloneRange", clone_range}, {"dedupeRange", dedupe_range}, {"startWriteback", start_writeback}, {"advise", advise}, {NULL, NULL},
};
