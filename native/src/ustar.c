#include "ustar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layout.h"

// Offsets of the fields (src/format/ustar.ts).
enum {
  AT_MODE = 100,
  AT_UID = 108,
  AT_GID = 116,
  AT_SIZE = 124,
  AT_MTIME = 136,
  AT_SUM = 148,
  AT_TYPE = 156,
  AT_LINK = 157,
  AT_MAGIC = 257,
  AT_MAJOR = 329,
  AT_MINOR = 337,
  AT_PREFIX = 345,
};

static const uint64_t short_max = (UINT64_C(1) << 21) - 1;
static const uint64_t long_max = (UINT64_C(1) << 33) - 1;

static void put_octal(uint8_t *field, size_t digits, uint64_t value) {
  while (digits > 0) {
    field[--digits] = (uint8_t)('0' + (value & 7));
    value >>= 3;
  }
}

// A header whose numbers are 0, without name and checksum.
static void start_header(uint8_t *header, uint8_t type) {
  static const size_t short_fields[] = {AT_MODE, AT_UID, AT_GID, AT_MAJOR, AT_MINOR};
  memset(header, 0, TAR_BLOCK);
  for (size_t i = 0; i < sizeof short_fields / sizeof short_fields[0]; i++) memset(header + short_fields[i], '0', 7);
  memset(header + AT_SIZE, '0', 11);
  memset(header + AT_MTIME, '0', 11);
  memset(header + AT_SUM, ' ', 8);
  memcpy(header + AT_MAGIC, "ustar\00000", 8);
  header[AT_TYPE] = type;
}

static void finish_header(uint8_t *header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += header[i];
  put_octal(header + AT_SUM, 6, sum);
  header[AT_SUM + 6] = 0;
}

// Where a path of over 100 bytes is cut, as splitName() does; 0: it cannot be.
static size_t cut_of(const uint8_t *path, size_t length) {
  const size_t last = length - 2 < TAR_PREFIX ? length - 2 : TAR_PREFIX;
  for (size_t at = length - TAR_NAME - 1 > 0 ? length - TAR_NAME - 1 : 1; at <= last; at++) {
    if (path[at] == '/') return at;
  }
  return 0;
}

static bool put_path(uint8_t *header, const uint8_t *path, size_t length) {
  if (length <= TAR_NAME) {
    memcpy(header, path, length);
    return true;
  }
  const size_t cut = cut_of(path, length);
  if (cut == 0) return false;
  memcpy(header + AT_PREFIX, path, cut);
  memcpy(header, path + cut + 1, length - cut - 1);
  return true;
}

bool ustar_header(uint8_t header[TAR_BLOCK], const struct row *row, const uint8_t *path, size_t path_length) {
  if (row->uid > short_max || row->gid > short_max || row->size > long_max || row->mtime < 0 ||
      (uint64_t)row->mtime > long_max) {
    return false;
  }
  start_header(header, (uint8_t)('0' + row->kind));
  if (!put_path(header, path, path_length)) return false;
  put_octal(header + AT_MODE, 7, row->mode);
  put_octal(header + AT_UID, 7, row->uid);
  put_octal(header + AT_GID, 7, row->gid);
  if (row->kind == KIND_FILE) put_octal(header + AT_SIZE, 11, row->size);
  if (row->mtime_ns == 0) put_octal(header + AT_MTIME, 11, (uint64_t)row->mtime);
  if (row->kind == KIND_SYMLINK) {
    const size_t length = row->target_length;
    if (length > TAR_NAME || length != row->size || memchr(row->target, 0, length) != NULL) return false;
    memcpy(header + AT_LINK, row->target, length);
  }
  finish_header(header);
  return true;
}

// `LENGTH mtime=SECONDS.FRACTION\n` without superfluous zeros.
size_t ustar_time_record(const struct row *row, char out[TAR_TIME_RECORD]) {
  char body[48];
  int length = snprintf(body, sizeof body, " mtime=%" PRId64 ".%09" PRIu32, row->mtime, row->mtime_ns);
  while (body[length - 1] == '0') length--;
  const int whole = length + 1 + 2; // the newline, and the two digits that such a length has
  return (size_t)snprintf(out, TAR_TIME_RECORD, "%d%.*s\n", whole, length, body);
}

void ustar_extended(uint8_t header[TAR_BLOCK], const uint8_t *digits, size_t count, size_t record_length) {
  start_header(header, 'x');
  memcpy(header, TAR_EXTENDED, TAR_DIGITS_AT);
  memcpy(header + TAR_DIGITS_AT, digits, count);
  put_octal(header + AT_MODE, 7, 0644);
  put_octal(header + AT_SIZE, 11, record_length);
  finish_header(header);
}
