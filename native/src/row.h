// Catalog rows (grammar: src/format/row.ts) as bytes: read as strictly as src/format/rowDecoder.ts does, without values
// for what only some rows have, and written for those that have nothing of the kind.

#ifndef TSFSA_ROW_H
#define TSFSA_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_DIGEST = 1, ROW_CONTINUED = 2, ROW_LINKED = 4, ROW_DAMAGED = 16, ROW_SPARSE = 32 };

struct row {
  uint8_t kind;
  uint8_t flags;
  // Every field is legal, and there are no extras but the target of a symlink.
  bool simple;
  uint32_t depth;
  const uint8_t *name;
  size_t name_length;
  // Of its header in the tar bytes.
  uint64_t offset;
  uint64_t mode;
  uint64_t uid;
  uint64_t gid;
  uint64_t size;
  int64_t mtime;
  int64_t atime;
  uint32_t mtime_ns;
  uint32_t atime_ns;
  bool has_birth;
  int64_t btime;
  uint32_t btime_ns;
  uint64_t inode_flags;
  uint64_t project_id;
  const uint8_t *target;
  size_t target_length;
};

// Rows one after the other.
struct row_reader {
  const uint8_t *at;
  const uint8_t *end;
};

// Reads the next row; false: the bytes are no row, not even one that is not simple.
bool read_row(struct row_reader *reader, struct row *row);

// Most bytes that write_row() needs.
enum { ROW_MAX = 512 };

// Writes a row without extras whose times lie within 2^53 seconds. Returns its length.
size_t write_row(const struct row *row, uint8_t out[ROW_MAX]);

#endif
