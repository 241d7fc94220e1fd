// Writing, for whole files and for parts of them.

#ifndef TSFSA_WRITE_H
#define TSFSA_WRITE_H

#include <stddef.h>
#include <stdint.h>

// Most that one call writes. The page cache takes its memory in runs as long as the data of a call, and long runs are
// dear: seldom are they memory that was used a moment ago (docs/PERFORMANCE.md).
enum { WRITE_PIECE = 64 * 1024 };

// Writes all of the data at `position`; < 0: where the descriptor stands. Returns 0 or the errno. A file that gets more
// than a piece should have its size before: xfs allocates ahead of what grows.
int write_all(int fd, const uint8_t *data, size_t length, int64_t position);

#endif
