// Checksums of ext4 inodes, a table of them in one call (ext4_inode_csum(), Linux fs/ext4/inode.c).

#include <string.h>

#include "arguments.h"
#include "crc32c.h"

enum {
  GOOD_OLD_SIZE = 128, // EXT4_GOOD_OLD_INODE_SIZE
  GENERATION = 0x64,
  CHECKSUM_LOW = 0x7c,
  EXTRA_SIZE = 0x80,
  CHECKSUM_HIGH = 0x82,
};

static const uint32_t wrong = UINT32_MAX;

static uint16_t u16_at(const uint8_t *data) {
  uint16_t value;
  memcpy(&value, data, sizeof value);
  return value;
}

// The fields that hold the checksum count as zeros.
static bool is_checksum_right(const uint8_t *inode, size_t size, uint32_t number, uint32_t seed) {
  static const uint8_t zeros[2];
  const bool has_high = size >= CHECKSUM_HIGH + 2 && u16_at(inode + EXTRA_SIZE) >= CHECKSUM_HIGH + 2 - GOOD_OLD_SIZE;
  uint32_t crc = crc32c(seed, (const uint8_t *)&number, sizeof number);
  crc = crc32c(crc, inode + GENERATION, 4);
  crc = crc32c(crc, inode, CHECKSUM_LOW);
  crc = crc32c(crc, zeros, 2);
  const size_t rest = CHECKSUM_LOW + 2;
  if (!has_high) return (crc32c(crc, inode + rest, size - rest) & 0xffff) == u16_at(inode + CHECKSUM_LOW);
  crc = crc32c(crc, inode + rest, CHECKSUM_HIGH - rest);
  crc = crc32c(crc, zeros, 2);
  crc = crc32c(crc, inode + CHECKSUM_HIGH + 2, size - CHECKSUM_HIGH - 2);
  return crc == ((uint32_t)u16_at(inode + CHECKSUM_HIGH) << 16 | u16_at(inode + CHECKSUM_LOW));
}

static napi_value prove_inodes(napi_env env, napi_callback_info info) {
  napi_value values[7];
  struct bytes bytes;
  size_t offset, length, proved_count;
  uint32_t size, first, seed, *proved;
  if (!arguments(env, info, 7, values) || !argument_bytes(env, values[0], &bytes) ||
      !argument_range(env, values[1], values[2], bytes.length, &offset, &length) ||
      !argument_u32(env, values[3], &size) || !argument_u32(env, values[4], &first) ||
      !argument_u32(env, values[5], &seed) || !argument_u32s(env, values[6], &proved, &proved_count)) {
    return NULL;
  }
  if (size < GOOD_OLD_SIZE || length % size != 0) return range_error(env, "not whole inodes"), NULL;
  const size_t count = length / size;
  if (count > proved_count) return range_error(env, "count is more than an array holds"), NULL;
  for (size_t i = 0; i < count; i++) {
    const uint32_t inode = first + (uint32_t)i;
    proved[i] = is_checksum_right(bytes.data + offset + i * size, size, inode, seed) ? inode : wrong;
  }
  return undefined(env);
}

const struct method ext_methods[] = {
    {"proveInodes", prove_inodes},
    {NULL, NULL},
};
