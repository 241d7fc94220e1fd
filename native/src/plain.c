// The hot path of verifying: rows beside members, in bytes. A plain entry is a file that stands in its block, a
// directory or a symlink whose row is simple and whose headers are exactly those that src/format/member.ts writes for
// that row. What is not plain is not wrong: TypeScript looks at it.

#include <string.h>

#include "arguments.h"
#include "digest.h"
#include "layout.h"
#include "row.h"
#include "ustar.h"

enum { PATH = 4096 };

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

// Offset after the extended header at `offset`, if it is the one that carries just the row's time; 0: it is not. Any
// entry number will do.
static size_t pass_time(const struct bytes *tar, size_t offset, const struct row *row) {
  if (tar->length - offset < 2 * TAR_BLOCK) return 0;
  const uint8_t *found = tar->data + offset;
  const uint8_t *number = found + TAR_DIGITS_AT;
  size_t digits = 0;
  while (digits < TAR_DIGITS && number[digits] >= '0' && number[digits] <= '9') digits++;
  if (digits == 0 || (digits == TAR_DIGITS && number[0] == '9') || (digits > 1 && number[0] == '0')) return 0;
  char record[TAR_TIME_RECORD];
  const size_t length = ustar_time_record(row, record);
  uint8_t header[TAR_BLOCK];
  ustar_extended(header, number, digits, length);
  if (memcmp(found, header, TAR_BLOCK) != 0 || memcmp(found + TAR_BLOCK, record, length) != 0) return 0;
  return all_zero(found + TAR_BLOCK + length, TAR_BLOCK - length) ? offset + 2 * TAR_BLOCK : 0;
}

// Offset after the headers of the row's member; 0: they are not those of a plain entry.
static size_t pass_headers(const struct bytes *tar, const struct row *row, const uint8_t *path, size_t path_length) {
  uint8_t header[TAR_BLOCK];
  size_t offset = (size_t)row->offset;
  if (offset > tar->length || !ustar_header(header, row, path, path_length)) return 0;
  if (row->mtime_ns != 0) {
    offset = pass_time(tar, offset, row);
    if (offset == 0) return 0;
  }
  if (tar->length - offset < TAR_BLOCK) return 0;
  return memcmp(tar->data + offset, header, TAR_BLOCK) == 0 ? offset + TAR_BLOCK : 0;
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
  uint8_t path[TAR_PATH];
  size_t length = directory->length + row->name_length;
  if (length + 1 > sizeof path) return false;
  memcpy(path, directory->path, directory->length);
  memcpy(path + directory->length, row->name, row->name_length);
  if (row->kind == KIND_DIRECTORY) path[length++] = '/';
  const size_t start = pass_headers(&block->tar, row, path, length);
  if (start == 0) return false;
  const size_t size = row->kind == KIND_FILE ? (size_t)row->size : 0;
  const size_t padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
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
      next = (uint64_t)(places[2 * (size_t)i] + places[2 * (size_t)i + 1] + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
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
