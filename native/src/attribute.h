// The path by which the attributes of an entry without descriptor are reached: there is no listxattrat before
// Linux 6.13, but /proc/self/fd/DIR/NAME leads to it whatever its depth, and the l* calls do not follow NAME.

#ifndef TSFSA_ATTRIBUTE_H
#define TSFSA_ATTRIBUTE_H

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

struct proc_path {
  char text[PATH_MAX + 32];
};

static inline void proc_path_of(int dir_fd, const char *name, struct proc_path *out) {
  if (dir_fd == AT_FDCWD) {
    snprintf(out->text, sizeof out->text, "%s", name);
  } else {
    snprintf(out->text, sizeof out->text, name[0] == 0 ? "/proc/self/fd/%d%s" : "/proc/self/fd/%d/%s", dir_fd, name);
  }
}

#endif
