// The hot path of saving, between opening entries and reading them: headers and catalog rows of plain entries, one after
// the other in the block. Plain are files that stand in one block and directories, without attributes, holes or anything
// to tell of them, whose numbers and times fit a header. What is not plain the caller places itself, to the same rules.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "kernel.h"
#include "layout.h"
#include "row.h"
#include "ustar.h"

// Where placing has come to (placeLayout of src/sys/layout.ts).
enum { STATE_AT, STATE_END, STATE_ROWS, STATE_FILES, STATE_BYTES, STATE_ROOM, STATE_COUNT };

// Inode of the directories that stand for subvolumes in a snapshot; their times are none of their own.
static const uint64_t placeholder_inode = 2;
// Seconds; what is beyond is rare enough for the other way.
static const int64_t time_max = UINT32_MAX;
static const uint32_t second_ns = 1000000000;

struct input {
  struct bytes entries;
  uint32_t *starts;
  uint32_t count;
  int64_t first_entry;
  struct bytes gathered;
  int32_t *positions;
  int32_t *fds;
  struct bytes left;
  struct bytes dir_paths;
  uint32_t *dir_path_ends;
  size_t dir_count;
  struct bytes tar;
  int64_t largest;
  size_t full;
};

struct output {
  struct bytes rows;
  int32_t *fds;
  double *sizes;
  double *offsets;
};

static bool plain_time(int64_t seconds, uint32_t nanoseconds) {
  return seconds >= 0 && seconds <= time_max && nanoseconds < second_ns;
}

// The row of entry `i`, without its offset; false: it is not plain.
static bool take_row(const struct input *in, uint32_t i, struct row *row, uint32_t *directory) {
  struct entry_record entry;
  struct gather_record found;
  const size_t start = in->starts[i];
  if (in->left.data[i] != 0 || in->positions[i] < 0) return false;
  if (in->entries.length < sizeof entry || start > in->entries.length - sizeof entry) return false;
  memcpy(&entry, in->entries.data + start, sizeof entry);
  const size_t position = (size_t)in->positions[i];
  if (in->gathered.length < sizeof found || position > in->gathered.length - sizeof found) return false;
  memcpy(&found, in->gathered.data + position, sizeof found);
  const struct stat_record *stat = &entry.stat;
  if (found.error != 0 || found.attributeCount != 0 || found.attributeError != 0 || found.flagsError != 0) return false;
  if (entry.nameLength == 0 || entry.nameLength > in->entries.length - sizeof entry - start) return false;
  *row = (struct row){
      .kind = entry.kind,
      .flags = (entry.flags & ENTRY_LINKED) != 0 ? ROW_LINKED : 0,
      .depth = entry.depth,
      .name = in->entries.data + start + sizeof entry,
      .name_length = entry.nameLength,
      .mode = stat->mode & 07777,
      .uid = stat->uid,
      .gid = stat->gid,
      .mtime = stat->mtime,
      .mtime_ns = stat->mtimeNs,
      .atime = stat->atime,
      .atime_ns = stat->atimeNs,
      .has_birth = (stat->mask & KERNEL_STATX_BTIME) != 0,
      .btime = stat->btime,
      .btime_ns = stat->btimeNs,
      .inode_flags = found.inodeFlags,
      .project_id = found.projectId,
  };
  *directory = entry.directory;
  if (entry.kind == KIND_FILE) {
    const int64_t size = stat->sizeBytes;
    const bool has_holes = found.firstHole >= 0 && found.firstHole < size;
    if (in->fds[i] < 0 || has_holes || found.unwritten != 0 || found.shared != 0 || size < 0 || size > in->largest) {
      return false;
    }
    row->flags |= ROW_DIGEST;
    row->size = (uint64_t)size;
    row->mtime = found.mtime;
    row->mtime_ns = found.mtimeNs;
  } else if (entry.kind != KIND_DIRECTORY || entry.error != 0 || (entry.flags & ENTRY_SUBVOLUME) != 0 ||
             stat->ino == placeholder_inode) {
    return false;
  }
  return plain_time(row->mtime, row->mtime_ns) && plain_time(row->atime, row->atime_ns) &&
         plain_time(row->btime, row->btime_ns) && plain_time(stat->mtime, stat->mtimeNs);
}

// The member's path; 0: it is longer than a header holds.
static size_t take_path(const struct input *in, uint32_t directory, const struct row *row, uint8_t path[TAR_PATH]) {
  if (directory >= in->dir_count) return 0;
  const size_t from = directory == 0 ? 0 : in->dir_path_ends[directory - 1];
  const size_t to = in->dir_path_ends[directory];
  const bool has_slash = row->kind == KIND_DIRECTORY;
  if (from > to || to > in->dir_paths.length || to - from > TAR_PATH) return 0;
  size_t length = to - from;
  if (length + row->name_length + has_slash > TAR_PATH) return 0;
  memcpy(path, in->dir_paths.data + from, length);
  memcpy(path + length, row->name, row->name_length);
  length += row->name_length;
  if (has_slash) path[length++] = '/';
  return length;
}

// The extended header that carries the row's time; returns its length.
static size_t put_time(uint8_t *tar, const struct row *row, uint64_t entry_number) {
  char digits[TAR_DIGITS + 8], record[TAR_TIME_RECORD];
  const int count = snprintf(digits, sizeof digits, "%" PRIu64, entry_number);
  const size_t length = ustar_time_record(row, record);
  ustar_extended(tar, (const uint8_t *)digits, (size_t)count, length);
  memcpy(tar + TAR_BLOCK, record, length);
  memset(tar + TAR_BLOCK + length, 0, TAR_BLOCK - length);
  return 2 * TAR_BLOCK;
}

static void place(const struct input *in, const struct output *out, double *state) {
  uint32_t i = (uint32_t)state[STATE_AT];
  size_t end = (size_t)state[STATE_END], rows = (size_t)state[STATE_ROWS], files = (size_t)state[STATE_FILES];
  uint64_t bytes = 0;
  size_t room = 0;
  for (; i < in->count; i++) {
    struct row row;
    uint32_t directory;
    uint8_t path[TAR_PATH], header[TAR_BLOCK];
    if (!take_row(in, i, &row, &directory)) break;
    const size_t path_length = take_path(in, directory, &row, path);
    if (path_length == 0 || !ustar_header(header, &row, path, path_length)) break;
    const size_t headers = (row.mtime_ns == 0 ? 1 : 3) * TAR_BLOCK;
    const size_t size = (size_t)row.size;
    const size_t next = end + headers + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    if (next > in->full && end > 0) break;
    if (next > in->tar.length) {
      room = next;
      break;
    }
    row.offset = end;
    if (row.mtime_ns != 0) end += put_time(in->tar.data + end, &row, (uint64_t)in->first_entry + i);
    memcpy(in->tar.data + end, header, TAR_BLOCK);
    end += TAR_BLOCK;
    if (row.kind == KIND_FILE) {
      out->fds[files] = in->fds[i];
      out->sizes[files] = row.size;
      out->offsets[files] = end;
      files++;
      bytes += size;
      memset(in->tar.data + end + size, 0, next - end - size);
    }
    end = next;
    rows += write_row(&row, out->rows.data + rows);
  }
  state[STATE_AT] = i;
  state[STATE_END] = (double)end;
  state[STATE_ROWS] = (double)rows;
  state[STATE_FILES] = (double)files;
  state[STATE_BYTES] = (double)bytes;
  state[STATE_ROOM] = (double)room;
}

static napi_value place_plain(napi_env env, napi_callback_info info) {
  napi_value values[18];
  struct input in;
  struct output out;
  int64_t full;
  double *state;
  size_t start_count, position_count, fd_count, out_fd_count, size_count, offset_count, state_count;
  if (!arguments(env, info, 18, values) || !argument_bytes(env, values[0], &in.entries) ||
      !argument_u32s(env, values[1], &in.starts, &start_count) || !argument_u32(env, values[2], &in.count) ||
      !argument_i64(env, values[3], &in.first_entry) || !argument_bytes(env, values[4], &in.gathered) ||
      !argument_i32s(env, values[5], &in.positions, &position_count) ||
      !argument_i32s(env, values[6], &in.fds, &fd_count) || !argument_bytes(env, values[7], &in.left) ||
      !argument_bytes(env, values[8], &in.dir_paths) ||
      !argument_u32s(env, values[9], &in.dir_path_ends, &in.dir_count) || !argument_bytes(env, values[10], &in.tar) ||
      !argument_i64(env, values[11], &in.largest) || !argument_i64(env, values[12], &full) ||
      !argument_bytes(env, values[13], &out.rows) || !argument_i32s(env, values[14], &out.fds, &out_fd_count) ||
      !argument_f64s(env, values[15], &out.sizes, &size_count) ||
      !argument_f64s(env, values[16], &out.offsets, &offset_count) ||
      !argument_f64s(env, values[17], &state, &state_count)) {
    return NULL;
  }
  const uint32_t count = in.count;
  if (start_count < count || position_count < count || fd_count < count || in.left.length < count) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  if (state_count < STATE_COUNT || !range_within(state[STATE_AT], 0, count) ||
      !range_within(state[STATE_END], 0, in.tar.length) || !range_within(state[STATE_ROWS], 0, out.rows.length) ||
      in.first_entry < 0 || in.largest < 0 || full < 0) {
    return range_error(env, "illegal state"), NULL;
  }
  const size_t rest = count - (size_t)state[STATE_AT];
  if (!range_within(state[STATE_FILES], (double)rest, out_fd_count) ||
      !range_within(state[STATE_FILES], (double)rest, size_count) ||
      !range_within(state[STATE_FILES], (double)rest, offset_count) ||
      (out.rows.length - (size_t)state[STATE_ROWS]) / ROW_MAX < rest) {
    return range_error(env, "an array for what is placed is too short"), NULL;
  }
  in.full = (size_t)full;
  place(&in, &out, state);
  return undefined(env);
}

const struct method place_methods[] = {
    {"placePlain", place_plain},
    {NULL, NULL},
};
