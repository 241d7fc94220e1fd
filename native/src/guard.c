// The guard: a process that takes hold of file systems (frozen, read-only, suspended) and gives each back when it is asked to, when its
// time is over, or when nobody holds the other end of its socket any more. It makes system calls and nothing else, so neither a busy event
// loop nor the death of the process that started it keeps a file system frozen.

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "arguments.h"
#include "kernel.h"

enum { ITEMS_MAX = 64, FREEZE = 0, READ_ONLY = 1, SUSPEND = 2 };

struct item {
  int32_t kind;
  int32_t fd;
  bool held;
  char name[DM_NAME_LEN];
};

// Messages to the parent: all fields little-endian, as the machine has them.
enum { HELD = 1, FAILED = 2, RELEASED = 3, DONE = 4 };
struct message {
  uint32_t event;
  // HELD, DONE: 0 asked, 1 time over, 2 nobody there. FAILED, RELEASED: number of the item.
  uint32_t subject;
  int32_t error;
  uint32_t reserved;
  // CLOCK_REALTIME, nanoseconds.
  uint64_t when;
};

// include/uapi/linux/mount.h (fspick(2), Linux 5.2).
enum { KERNEL_FSPICK_CLOEXEC = 1, KERNEL_FSPICK_EMPTY_PATH = 8, KERNEL_FSCONFIG_SET_FLAG = 0, KERNEL_FSCONFIG_CMD_RECONFIGURE = 7 };

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int64_t monotonic_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void tell(int socket, uint32_t event, uint32_t subject, int error) {
  const struct message message = {.event = event, .subject = subject, .error = error, .when = now()};
  // The parent may be gone; small messages never fill a socket.
  (void)!send(socket, &message, sizeof message, MSG_NOSIGNAL);
}

// 0 or errno. Sets or clears read-only of the file system itself, not of one mount.
static int reconfigure(int fd, const char *flag) {
  const int context = (int)syscall(SYS_fspick, fd, "", KERNEL_FSPICK_CLOEXEC | KERNEL_FSPICK_EMPTY_PATH);
  if (context < 0) return errno;
  long result = syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_SET_FLAG, flag, NULL, 0);
  if (result == 0) result = syscall(SYS_fsconfig, context, KERNEL_FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
  const int error = result < 0 ? errno : 0;
  close(context);
  return error;
}

// 0 or errno. DM_DEV_SUSPEND with flags 0 resumes, and activates a table that was loaded.
static int device_mapper(const char *name, unsigned long request, uint32_t flags) {
  const int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
  if (control < 0) return errno;
  struct dm_ioctl argument;
  memset(&argument, 0, sizeof argument);
  argument.version[0] = DM_VERSION_MAJOR;
  argument.data_size = sizeof argument;
  argument.data_start = sizeof argument;
  argument.flags = flags;
  memcpy(argument.name, name, DM_NAME_LEN);
  const int error = ioctl(control, request, &argument) < 0 ? errno : 0;
  close(control);
  return error;
}

static int hold(const struct item *item) {
  switch (item->kind) {
    case FREEZE:
      return ioctl(item->fd, FIFREEZE, 0) < 0 ? errno : 0;
    case READ_ONLY:
      return reconfigure(item->fd, "ro");
    default:
      return device_mapper(item->name, DM_DEV_SUSPEND, DM_SUSPEND_FLAG);
  }
}

// keep: a table loaded into a suspended device is what was wanted; otherwise it is dropped before the device goes on.
static int release(const struct item *item, bool keep) {
  switch (item->kind) {
    case FREEZE:
      return ioctl(item->fd, FITHAW, 0) < 0 ? errno : 0;
    case READ_ONLY:
      return reconfigure(item->fd, "rw");
    default:
      if (!keep) device_mapper(item->name, DM_TABLE_CLEAR, 0);
      return device_mapper(item->name, DM_DEV_SUSPEND, 0);
  }
}

static void release_all(int socket, struct item *items, uint32_t count, bool keep) {
  for (uint32_t i = count; i-- > 0;) {
    if (!items[i].held) continue;
    tell(socket, RELEASED, i, release(&items[i], keep));
    items[i].held = false;
  }
}

// Closes every descriptor but those of the items and the socket.
static void close_others(int socket, const struct item *items, uint32_t count) {
  unsigned int from = 0;
  for (;;) {
    unsigned int next = ~0u;
    if ((unsigned int)socket >= from) next = (unsigned int)socket;
    for (uint32_t i = 0; i < count; i++) {
      if (items[i].fd >= 0 && (unsigned int)items[i].fd >= from && (unsigned int)items[i].fd < next) {
        next = (unsigned int)items[i].fd;
      }
    }
    if (next > from) syscall(SYS_close_range, from, next - 1, 0);
    if (next == ~0u) return;
    from = next + 1;
  }
}

// A byte `k` (keep) or `u` (undo) from the parent; end of file: nobody holds the other end.
static void guard(int socket, struct item *items, uint32_t count, int64_t timeout_ms) {
  for (uint32_t i = 0; i < count; i++) {
    // What is written out before the freeze is not waited for within it.
    if (items[i].fd >= 0 && items[i].kind != READ_ONLY) syncfs(items[i].fd);
  }
  const int64_t deadline = monotonic_ms() + timeout_ms;
  for (uint32_t i = 0; i < count; i++) {
    const int error = hold(&items[i]);
    if (error != 0) {
      release_all(socket, items, i, false);
      tell(socket, FAILED, i, error);
      return;
    }
    items[i].held = true;
  }
  tell(socket, HELD, 0, 0);
  uint32_t reason = 1;
  char command = 'u';
  for (;;) {
    const int64_t left = timeout_ms == 0 ? -1 : deadline - monotonic_ms();
    if (timeout_ms != 0 && left <= 0) break;
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    const int ready = poll(&wait, 1, left > 1000000 ? 1000000 : (int)left);
    if (ready < 0 && errno != EINTR) break;
    if (ready <= 0) continue;
    reason = read(socket, &command, 1) == 1 ? 0 : 2;
    if (reason == 2) command = 'u';
    break;
  }
  release_all(socket, items, count, command == 'k');
  tell(socket, DONE, reason, 0);
}

// The grandchild of the caller: nobody waits for it, and no signal meant for the caller reaches it.
static void become_guard(int socket, struct item *items, uint32_t count, int64_t timeout_ms) {
  setsid();
  if (fork() != 0) _exit(0);
  close_others(socket, items, count);
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    (void)!write(score, "-1000", 5);
    close(score);
  }
  (void)!chdir("/");
  guard(socket, items, count, timeout_ms);
  _exit(0);
}

static void ignore_signals(void) {
  for (int signal = 1; signal < 32; signal++) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ? SIG_DFL : SIG_IGN;
    sigaction(signal, &action, NULL);
  }
}

static bool argument_items(napi_env env, napi_value *values, struct item *items, uint32_t *count) {
  int32_t *kinds, *fds;
  size_t kinds_length, fds_length;
  uint32_t names_length;
  if (!argument_i32s(env, values[0], &kinds, &kinds_length) || !argument_i32s(env, values[1], &fds, &fds_length)) {
    return false;
  }
  if (napi_get_array_length(env, values[2], &names_length) != napi_ok) {
    napi_throw_type_error(env, NULL, "expected an array of names");
    return false;
  }
  if (kinds_length == 0 || kinds_length > ITEMS_MAX || fds_length != kinds_length || names_length != kinds_length) {
    return range_error(env, "expected 1 to 64 kinds, descriptors and names");
  }
  *count = (uint32_t)kinds_length;
  for (uint32_t i = 0; i < *count; i++) {
    napi_value name;
    memset(&items[i], 0, sizeof items[i]);
    items[i].kind = kinds[i];
    items[i].fd = fds[i];
    if (napi_get_element(env, values[2], i, &name) != napi_ok ||
        !argument_string(env, name, items[i].name, sizeof items[i].name)) {
      return false;
    }
  }
  return true;
}

static napi_value start_guard(napi_env env, napi_callback_info info) {
  napi_value values[4];
  static _Thread_local struct item items[ITEMS_MAX];
  uint32_t count = 0;
  int64_t timeout_ms = 0;
  if (!arguments(env, info, 4, values) || !argument_items(env, values, items, &count) ||
      !argument_i64(env, values[3], &timeout_ms)) {
    return NULL;
  }
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return negative_errno(env, errno);
  // Handlers are those of the caller until the child has dropped them: no signal may arrive in between.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t child = fork();
  if (child == 0) {
    ignore_signals();
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    become_guard(pair[1], items, count, timeout_ms);
  }
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(pair[1]);
  if (child < 0) {
    close(pair[0]);
    return negative_errno(env, error);
  }
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
  }
  return number(env, pair[0]);
}

const struct method guard_methods[] = {{"startGuard", start_guard}, {NULL, NULL}};
