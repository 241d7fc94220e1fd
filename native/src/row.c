#include "row.h"

#include <string.h>

#include "layout.h"

static const uint64_t safe_max = (UINT64_C(1) << 53) - 1;
static const uint64_t id_max = 0xfffffffe;
static const uint64_t depth_max = 65535;
static const uint64_t name_max = 255;
static const uint64_t target_max = 4095;
static const uint64_t block_max = UINT64_C(64) << 20;
static const uint32_t second_ns = 1000000000;

static bool read_u8(struct row_reader *reader, uint8_t *out) {
  if (reader->at == reader->end) return false;
  *out = *reader->at++;
  return true;
}

// A varint in its shortest form, up to 2^64 − 1.
static bool read_varint(struct row_reader *reader, uint64_t *out) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    uint8_t byte;
    if (!read_u8(reader, &byte)) return false;
    if (shift == 63 && byte > 1) return false;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte >= 0x80) continue;
    *out = value;
    return byte != 0 || shift == 0;
  }
  return false;
}

static bool read_bytes(struct row_reader *reader, const uint8_t **data, size_t *length) {
  uint64_t size;
  if (!read_varint(reader, &size) || size > (size_t)(reader->end - reader->at)) return false;
  *data = reader->at;
  *length = (size_t)size;
  reader->at += size;
  return true;
}

// Seconds as the difference to `origin`, and nanoseconds. *legal is cleared for a time outside of its range.
static bool read_time(struct row_reader *reader, int64_t origin, int64_t *seconds, uint32_t *nanoseconds, bool *legal) {
  uint64_t coded, ns;
  if (!read_varint(reader, &coded) || !read_varint(reader, &ns)) return false;
  const int64_t difference = (int64_t)(coded >> 1) ^ -(int64_t)(coded & 1);
  const int64_t limit = (int64_t)safe_max;
  if (__builtin_add_overflow(origin, difference, seconds) || *seconds > limit || *seconds < -limit) *legal = false;
  if (ns >= second_ns) *legal = false;
  *nanoseconds = (uint32_t)ns;
  return true;
}

static bool legal_component(const uint8_t *name, size_t length) {
  if (length == 0 || memchr(name, 0, length) != NULL || memchr(name, '/', length) != NULL) return false;
  return !(name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

static bool legal_flags(const struct row *row) {
  const uint8_t of_files = ROW_DIGEST | ROW_CONTINUED | ROW_SPARSE;
  if (row->flags > 0x7f || (row->kind != KIND_FILE && (row->flags & of_files) != 0)) return false;
  return (row->flags & (ROW_DIGEST | ROW_CONTINUED)) != (ROW_DIGEST | ROW_CONTINUED);
}

bool read_row(struct row_reader *reader, struct row *row) {
  uint64_t depth, offset, device, extras;
  uint8_t born;
  memset(row, 0, sizeof *row);
  if (!read_u8(reader, &row->kind) || !read_u8(reader, &row->flags) || !read_varint(reader, &depth) ||
      !read_bytes(reader, &row->name, &row->name_length) || depth > depth_max || row->name_length > name_max) {
    return false;
  }
  row->depth = (uint32_t)depth;
  if (!read_varint(reader, &offset) || !read_varint(reader, &row->mode) || !read_varint(reader, &row->uid) ||
      !read_varint(reader, &row->gid)) {
    return false;
  }
  const bool is_device = row->kind == KIND_CHAR || row->kind == KIND_BLOCK;
  if (!read_varint(reader, is_device ? &device : &row->size)) return false;
  const bool is_sized = row->kind == KIND_FILE || row->kind == KIND_SYMLINK || row->kind == KIND_ABSENT;
  bool legal = row->kind <= KIND_ABSENT && legal_flags(row) && row->mode <= 07777 && row->uid <= id_max &&
               row->gid <= id_max && offset < block_max / 512 && row->size <= safe_max &&
               (row->size == 0 || is_sized);
  if (depth > 0) legal = legal && legal_component(row->name, row->name_length);
  else legal = legal && row->name_length == 0 && row->kind == KIND_DIRECTORY;
  row->offset = offset * 512;
  if (!read_time(reader, 0, &row->mtime, &row->mtime_ns, &legal) ||
      !read_time(reader, row->mtime, &row->atime, &row->atime_ns, &legal) || !read_u8(reader, &born) || born > 1 ||
      (born == 1 && !read_time(reader, row->mtime, &row->btime, &row->btime_ns, &legal)) ||
      !read_varint(reader, &row->inode_flags) || !read_varint(reader, &row->project_id) || !read_varint(reader, &extras)) {
    return false;
  }
  row->has_birth = born == 1;
  legal = legal && row->inode_flags <= UINT32_MAX && row->project_id <= UINT32_MAX;
  row->simple = legal && extras == (row->kind == KIND_SYMLINK ? 1 : 0) && row->kind != KIND_HARDLINK;
  if (extras > 0xff) return false;
  for (; extras > 0; extras--) {
    uint8_t tag;
    if (!read_u8(reader, &tag) || !read_bytes(reader, &row->target, &row->target_length)) return false;
    if (tag != 1 || row->target_length == 0 || row->target_length > target_max) row->simple = false;
  }
  return true;
}

static uint8_t *write_varint(uint8_t *at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
  *at++ = (uint8_t)value;
  return at;
}

static uint8_t *write_time(uint8_t *at, int64_t seconds, int64_t origin, uint32_t nanoseconds) {
  const int64_t difference = seconds - origin;
  return write_varint(write_varint(at, ((uint64_t)difference << 1) ^ (uint64_t)(difference >> 63)), nanoseconds);
}

size_t write_row(const struct row *row, uint8_t out[ROW_MAX]) {
  uint8_t *at = out;
  *at++ = row->kind;
  *at++ = row->flags;
  at = write_varint(at, row->depth);
  at = write_varint(at, row->name_length);
  memcpy(at, row->name, row->name_length);
  at = write_varint(at + row->name_length, row->offset / 512);
  at = write_varint(at, row->mode);
  at = write_varint(at, row->uid);
  at = write_varint(at, row->gid);
  at = write_varint(at, row->size);
  at = write_time(at, row->mtime, 0, row->mtime_ns);
  at = write_time(at, row->atime, row->mtime, row->atime_ns);
  *at++ = row->has_birth;
  if (row->has_birth) at = write_time(at, row->btime, row->mtime, row->btime_ns);
  at = write_varint(at, row->inode_flags);
  at = write_varint(at, row->project_id);
  *at++ = 0; // no extras
  return (size_t)(at - out);
}
