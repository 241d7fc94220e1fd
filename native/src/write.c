#include "write.h"

#include <errno.h>
#include <unistd.h>

#include "space.h"

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
    } else if (errno != EINTR && !await_space(fd, piece, &tries)) {
      return errno;
    }
  }
  return 0;
}
