// The hot path of saving: what a job needs to know of its entries in one call, and the content of its small files in
// another. The fewest system calls per file: open, fstat, three ioctls, flistxattr (and lseek where the extents do not tell); then pread and close.

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "arguments.h"
#include "attribute.h"
#include "digest.h"
#include "stat.h"

// What the file system last seen cannot do; an ioctl it refused is not tried again on it.
struct refusals {
  bool known;
  dev_t device;
  bool no_flags;
  bool no_project;
  // Extents may be shared, and FIEMAP is the only one to tell.
  bool is_btrfs;
};

// One record under construction in the caller's buffer.
struct output {
  struct gather_record record;
  uint8_t *data;
  size_t capacity;
  size_t length;
  bool full;
};

static bool unsupported(int error) {
  return error == ENOTTY || error == EOPNOTSUPP || error == EINVAL || error == ENOSYS;
}

// The error of a call that found another kind of object than the plan saw.
static int replaced(int error) {
  return error == ELOOP || error == ENXIO || error == ENOTDIR || error == ENODEV ? ESTALE : error;
}

static int open_quietly(int dir_fd, const char *name, int flags) {
  int fd;
  do {
    fd = openat(dir_fd, name, flags | O_NOATIME);
  } while (fd < 0 && errno == EINTR);
  // O_NOATIME is for the owner and CAP_FOWNER only.
  if (fd < 0 && errno == EPERM) {
    do {
      fd = openat(dir_fd, name, flags);
    } while (fd < 0 && errno == EINTR);
  }
  return fd;
}

static void take_flags(int fd, dev_t device, struct refusals *refusals, struct gather_record *record) {
  if (!refusals->known || refusals->device != device) {
    struct statfs found;
    const bool has_device = major(device) != 0;
    const bool is_btrfs = !has_device && fstatfs(fd, &found) == 0 && found.f_type == BTRFS_SUPER_MAGIC;
    *refusals = (struct refusals){.known = true, .device = device, .is_btrfs = is_btrfs};
  }
  if (!refusals->no_flags) {
    uint32_t flags = 0;
    if (ioctl(fd, KERNEL_GETFLAGS, &flags) == 0) {
      record->inodeFlags = flags;
    } else if (unsupported(errno)) {
      refusals->no_flags = true;
    } else {
      record->flagsError = (uint32_t)errno;
    }
  }
  if (!refusals->no_project) {
    struct kernel_fsxattr found = {0};
    if (ioctl(fd, KERNEL_FSGETXATTR, &found) == 0) {
      record->projectId = found.project_id;
    } else if (unsupported(errno)) {
      refusals->no_project = true;
    } else if (record->flagsError == 0) {
      record->flagsError = (uint32_t)errno;
    }
  }
}

static void attribute_failed(struct output *out, int error) {
  if (error != EOPNOTSUPP && out->record.attributeError == 0) out->record.attributeError = (uint32_t)error;
}

// Appends one attribute; sets out->full when it does not fit.
static void take_attribute(int fd, const char *path, const char *name, struct output *out) {
  const size_t name_length = strlen(name);
  const size_t head = 8 + name_length;
  // A value buffer of size 0 would only ask for the length.
  if (out->capacity - out->length <= head) {
    out->full = true;
    return;
  }
  uint8_t *at = out->data + out->length;
  size_t room = out->capacity - out->length - head;
  if (room > XATTR_SIZE_MAX) room = XATTR_SIZE_MAX;
  const ssize_t size = fd >= 0 ? fgetxattr(fd, name, at + head, room) : lgetxattr(path, name, at + head, room);
  if (size < 0) {
    // ENODATA: it was removed since the list was read.
    if (errno == ERANGE && room < XATTR_SIZE_MAX) {
      out->full = true;
    } else if (errno != ENODATA) {
      attribute_failed(out, errno);
    }
    return;
  }
  const uint16_t name_field[2] = {(uint16_t)name_length, 0};
  const uint32_t value_field = (uint32_t)size;
  memcpy(at, name_field, 4);
  memcpy(at + 4, &value_field, 4);
  memcpy(at + 8, name, name_length);
  out->length += head + (size_t)size;
  out->record.attributeBytes += (uint32_t)(head + (size_t)size);
  out->record.attributeCount++;
}

// The attributes of fd, or of path when fd is −1.
static void take_attributes(int fd, const char *path, struct output *out) {
  char names[XATTR_LIST_MAX + 1];
  const ssize_t length = fd >= 0 ? flistxattr(fd, names, XATTR_LIST_MAX) : llistxattr(path, names, XATTR_LIST_MAX);
  if (length < 0) {
    attribute_failed(out, errno);
    return;
  }
  names[length] = 0;
  for (const char *name = names; name < names + length && !out->full; name += strlen(name) + 1) {
    take_attribute(fd, path, name, out);
  }
}

static void take_status(const struct stat *status, struct gather_record *record) {
  record->ino = status->st_ino;
  record->sizeBytes = status->st_size;
  record->mtime = status->st_mtim.tv_sec;
  record->mtimeNs = (uint32_t)status->st_mtim.tv_nsec;
}

// Where a file's data is: the first hole, and whether extents may be unwritten or shared. The first extents usually tell all in one call. SEEK_DATA alone
// cannot: where pages of an unwritten extent are cached, it calls them data. File systems without a device of their own do not look at cached pages for
// that: there only space beyond the end is asked for, and on btrfs what is shared.
static void take_layout(int fd, const struct stat *status, bool is_btrfs, struct gather_record *record) {
  struct {
    struct fiemap head;
    struct fiemap_extent extents[8];
  } request;
  const bool has_device = major(status->st_dev) != 0;
  const bool ask = status->st_blocks > 0 && (has_device || is_btrfs || status->st_blocks * 512 > status->st_size + 4096);
  uint64_t covered = 0;
  if (ask) {
    memset(&request.head, 0, sizeof request.head);
    request.head.fm_length = FIEMAP_MAX_OFFSET;
    request.head.fm_extent_count = 8;
    if (ioctl(fd, FS_IOC_FIEMAP, &request) == 0) {
      const uint32_t count = request.head.fm_mapped_extents;
      bool whole = count < 8;
      for (uint32_t i = 0; i < count; i++) {
        const struct fiemap_extent *extent = &request.extents[i];
        if ((extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0) record->unwritten = 1;
        if ((extent->fe_flags & FIEMAP_EXTENT_SHARED) != 0) record->shared = 1;
        if ((extent->fe_flags & FIEMAP_EXTENT_LAST) != 0) whole = true;
        if (extent->fe_logical == covered) covered += extent->fe_length;
      }
      if (!whole) record->unwritten = record->shared = 1;
    }
  }
  if (status->st_size == 0) return;
  const bool is_dense = has_device && record->unwritten == 0 && covered >= (uint64_t)status->st_size;
  record->firstHole = is_dense ? status->st_size : lseek(fd, 0, SEEK_HOLE);
}

// A regular file; returns its descriptor or −1.
static int gather_file(int dir_fd, const char *name, struct refusals *refusals, struct output *out) {
  const int fd = open_quietly(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    out->record.error = (uint32_t)replaced(errno);
    return -1;
  }
  struct stat status;
  const int error = fstat(fd, &status) < 0 ? errno : S_ISREG(status.st_mode) ? 0 : ESTALE;
  if (error != 0) {
    out->record.error = (uint32_t)error;
    close(fd);
    return -1;
  }
  take_status(&status, &out->record);
  take_flags(fd, status.st_dev, refusals, &out->record);
  take_attributes(fd, NULL, out);
  take_layout(fd, &status, refusals->is_btrfs, &out->record);
  return fd;
}

// A directory; an empty name means dir_fd itself.
static void gather_directory(int dir_fd, const char *name, struct refusals *refusals, struct output *out) {
  int fd = dir_fd;
  if (name[0] != 0) fd = open_quietly(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) {
    out->record.error = (uint32_t)replaced(errno);
  } else {
    take_status(&status, &out->record);
    take_flags(fd, status.st_dev, refusals, &out->record);
    take_attributes(fd, NULL, out);
  }
  if (name[0] != 0 && fd >= 0) close(fd);
}

static void gather_symlink(int dir_fd, const char *name, struct output *out) {
  const size_t rest = out->capacity - out->length;
  const size_t room = rest < PATH_MAX ? rest : PATH_MAX;
  if (room == 0) {
    out->full = true;
    return;
  }
  const ssize_t length = readlinkat(dir_fd, name, (char *)out->data + out->length, room);
  if (length < 0) {
    // EINVAL: no longer a symlink.
    out->record.error = errno == EINVAL ? ESTALE : (uint32_t)errno;
  } else if ((size_t)length == room) {
    // It may have been cut.
    if (room < PATH_MAX) {
      out->full = true;
    } else {
      out->record.error = ENAMETOOLONG;
    }
  } else {
    out->record.linkLength = (uint32_t)length;
    out->length += (size_t)length;
    struct proc_path path;
    proc_path_of(dir_fd, name, &path);
    take_attributes(-1, path.text, out);
  }
}

static void gather_special(int dir_fd, const char *name, struct output *out) {
  struct proc_path path;
  proc_path_of(dir_fd, name, &path);
  take_attributes(-1, path.text, out);
}

// One entry. Returns its descriptor or −1; the record is in `out` unless out->full.
static int gather_entry(int dir_fd, uint8_t kind, const char *name, struct refusals *refusals, struct output *out) {
  int fd = -1;
  out->record.firstHole = -1;
  out->length = sizeof out->record;
  if (out->capacity < out->length) {
    out->full = true;
    return -1;
  }
  if (kind == KIND_DIRECTORY) {
    gather_directory(dir_fd, name, refusals, out);
  } else if (name[0] == 0) {
    out->record.error = EINVAL;
  } else if (kind == KIND_FILE) {
    fd = gather_file(dir_fd, name, refusals, out);
  } else if (kind == KIND_SYMLINK) {
    gather_symlink(dir_fd, name, out);
  } else if (kind == KIND_CHAR || kind == KIND_BLOCK || kind == KIND_FIFO || kind == KIND_SOCKET) {
    gather_special(dir_fd, name, out);
  } else {
    out->record.error = EINVAL;
  }
  const size_t padded = (out->length + 7) & ~(size_t)7;
  if (padded > out->capacity) out->full = true;
  if (out->full) return fd;
  memset(out->data + out->length, 0, padded - out->length);
  out->length = padded;
  out->record.length = (uint32_t)padded;
  memcpy(out->data, &out->record, sizeof out->record);
  return fd;
}

static void close_all(int32_t *fds, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (fds[i] >= 0) close(fds[i]);
    fds[i] = -1;
  }
}

static napi_value gather(napi_env env, napi_callback_info info) {
  napi_value values[6];
  int32_t *dir_fds, *fds;
  size_t dir_fd_count, fd_count;
  struct bytes names, out;
  size_t offset, count;
  if (!arguments(env, info, 6, values) || !argument_i32s(env, values[0], &dir_fds, &dir_fd_count) ||
      !argument_bytes(env, values[1], &names) ||
      !argument_range(env, values[2], values[3], SIZE_MAX, &offset, &count) ||
      !argument_bytes(env, values[4], &out) || !argument_i32s(env, values[5], &fds, &fd_count)) {
    return NULL;
  }
  if (count > dir_fd_count || count > fd_count) return range_error(env, "count is more than an array holds"), NULL;
  if (offset > names.length) return range_error(env, "offset outside of names"), NULL;
  for (size_t i = 0; i < count; i++) fds[i] = -1;

  struct refusals refusals = {0};
  char name[256];
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t rest = names.length - offset;
    const size_t length = rest < 2 ? 0 : names.data[offset + 1];
    if (rest < 2 || rest - 2 < length || memchr(names.data + offset + 2, 0, length) != NULL) {
      close_all(fds, i);
      return range_error(env, "names are cut or hold a NUL byte"), NULL;
    }
    memcpy(name, names.data + offset + 2, length);
    name[length] = 0;
    struct output output = {.data = out.data + used, .capacity = out.length - used};
    const int fd = gather_entry(dir_fds[i], names.data[offset], name, &refusals, &output);
    const uint32_t error = output.record.error;
    if (output.full || (i > 0 && (error == EMFILE || error == ENFILE))) {
      if (fd >= 0) close(fd);
      return i > 0 ? number(env, (double)i) : negative_errno(env, ENOSPC);
    }
    fds[i] = fd;
    used += output.length;
    offset += 2 + length;
  }
  return number(env, (double)count);
}

// Reads `size` bytes from the start; what is not read becomes zero. Returns the number read, or −errno.
static int64_t read_whole(int fd, uint8_t *data, size_t size) {
  size_t done = 0;
  int64_t result = 0;
  while (done < size) {
    const ssize_t got = pread(fd, data + done, size - done, (off_t)done);
    if (got == 0) break;
    if (got > 0) {
      done += (size_t)got;
    } else if (errno != EINTR) {
      result = -errno;
      break;
    }
  }
  if (done < size) memset(data + done, 0, size - done);
  return result < 0 ? result : (int64_t)done;
}

static napi_value read_files(napi_env env, napi_callback_info info) {
  napi_value values[8];
  int32_t *fds;
  double *sizes, *offsets, *status;
  size_t fd_count, size_count, offset_count, status_count;
  uint32_t count;
  struct bytes buffer, digests, stats;
  if (!arguments(env, info, 8, values) || !argument_i32s(env, values[0], &fds, &fd_count) ||
      !argument_f64s(env, values[1], &sizes, &size_count) || !argument_f64s(env, values[2], &offsets, &offset_count) ||
      !argument_u32(env, values[3], &count) || !argument_bytes(env, values[4], &buffer) ||
      !argument_bytes(env, values[5], &digests) || !argument_f64s(env, values[6], &status, &status_count) ||
      !argument_bytes(env, values[7], &stats)) {
    return NULL;
  }
  if (count > fd_count || count > size_count || count > offset_count || count > status_count ||
      (digests.length > 0 && count > digests.length / DIGEST_BYTES) ||
      (stats.length > 0 && count > stats.length / sizeof(struct stat_record))) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  // All ranges are checked before the first descriptor is consumed: a call that throws has changed nothing.
  for (size_t i = 0; i < count; i++) {
    if (fds[i] >= 0 && !range_within(offsets[i], sizes[i], buffer.length)) {
      return range_error(env, "range outside of buffer"), NULL;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (fds[i] < 0) continue;
    uint8_t *data = buffer.data + (size_t)offsets[i];
    const size_t size = (size_t)sizes[i];
    status[i] = (double)read_whole(fds[i], data, size);
    if (digests.length > 0) digest_file(data, size, digests.data + i * DIGEST_BYTES);
    if (stats.length > 0) stat_to_record(fds[i], "", stats.data + i * sizeof(struct stat_record));
    close(fds[i]);
    fds[i] = -1;
  }
  return number(env, 0);
}

const struct method gather_methods[] = {
    {"gather", gather},
    {"readFiles", read_files},
    {NULL, NULL},
};
