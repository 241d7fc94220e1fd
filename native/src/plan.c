// The hot path of planning a save: entry records of plain regular files of one directory, from its names and stat
// records. Whatever asks for more than that the caller plans itself, to the same rules (src/save/plan.ts).

#include <string.h>
#include <sys/stat.h>

#include "arguments.h"
#include "layout.h"

// Where planning has come to (planLayout of src/sys/layout.ts).
enum { STATE_NAME, STATE_STAT, STATE_RECORDS, STATE_ESTIMATE, STATE_COUNT };

enum { TAR_HEADER = 512, TAR_NAME_FIELD = 100 };

struct input {
  struct bytes names;
  struct bytes stats;
  uint32_t count;
  uint32_t directory;
  uint32_t depth;
  // Bytes of the member name of the directory, and of the longest path.
  int64_t path_length;
  int64_t path_max;
  int64_t block_size;
  const uint32_t *inodes;
  size_t inode_count;
  struct bytes records;
};

static bool is_plain(const struct input *in, const struct stat_record *stat, size_t name_length) {
  if (stat->error != 0 || (stat->mode & S_IFMT) != S_IFREG || stat->nlink > 1 || stat->sizeBytes < 0 ||
      stat->sizeBytes > in->block_size || stat->uid == UINT32_MAX || stat->gid == UINT32_MAX ||
      in->path_length + (int64_t)name_length + 1 > in->path_max) {
    return false;
  }
  for (size_t i = 0; i < in->inode_count; i++) {
    if (in->inodes[i] == (uint32_t)stat->ino) return false;
  }
  return true;
}

// Bytes it will take in the tar stream, about.
static double estimate_of(const struct input *in, const struct stat_record *stat, size_t name_length) {
  const int64_t path = in->path_length + (int64_t)name_length;
  double estimate = TAR_HEADER;
  if (path > TAR_NAME_FIELD) {
    estimate += (double)(2 * TAR_HEADER + path);
  } else if (stat->mtimeNs != 0) {
    estimate += 2 * TAR_HEADER;
  }
  const double data = (double)((stat->sizeBytes + TAR_HEADER - 1) / TAR_HEADER * TAR_HEADER);
  const double allocated = (double)stat->blocks * 512 + 4096;
  return estimate + (data < allocated ? data : allocated);
}

static uint32_t plan(const struct input *in, double *state) {
  size_t name_at = (size_t)state[STATE_NAME], stat_at = (size_t)state[STATE_STAT], length = (size_t)state[STATE_RECORDS];
  double estimate = state[STATE_ESTIMATE];
  uint32_t done = 0;
  for (; done < in->count; done++) {
    struct entry_record entry = {.directory = in->directory, .kind = KIND_FILE, .depth = in->depth, .linkEntry = -1};
    if (in->stats.length - stat_at < sizeof entry.stat || in->names.length - name_at < 2) break;
    const size_t name_length = in->names.data[name_at + 1];
    if (in->names.length - name_at - 2 < name_length) break;
    memcpy(&entry.stat, in->stats.data + stat_at, sizeof entry.stat);
    if (!is_plain(in, &entry.stat, name_length)) break;
    const double own = estimate_of(in, &entry.stat, name_length);
    const size_t size = (sizeof entry + name_length + 7) & ~(size_t)7;
    if (estimate + own > (double)in->block_size || in->records.length - length < size) break;
    entry.nameLength = (uint8_t)name_length;
    uint8_t *record = in->records.data + length;
    memcpy(record, &entry, sizeof entry);
    memcpy(record + sizeof entry, in->names.data + name_at + 2, name_length);
    memset(record + sizeof entry + name_length, 0, size - sizeof entry - name_length);
    length += size;
    estimate += own;
    name_at += 2 + name_length;
    stat_at += sizeof entry.stat;
  }
  state[STATE_NAME] = (double)name_at;
  state[STATE_STAT] = (double)stat_at;
  state[STATE_RECORDS] = (double)length;
  state[STATE_ESTIMATE] = estimate;
  return done;
}

static napi_value plan_plain(napi_env env, napi_callback_info info) {
  napi_value values[11];
  struct input in;
  uint32_t *inodes;
  double *state;
  size_t state_count;
  if (!arguments(env, info, 11, values) || !argument_bytes(env, values[0], &in.names) ||
      !argument_bytes(env, values[1], &in.stats) || !argument_u32(env, values[2], &in.count) ||
      !argument_u32(env, values[3], &in.directory) || !argument_u32(env, values[4], &in.depth) ||
      !argument_i64(env, values[5], &in.path_length) || !argument_i64(env, values[6], &in.path_max) ||
      !argument_i64(env, values[7], &in.block_size) || !argument_u32s(env, values[8], &inodes, &in.inode_count) ||
      !argument_bytes(env, values[9], &in.records) || !argument_f64s(env, values[10], &state, &state_count)) {
    return NULL;
  }
  in.inodes = inodes;
  if (state_count < STATE_COUNT || !range_within(state[STATE_NAME], 0, in.names.length) ||
      !range_within(state[STATE_STAT], 0, in.stats.length) ||
      !range_within(state[STATE_RECORDS], 0, in.records.length)) {
    return range_error(env, "illegal state"), NULL;
  }
  return number(env, plan(&in, state));
}

const struct method plan_methods[] = {
    {"planPlain", plan_plain},
    {NULL, NULL},
};
