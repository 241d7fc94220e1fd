// ENOSPC that is not true for long.

#ifndef TSFSA_SPACE_H
#define TSFSA_SPACE_H

#include <stdbool.h>
#include <stdint.h>

// Tries after the first, 20 ms apart: three seconds.
enum { SPACE_TRIES = 150 };

// Whether a call that has failed (errno) is to be tried again: it said ENOSPC on an ext2, ext3 or ext4 that has space
// for `bytes`; returns after a pause then. `tries`: 0 before the first. errno stays as it is.
//
// These file systems take more blocks for a file than it needs yet, and give them back when it is closed. For the whole
// of a second (HZ) the closing thread can hold them all in its hands, and nobody else gets a block, however many statfs
// counts as free: it waits for a block that another thread gives back for it (ext4_discard_preallocations() in Linux
// fs/ext4/mballoc.c). Writeback of delayed data has such a loop in the kernel; all other callers must have their own.
bool await_space(int fd, uint64_t bytes, unsigned *tries);

#endif
