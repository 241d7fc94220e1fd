// Names of a directory in a stable order, and statx of many of them per call.

#include <dirent.h>
#include <stdlib.h>

#include "arguments.h"
#include "stat.h"

// struct linux_dirent64 (getdents64(2)).
struct kernel_dirent {
  uint64_t ino;
  int64_t offset;
  uint16_t record_length;
  uint8_t type;
  char name[];
};

// Entries as u8 type, u8 length, name, in the order the kernel gave them.
struct listing {
  uint8_t *data;
  size_t length;
  size_t capacity;
  size_t count;
};

static int append(struct listing *list, uint8_t type, const char *name) {
  const size_t length = strlen(name);
  if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) return 0;
  if (length == 0) return EUCLEAN;
  if (length > 255) return ENAMETOOLONG;
  if (list->data == NULL || list->capacity - list->length < length + 2) {
    const size_t capacity = list->capacity == 0 ? 4096 : list->capacity * 2;
    uint8_t *grown = realloc(list->data, capacity);
    if (grown == NULL) return ENOMEM;
    list->data = grown;
    list->capacity = capacity;
  }
  uint8_t *entry = list->data + list->length;
  entry[0] = type;
  entry[1] = (uint8_t)length;
  memcpy(entry + 2, name, length);
  list->length += length + 2;
  list->count++;
  return 0;
}

static int read_names(int fd, struct listing *list) {
  _Alignas(8) char buffer[32768];
  if (lseek(fd, 0, SEEK_SET) < 0) return errno;
  for (;;) {
    const long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (got < 0) return errno;
    if (got == 0) return 0;
    for (long at = 0; at < got;) {
      const struct kernel_dirent *entry = (const void *)(buffer + at);
      const int error = append(list, entry->type, entry->name);
      if (error != 0) return error;
      at += entry->record_length;
    }
  }
}

static int by_name(const void *left, const void *right) {
  const uint8_t *a = *(const uint8_t *const *)left;
  const uint8_t *b = *(const uint8_t *const *)right;
  const int order = memcmp(a + 2, b + 2, a[1] < b[1] ? a[1] : b[1]);
  return order != 0 ? order : (int)a[1] - (int)b[1];
}

// A copy of the listing in the order of the name bytes, or NULL with an exception pending or *error set.
static napi_value sorted(napi_env env, const struct listing *list, int *error) {
  if (list->count == 0) return new_bytes(env, NULL, 0);
  const uint8_t **entries = malloc(list->count * sizeof *entries);
  if (entries == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  size_t at = 0;
  for (size_t i = 0; i < list->count; i++) {
    entries[i] = list->data + at;
    at += 2u + list->data[at + 1];
  }
  qsort(entries, list->count, sizeof *entries, by_name);
  void *memory;
  napi_value buffer, result = NULL;
  if (napi_create_arraybuffer(env, list->length, &memory, &buffer) == napi_ok &&
      napi_create_typedarray(env, napi_uint8_array, list->length, buffer, 0, &result) == napi_ok) {
    uint8_t *to = memory;
    for (size_t i = 0; i < list->count; i++) {
      memcpy(to, entries[i], 2u + entries[i][1]);
      to += 2u + entries[i][1];
    }
  }
  free(entries);
  return result;
}

static napi_value read_directory(napi_env env, napi_callback_info info) {
  napi_value values[1];
  int32_t fd;
  if (!arguments(env, info, 1, values) || !argument_i32(env, values[0], &fd)) return NULL;
  struct listing list = {0};
  int error = read_names(fd, &list);
  napi_value result = error == 0 ? sorted(env, &list, &error) : NULL;
  free(list.data);
  return error == 0 ? result : negative_errno(env, error);
}

static napi_value stat_names(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t dir_fd;
  struct bytes names, out;
  size_t offset, count;
  if (!arguments(env, info, 5, values) || !argument_i32(env, values[0], &dir_fd) ||
      !argument_bytes(env, values[1], &names) || !argument_bytes(env, values[4], &out) ||
      !argument_range(env, values[2], values[3], SIZE_MAX, &offset, &count)) {
    return NULL;
  }
  if (count > out.length / sizeof(struct stat_record)) return range_error(env, "out holds too few records"), NULL;
  if (offset > names.length) return range_error(env, "offset outside of names"), NULL;
  char name[256];
  for (size_t i = 0; i < count && offset < names.length; i++) {
    if (names.length - offset < 2 || names.length - offset - 2 < names.data[offset + 1]) {
      return range_error(env, "names are cut"), NULL;
    }
    const size_t length = names.data[offset + 1];
    memcpy(name, names.data + offset + 2, length);
    name[length] = 0;
    // An empty name would mean the directory itself; one with NUL another file. Neither comes from readDirectory.
    if (length == 0 || memchr(name, 0, length) != NULL) return range_error(env, "illegal name"), NULL;
    stat_to_record(dir_fd, name, out.data + i * sizeof(struct stat_record));
    offset += 2 + length;
  }
  return number(env, (double)offset);
}

const struct method directory_methods[] = {
    {"readDirectory", read_directory},
    {"statNames", stat_names},
    {NULL, NULL},
};
