// The order of catalog rows (RowOrder and Tree.enter in TypeScript), in bytes: for rows that ask for nothing but to be
// counted, and to be made where they stand.

#include <string.h>

#include "arguments.h"
#include "layout.h"
#include "row.h"

enum { PATH = 4096, NAME = 255 };

// Where the rows have come to.
struct position {
  // Member name of the directory, with its slash.
  uint8_t path[PATH];
  size_t length;
  // Of the entries in it.
  uint32_t depth;
  // Name of the entry before, if it stands in this directory.
  uint8_t last[NAME];
  size_t last_length;
};

// A root, a link, what links may point to, a part of a file, what was not whole when it was saved or has extras is more
// than a count.
static bool is_quiet(const struct row *row) {
  const uint8_t told = ROW_LINKED | ROW_CONTINUED | ROW_DAMAGED;
  return row->simple && row->depth > 0 && row->kind < KIND_SOCKET && (row->flags & told) == 0;
}

// Siblings ascend strictly.
static bool ascends(const uint8_t *before, size_t length, const struct row *row) {
  const size_t shared = length < row->name_length ? length : row->name_length;
  const int order = memcmp(before, row->name, shared);
  return order < 0 || (order == 0 && length < row->name_length);
}

static void set_last(struct position *position, const uint8_t *name, size_t length) {
  memcpy(position->last, name, length);
  position->last_length = length;
}

// Leaves the directory, which is then the last entry of its own one; false: there is none.
static bool leave(struct position *position) {
  if (position->length == 0) return false;
  size_t start = position->length - 1;
  while (start > 0 && position->path[start - 1] != '/') start--;
  const size_t length = position->length - 1 - start;
  if (length > NAME) return false;
  set_last(position, position->path + start, length);
  position->length = start;
  position->depth--;
  return true;
}

static bool follow(struct position *position, const struct row *row) {
  if (!is_quiet(row) || row->depth > position->depth) return false;
  while (position->depth > row->depth) {
    if (!leave(position)) return false;
  }
  if (position->last_length > 0 && !ascends(position->last, position->last_length, row)) return false;
  if (row->name_length + 1 > PATH - position->length) return false;
  set_last(position, row->name, row->name_length);
  if (row->kind != KIND_DIRECTORY) return true;
  memcpy(position->path + position->length, row->name, row->name_length);
  position->length += row->name_length;
  position->path[position->length++] = '/';
  position->depth++;
  position->last_length = 0;
  return true;
}

static napi_value follow_rows(napi_env env, napi_callback_info info) {
  napi_value values[7];
  struct bytes rows, path, last;
  uint32_t *lengths, *depths, *directories;
  size_t length_count, depth_count, directory_count;
  uint32_t count;
  if (!arguments(env, info, 7, values) || !argument_bytes(env, values[0], &rows) ||
      !argument_u32(env, values[1], &count) || !argument_bytes(env, values[2], &path) ||
      !argument_bytes(env, values[3], &last) || !argument_u32s(env, values[4], &lengths, &length_count) ||
      !argument_u32s(env, values[5], &depths, &depth_count) ||
      !argument_u32s(env, values[6], &directories, &directory_count)) {
    return NULL;
  }
  if (path.length != PATH || last.length != NAME || length_count != 3 || lengths[0] > PATH || lengths[2] > NAME) {
    return range_error(env, "no position"), NULL;
  }
  if (count > depth_count || count > directory_count / 2 || rows.length > UINT32_MAX) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  struct position position = {.length = lengths[0], .depth = lengths[1], .last_length = lengths[2]};
  memcpy(position.path, path.data, position.length);
  memcpy(position.last, last.data, position.last_length);
  struct row_reader reader = {.at = rows.data, .end = rows.data + rows.length};
  struct row row;
  uint64_t offset = 0;
  int32_t found = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t start = (uint32_t)(reader.at - rows.data);
    if (!read_row(&reader, &row) || row.offset < offset || !follow(&position, &row)) return number(env, -1);
    offset = row.offset + 512;
    depths[i] = row.depth;
    if (row.kind != KIND_DIRECTORY) continue;
    directories[2 * found] = i;
    directories[2 * found + 1] = start;
    found++;
  }
  if (reader.at != reader.end) return number(env, -1);
  memcpy(path.data, position.path, position.length);
  memcpy(last.data, position.last, position.last_length);
  lengths[0] = (uint32_t)position.length;
  lengths[1] = position.depth;
  lengths[2] = (uint32_t)position.last_length;
  return number(env, found);
}

static napi_value pass_rows(napi_env env, napi_callback_info info) {
  napi_value values[4];
  struct bytes content;
  uint32_t start, count, *found;
  size_t found_count;
  if (!arguments(env, info, 4, values) || !argument_bytes(env, values[0], &content) ||
      !argument_u32(env, values[1], &start) || !argument_u32(env, values[2], &count) ||
      !argument_u32s(env, values[3], &found, &found_count)) {
    return NULL;
  }
  if (start > content.length || content.length > UINT32_MAX || found_count != 2) {
    return range_error(env, "no place for what is found"), NULL;
  }
  struct row_reader reader = {.at = content.data + start, .end = content.data + content.length};
  found[0] = start;
  found[1] = 0;
  struct row row;
  uint32_t passed = 0;
  for (; passed < count && read_row(&reader, &row) && row.simple; passed++) {
    found[0] = (uint32_t)(reader.at - content.data);
    if ((row.flags & ROW_DIGEST) != 0) found[1]++;
  }
  return number(env, passed);
}

const struct method order_methods[] = {
    {"followRows", follow_rows},
    {"passRows", pass_rows},
    {NULL, NULL},
};
