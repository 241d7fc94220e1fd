// The hot path of verifying: rows beside members, in bytes. A plain entry is a file that stands in its block, a
// directory or a symlink whose row is simple and whose headers are exactly those that src/format/member.ts writes for
// that row. What is not plain is not wrong: TypeScript looks at it.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "digest.h"
#include "layout.h"
#include "row.h"

enum { BLOCK = 512, NAME = 100, PREFIX = 155, PATH = 4096 };

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
static const char extended_name[] = "PaxHeaders/";

// The member name of the directory that the rows are in, with its slash.
struct directory {
  uint8_t path[PATH];
  size_t length;
  // Of the entries in it.
  uint32_t depth;
  // The directory row before, which is entered when a child comes.
  struct row pending;
  bool has_pending;
};

struct block {
  struct bytes tar;
  struct bytes digests;
  size_t digests_at;
  bool checks_digests;
  struct directory directory;
};

static void put_octal(uint8_t *field, size_t digits, uint64_t value) {
  while (digits > 0) {
    field[--digits] = (uint8_t)('0' + (value & 7));
    value >>= 3;
  }
}

// A header whose numbers are 0, without name and checksum.
static void start_header(uint8_t *header, uint8_t type) {
  static const size_t short_fields[] = {AT_MODE, AT_UID, AT_GID, AT_MAJOR, AT_MINOR};
  memset(header, 0, BLOCK);
  for (size_t i = 0; i < sizeof short_fields / sizeof short_fields[0]; i++) memset(header + short_fields[i], '0', 7);
  memset(header + AT_SIZE, '0', 11);
  memset(header + AT_MTIME, '0', 11);
  memset(header + AT_SUM, ' ', 8);
  memcpy(header + AT_MAGIC, "ustar\00000", 8);
  header[AT_TYPE] = type;
}

static void finish_header(uint8_t *header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < BLOCK; i++) sum += header[i];
  put_octal(header + AT_SUM, 6, sum);
  header[AT_SUM + 6] = 0;
}

// Where a path of over 100 bytes is cut, as splitName() does; 0: it cannot be.
static size_t cut_of(const uint8_t *path, size_t length) {
  const size_t last = length - 2 < PREFIX ? length - 2 : PREFIX;
  for (size_t at = length - NAME - 1 > 0 ? length - NAME - 1 : 1; at <= last; at++) {
    if (path[at] == '/') return at;
  }
  return 0;
}

static bool put_path(uint8_t *header, const uint8_t *path, size_t length) {
  if (length <= NAME) {
    memcpy(header, path, length);
    return true;
  }
  const size_t cut = cut_of(path, length);
  if (cut == 0) return false;
  memcpy(header + AT_PREFIX, path, cut);
  memcpy(header, path + cut + 1, length - cut - 1);
  return true;
}

// `LENGTH mtime=SECONDS.FRACTION\n` without superfluous zeros; returns its length.
static size_t time_record(const struct row *row, char out[64]) {
  char body[48];
  int length = snprintf(body, sizeof body, " mtime=%" PRId64 ".%09" PRIu32, row->mtime, row->mtime_ns);
  while (body[length - 1] == '0') length--;
  const int whole = length + 1 + 2; // the newline, and the two digits that such a length has
  return (size_t)snprintf(out, 64, "%d%.*s\n", whole, length, body);
}

// Offset after the extended header at `offset`, if it is the one that carries just the row's time; 0: it is not. Any
// entry number will do.
static size_t pass_time(const struct bytes *tar, size_t offset, const struct row *row) {
  if (tar->length - offset < 2 * BLOCK) return 0;
  const uint8_t *found = tar->data + offset;
  const size_t start = sizeof extended_name - 1;
  size_t digits = 0;
  while (digits < 16 && found[start + digits] >= '0' && found[start + digits] <= '9') digits++;
  if (digits == 0 || (digits == 16 && found[start] == '9') || (digits > 1 && found[start] == '0')) return 0;
  char record[64];
  const size_t length = time_record(row, record);
  uint8_t header[BLOCK];
  start_header(header, 'x');
  memcpy(header, extended_name, start);
  memcpy(header + start, found + start, digits);
  put_octal(header + AT_MODE, 7, 0644);
  put_octal(header + AT_SIZE, 11, length);
  finish_header(header);
  if (memcmp(found, header, BLOCK) != 0 || memcmp(found + BLOCK, record, length) != 0) return 0;
  return all_zero(found + BLOCK + length, BLOCK - length) ? offset + 2 * BLOCK : 0;
}

// Offset after the headers of the row's member; 0: they are not those of a plain entry.
static size_t pass_headers(const struct bytes *tar, const struct row *row, const uint8_t *path, size_t path_length) {
  size_t offset = (size_t)row->offset;
  if (row->uid > short_max || row->gid > short_max || row->size > long_max || row->mtime < 0 ||
      (uint64_t)row->mtime > long_max || offset > tar->length) {
    return 0;
  }
  if (row->mtime_ns != 0) {
    offset = pass_time(tar, offset, row);
    if (offset == 0) return 0;
  }
  if (tar->length - offset < BLOCK) return 0;
  uint8_t header[BLOCK];
  start_header(header, (uint8_t)('0' + row->kind));
  if (!put_path(header, path, path_length)) return 0;
  put_octal(header + AT_MODE, 7, row->mode);
  put_octal(header + AT_UID, 7, row->uid);
  put_octal(header + AT_GID, 7, row->gid);
  if (row->kind == KIND_FILE) put_octal(header + AT_SIZE, 11, row->size);
  if (row->mtime_ns == 0) put_octal(header + AT_MTIME, 11, (uint64_t)row->mtime);
  if (row->kind == KIND_SYMLINK) {
    const size_t length = row->target_length;
    if (length > NAME || length != row->size || memchr(row->target, 0, length) != NULL) return 0;
    memcpy(header + AT_LINK, row->target, length);
  }
  finish_header(header);
  return memcmp(tar->data + offset, header, BLOCK) == 0 ? offset + BLOCK : 0;
}

// Moves to the directory of a row that is no root; false: it does not follow from the one before, or its path is longer
// than we hold.
static bool enter(struct directory *directory, const struct row *row) {
  if (directory->has_pending && row->depth > directory->pending.depth) {
    const size_t length = directory->pending.name_length;
    if (length + 1 > PATH - directory->length) return false;
    memcpy(directory->path + directory->length, directory->pending.name, length);
    directory->length += length;
    directory->path[directory->length++] = '/';
    directory->depth++;
  }
  for (; directory->depth > row->depth; directory->depth--) {
    if (directory->length == 0) return false;
    do directory->length--;
    while (directory->length > 0 && directory->path[directory->length - 1] != '/');
  }
  directory->has_pending = row->kind == KIND_DIRECTORY;
  if (directory->has_pending) directory->pending = *row;
  return directory->depth == row->depth;
}

// True when the entry is plain, and its digest right if it is asked for. Sets where its data stand.
static bool is_plain(const struct block *block, const struct row *row, const uint8_t *digest, double place[2]) {
  if (!row->simple || row->depth == 0 || (row->flags & (ROW_CONTINUED | ROW_SPARSE)) != 0) return false;
  if (row->kind != KIND_FILE && row->kind != KIND_DIRECTORY && row->kind != KIND_SYMLINK) return false;
  const struct directory *directory = &block->directory;
  uint8_t path[NAME + 1 + PREFIX];
  size_t length = directory->length + row->name_length;
  if (length + 1 > sizeof path) return false;
  memcpy(path, directory->path, directory->length);
  memcpy(path + directory->length, row->name, row->name_length);
  if (row->kind == KIND_DIRECTORY) path[length++] = '/';
  const size_t start = pass_headers(&block->tar, row, path, length);
  if (start == 0) return false;
  const size_t size = row->kind == KIND_FILE ? (size_t)row->size : 0;
  const size_t padding = (BLOCK - size % BLOCK) % BLOCK;
  const uint8_t *data = block->tar.data + start;
  const size_t left = block->tar.length - start;
  if (size > left || padding > left - size || !all_zero(data + size, padding)) return false;
  if (block->checks_digests && digest != NULL) {
    uint8_t found[DIGEST_BYTES];
    digest_file(data, size, found);
    if (memcmp(found, digest, DIGEST_BYTES) != 0) return false;
  }
  place[0] = (double)start;
  place[1] = (double)size;
  return true;
}

static bool has_member(const struct row *row) { return row->kind < KIND_SOCKET; }

// Number of plain rows. Rows behind what is no row are not plain.
static uint32_t compare(struct block *block, struct row_reader *reader, uint32_t count, const struct bytes *prefix,
                        double *places) {
  const uint64_t unknown = UINT64_MAX;
  uint64_t next = 0;
  uint32_t plain = 0;
  struct row row;
  for (uint32_t i = 0; i < count; i++) {
    if (!read_row(reader, &row)) break;
    if (row.depth == 0) {
      if (prefix->length > PATH) break;
      memcpy(block->directory.path, prefix->data, prefix->length);
      block->directory.length = prefix->length;
      block->directory.depth = 1;
      block->directory.has_pending = false;
    } else if (!enter(&block->directory, &row)) {
      break;
    }
    const uint8_t *digest = NULL;
    if ((row.flags & ROW_DIGEST) != 0) {
      if (block->digests.length - block->digests_at < DIGEST_BYTES) break;
      digest = block->digests.data + block->digests_at;
      block->digests_at += DIGEST_BYTES;
    }
    if (!has_member(&row)) continue;
    const bool in_place = next == unknown || row.offset == next;
    if (in_place && is_plain(block, &row, digest, places + 2 * (size_t)i)) {
      next = (uint64_t)(places[2 * (size_t)i] + places[2 * (size_t)i + 1] + BLOCK - 1) / BLOCK * BLOCK;
      plain++;
    } else {
      next = unknown;
    }
  }
  return plain;
}

static napi_value compare_plain(napi_env env, napi_callback_info info) {
  napi_value values[9];
  struct block block = {.checks_digests = false};
  struct bytes rows, parent, prefix;
  double *places;
  size_t place_count;
  uint32_t count;
  if (!arguments(env, info, 9, values) || !argument_bytes(env, values[0], &block.tar) ||
      !argument_bytes(env, values[1], &rows) || !argument_u32(env, values[2], &count) ||
      !argument_bytes(env, values[3], &block.digests) || !argument_bool(env, values[4], &block.checks_digests) ||
      !argument_bytes(env, values[5], &parent) || !argument_u32(env, values[6], &block.directory.depth) ||
      !argument_bytes(env, values[7], &prefix) || !argument_f64s(env, values[8], &places, &place_count)) {
    return NULL;
  }
  if (place_count / 2 < count) return range_error(env, "places holds too few"), NULL;
  memset(places, 0, (size_t)count * 2 * sizeof *places);
  if (parent.length > PATH) return number(env, 0);
  memcpy(block.directory.path, parent.data, parent.length);
  block.directory.length = parent.length;
  if (block.directory.depth == 0) block.directory.depth = 1;
  struct row_reader reader = {.at = rows.data, .end = rows.data + rows.length};
  return number(env, compare(&block, &reader, count, &prefix, places));
}

const struct method plain_methods[] = {
    {"comparePlain", compare_plain},
    {NULL, NULL},
};
