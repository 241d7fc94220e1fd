// The hot path of restoring: the plain files of a block in one call, from their catalog rows. Nothing that exists is
// opened, followed or replaced.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "digest.h"
#include "layout.h"
#include "row.h"
#include "space.h"
#include "write.h"

enum { NAME = 255 };

// What new files get by themselves, and what makes a file more than plain.
struct policy {
  uint32_t uid;
  uint32_t gid;
  uint32_t refused_flags;
};

struct outcome {
  int32_t error;
  uint8_t step;
  double ino;
};

// Keeps the first failure.
static void failed(struct outcome *outcome, uint8_t step, int error) {
  if (outcome->error != 0) return;
  outcome->error = error;
  outcome->step = step;
}

static void set_owner_and_mode(int fd, const struct row *row, const struct policy *policy, struct outcome *outcome) {
  mode_t mode = (mode_t)row->mode;
  const bool is_owned = row->uid == policy->uid && row->gid == policy->gid;
  if (!is_owned && fchown(fd, (uid_t)row->uid, (gid_t)row->gid) < 0) {
    failed(outcome, SCATTER_OWNER, errno);
    // A file that stays ours must not run as us.
    mode &= (mode_t)~(S_ISUID | S_ISGID);
  }
  if ((!is_owned || mode != 0600) && fchmod(fd, mode) < 0) failed(outcome, SCATTER_MODE, errno);
}

static void set_times(int fd, const struct row *row, struct outcome *outcome) {
  const struct timespec times[2] = {
      {.tv_sec = row->atime, .tv_nsec = row->atime_ns},
      {.tv_sec = row->mtime, .tv_nsec = row->mtime_ns},
  };
  if (futimens(fd, times) < 0) failed(outcome, SCATTER_TIMES, errno);
}

static struct outcome make_file(int dir_fd, const struct row *row, const uint8_t *data, size_t length,
                                const struct policy *policy) {
  struct outcome outcome = {.error = 0};
  char name[NAME + 1];
  memcpy(name, row->name, row->name_length);
  name[row->name_length] = 0;
  int fd;
  unsigned tries = 0;
  do {
    fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
  } while (fd < 0 && (errno == EINTR || await_space(dir_fd, 0, &tries)));
  if (fd < 0) {
    failed(&outcome, SCATTER_CREATE, errno);
    return outcome;
  }
  const bool is_sized = length <= WRITE_PIECE || ftruncate(fd, (off_t)length) == 0;
  const int error = is_sized ? write_all(fd, data, length, 0) : errno;
  if (error != 0) {
    failed(&outcome, SCATTER_WRITE, error);
    close(fd);
    unlinkat(dir_fd, name, 0);
    return outcome;
  }
  set_owner_and_mode(fd, row, policy, &outcome);
  struct stat status;
  if ((row->flags & ROW_LINKED) != 0 && fstat(fd, &status) == 0) outcome.ino = (double)status.st_ino;
  set_times(fd, row, &outcome);
  // NFS and quotas report a late write error here.
  if (close(fd) < 0 && errno != EINTR) failed(&outcome, SCATTER_CLOSE, errno);
  return outcome;
}

// A file that nothing has to be set of but owner, mode and times. Its name is one component (a simple row below a root).
static bool is_plain(const struct row *row, const struct policy *policy) {
  return row->simple && row->kind == KIND_FILE && (row->flags & (ROW_CONTINUED | ROW_SPARSE)) == 0 &&
         row->project_id == 0 && (row->inode_flags & policy->refused_flags) == 0;
}

static napi_value scatter(napi_env env, napi_callback_info info) {
  napi_value values[12];
  struct bytes tar, rows, digests, steps;
  struct policy policy;
  double *places, *inodes;
  int32_t *dir_fds, *errors;
  size_t place_count, fd_count, error_count, inode_count;
  uint32_t count;
  if (!arguments(env, info, 12, values) || !argument_bytes(env, values[0], &tar) ||
      !argument_bytes(env, values[1], &rows) || !argument_u32(env, values[2], &count) ||
      !argument_bytes(env, values[3], &digests) || !argument_f64s(env, values[4], &places, &place_count) ||
      !argument_i32s(env, values[5], &dir_fds, &fd_count) || !argument_u32(env, values[6], &policy.uid) ||
      !argument_u32(env, values[7], &policy.gid) || !argument_u32(env, values[8], &policy.refused_flags) ||
      !argument_bytes(env, values[9], &steps) || !argument_i32s(env, values[10], &errors, &error_count) ||
      !argument_f64s(env, values[11], &inodes, &inode_count)) {
    return NULL;
  }
  if (count > place_count / 2 || count > fd_count || count > steps.length || count > error_count ||
      count > inode_count) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  // All places are checked before the first file is made: a call that throws has changed nothing.
  for (size_t i = 0; i < count; i++) {
    if (!range_within(places[2 * i], places[2 * i + 1], tar.length)) {
      return range_error(env, "a place outside of tar"), NULL;
    }
  }
  struct row_reader reader = {.at = rows.data, .end = rows.data + rows.length};
  size_t digests_at = 0;
  uint32_t told = 0;
  for (size_t i = 0; i < count; i++) {
    struct row row;
    struct outcome outcome = {.step = SCATTER_LEFT};
    const bool is_row = read_row(&reader, &row);
    const uint8_t *digest = NULL;
    if (is_row && (row.flags & ROW_DIGEST) != 0 && digests.length - digests_at >= DIGEST_BYTES) {
      digest = digests.data + digests_at;
      digests_at += DIGEST_BYTES;
    }
    const size_t length = (size_t)places[2 * i + 1];
    const bool is_wanted = dir_fds[i] >= 0 && places[2 * i] > 0;
    if (is_row && is_wanted && is_plain(&row, &policy) && row.size == length) {
      const uint8_t *data = tar.data + (size_t)places[2 * i];
      outcome = make_file(dir_fds[i], &row, data, length, &policy);
      uint8_t found[DIGEST_BYTES];
      if (digest != NULL) digest_file(data, length, found);
      if (digest != NULL && memcmp(found, digest, DIGEST_BYTES) != 0) outcome.step |= SCATTER_OTHER_DIGEST;
      if (outcome.step != 0 || (row.flags & ROW_LINKED) != 0) told++;
    } else if (dir_fds[i] >= 0) {
      told++;
    }
    steps.data[i] = outcome.step;
    errors[i] = outcome.error;
    inodes[i] = outcome.ino;
  }
  return number(env, told);
}

const struct method scatter_methods[] = {
    {"scatter", scatter},
    {NULL, NULL},
};
