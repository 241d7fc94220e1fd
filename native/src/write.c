#include "write.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

// How often a write is tried again that found no space where there is some, and the pause before each try.
#define ROOM_TRIES 10
#define ROOM_PAUSE_NS (10 * 1000 * 1000)
// Free bytes, beyond what is to be written, that make ENOSPC doubtful.
#define ROOM_LEAST (4 * 1024 * 1024)

// ext4 without delayed allocation (all of ext3) says ENOSPC now and then while another thread allocates, a third full or not. Waits a moment where there is room.
static bool has_room(int fd, size_t length) {
  struct statfs status;
  if (fstatfs(fd, &status) < 0) return false;
  const uint64_t blocks = geteuid() == 0 ? status.f_bfree : status.f_bavail;
  if (blocks < (length + ROOM_LEAST) / (uint64_t)status.f_bsize) return false;
  const struct timespec pause = {.tv_nsec = ROOM_PAUSE_NS};
  nanosleep(&pause, NULL);
  return true;
}

int write_all(int fd, const uint8_t *data, size_t length, int64_t position) {
  size_t done = 0;
  unsigned tries = 0;
  while (done < length) {
    const size_t piece = length - done < WRITE_PIECE ? length - done : WRITE_PIECE;
    const ssize_t put =
        position < 0 ? write(fd, data + done, piece) : pwrite(fd, data + done, piece, position + (int64_t)done);
    if (put >= 0) {
      done += (size_t)put;
      tries = 0;
    } else if (errno == ENOSPC && tries++ < ROOM_TRIES) {
      if (!has_room(fd, piece)) return ENOSPC;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}
