#include "space.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_NS = 20 * 1000 * 1000 };

// Blocks that statfs counts as free and data never gets: ext4 keeps a fiftieth of all, at most 4096, for itself.
static uint64_t kept_blocks(const struct statfs *status) {
  const uint64_t share = (uint64_t)status->f_blocks / 32;
  return share < 4096 ? share : 4096;
}

static bool has_space(int fd, uint64_t bytes) {
  struct statfs status;
  if (fstatfs(fd, &status) < 0 || status.f_type != EXT4_SUPER_MAGIC || status.f_bsize <= 0) return false;
  const uint64_t needed = bytes / (uint64_t)status.f_bsize + 1;
  // What is reserved for root is told apart, what the file system keeps only where that is left out.
  if (geteuid() != 0) return status.f_bavail >= needed;
  return status.f_bfree >= needed + kept_blocks(&status);
}

bool await_space(int fd, uint64_t bytes, unsigned *tries) {
  if (errno != ENOSPC || *tries >= SPACE_TRIES) return false;
  const bool is_doubtful = has_space(fd, bytes);
  if (is_doubtful) {
    ++*tries;
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
  }
  errno = ENOSPC;
  return is_doubtful;
}
