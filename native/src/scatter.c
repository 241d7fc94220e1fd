// The hot path of restoring: many plain files in one call. Nothing that exists is opened, followed or replaced.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "digest.h"
#include "layout.h"

enum step { STEP_CREATE = 1, STEP_WRITE = 2, STEP_OWNER = 3, STEP_MODE = 4, STEP_TIMES = 5, STEP_CLOSE = 6 };

struct outcome {
  int32_t error;
  uint8_t step;
  int fd;
  double ino;
};

// Keeps the first failure.
static void failed(struct outcome *outcome, enum step step, int error) {
  if (outcome->error != 0) return;
  outcome->error = error;
  outcome->step = step;
}

static int write_all(int fd, const uint8_t *data, size_t length) {
  size_t done = 0;
  while (done < length) {
    const ssize_t put = write(fd, data + done, length - done);
    if (put >= 0) {
      done += (size_t)put;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

static void set_owner_and_mode(int fd, const struct scatter_record *record, struct outcome *outcome) {
  mode_t mode = record->mode & 07777;
  bool chowned = false;
  if ((record->flags & SCATTER_SKIP_OWNER) == 0 &&
      (record->uid != record->defaultUid || record->gid != record->defaultGid)) {
    chowned = true;
    if (fchown(fd, record->uid, record->gid) < 0) {
      failed(outcome, STEP_OWNER, errno);
      // A file that stays ours must not run as us.
      mode &= (mode_t)~(S_ISUID | S_ISGID);
    }
  }
  if ((record->flags & SCATTER_KEEP_OPEN) != 0) return;
  if ((chowned || mode != 0600) && fchmod(fd, mode) < 0) failed(outcome, STEP_MODE, errno);
}

static void set_times(int fd, const struct scatter_record *record, struct outcome *outcome) {
  const struct timespec times[2] = {
      {.tv_sec = record->atime, .tv_nsec = record->atimeNs},
      {.tv_sec = record->mtime, .tv_nsec = record->mtimeNs},
  };
  if (futimens(fd, times) < 0) failed(outcome, STEP_TIMES, errno);
}

static struct outcome scatter_file(const struct scatter_record *record, const char *name, const uint8_t *data) {
  struct outcome outcome = {.fd = -1};
  int fd;
  do {
    fd = openat(record->dirFd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    failed(&outcome, STEP_CREATE, errno);
    return outcome;
  }
  const int error = write_all(fd, data, (size_t)record->dataLength);
  if (error != 0) {
    failed(&outcome, STEP_WRITE, error);
    close(fd);
    unlinkat(record->dirFd, name, 0);
    return outcome;
  }
  set_owner_and_mode(fd, record, &outcome);
  struct stat status;
  if ((record->flags & SCATTER_WANT_INODE) != 0 && fstat(fd, &status) == 0) outcome.ino = (double)status.st_ino;
  if ((record->flags & SCATTER_KEEP_OPEN) != 0) {
    outcome.fd = fd;
    return outcome;
  }
  if ((record->flags & SCATTER_SKIP_TIMES) == 0) set_times(fd, record, &outcome);
  // NFS and quotas report a late write error here.
  if (close(fd) < 0 && errno != EINTR) failed(&outcome, STEP_CLOSE, errno);
  return outcome;
}

// The record's name with its NUL; false when it does not lie in `names` or holds a NUL.
static bool name_of(const struct scatter_record *record, const struct bytes *names, char name[256]) {
  if (record->nameOffset >= names->length) return false;
  const size_t length = names->data[record->nameOffset];
  if (length > names->length - record->nameOffset - 1) return false;
  memcpy(name, names->data + record->nameOffset + 1, length);
  name[length] = 0;
  return memchr(name, 0, length) == NULL;
}

// One component, so that a name of an archive leads nowhere but into its directory.
static bool single_component(const char *name) {
  return name[0] != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

static napi_value scatter(napi_env env, napi_callback_info info) {
  napi_value values[9];
  struct bytes records, names, buffer, steps, digests;
  int32_t *status, *fds;
  double *inodes;
  size_t status_count, fd_count, inode_count;
  uint32_t count;
  if (!arguments(env, info, 9, values) || !argument_bytes(env, values[0], &records) ||
      !argument_u32(env, values[1], &count) || !argument_bytes(env, values[2], &names) ||
      !argument_bytes(env, values[3], &buffer) || !argument_i32s(env, values[4], &status, &status_count) ||
      !argument_bytes(env, values[5], &steps) || !argument_i32s(env, values[6], &fds, &fd_count) ||
      !argument_f64s(env, values[7], &inodes, &inode_count) || !argument_bytes(env, values[8], &digests)) {
    return NULL;
  }
  if (count > records.length / sizeof(struct scatter_record) || count > status_count || count > steps.length ||
      count > fd_count || count > inode_count) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  struct scatter_record record;
  char name[256];
  // All records are checked before the first file is made: a call that throws has changed nothing.
  for (size_t i = 0; i < count; i++) {
    memcpy(&record, records.data + i * sizeof record, sizeof record);
    if (!name_of(&record, &names, name)) return range_error(env, "illegal name offset or name"), NULL;
    if (!range_within(record.dataOffset, record.dataLength, buffer.length)) {
      return range_error(env, "data outside of buffer"), NULL;
    }
    if ((record.flags & SCATTER_DIGEST) != 0 && (i + 1) * DIGEST_BYTES > digests.length) {
      return range_error(env, "digests holds too few"), NULL;
    }
  }
  for (size_t i = 0; i < count; i++) {
    memcpy(&record, records.data + i * sizeof record, sizeof record);
    name_of(&record, &names, name);
    const uint8_t *data = buffer.data + (size_t)record.dataOffset;
    struct outcome outcome = {.error = EINVAL, .step = STEP_CREATE, .fd = -1};
    if (single_component(name)) outcome = scatter_file(&record, name, data);
    status[i] = outcome.error;
    steps.data[i] = outcome.step;
    fds[i] = outcome.fd;
    inodes[i] = outcome.ino;
    if ((record.flags & SCATTER_DIGEST) != 0) {
      digest_file(data, (size_t)record.dataLength, digests.data + i * DIGEST_BYTES);
    }
  }
  return number(env, 0);
}

const struct method scatter_methods[] = {
    {"scatter", scatter},
    {NULL, NULL},
};
