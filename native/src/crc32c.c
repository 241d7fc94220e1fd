// See crc32c.h. The instruction of SSE4.2 where the processor has it, else eight bytes a step by tables ("slicing by 8":
// Kounavis and Berry, A Systematic Approach to Building High Performance Software-based CRC Generators, 2005).

#include "crc32c.h"

#include <string.h>

#include "arguments.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

// table[s][byte]: what a byte does to the checksum with s bytes behind it.
static uint32_t table[8][256];

__attribute__((constructor)) static void fill_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
    table[0][byte] = value;
  }
  for (size_t s = 1; s < 8; s++) {
    for (size_t byte = 0; byte < 256; byte++) {
      const uint32_t before = table[s - 1][byte];
      table[s][byte] = before >> 8 ^ table[0][before & 0xff];
    }
  }
}

static uint64_t word_at(const uint8_t *data) {
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *data, size_t length) {
  for (; length >= 8; data += 8, length -= 8) {
    const uint64_t word = word_at(data) ^ crc;
    crc = 0;
    for (int s = 0; s < 8; s++) crc ^= table[s][word >> (56 - 8 * s) & 0xff];
  }
  for (; length > 0; data++, length--) crc = crc >> 8 ^ table[0][(crc ^ *data) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_sse(uint32_t crc, const uint8_t *data, size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; data += 8, length -= 8) wide = _mm_crc32_u64(wide, word_at(data));
  crc = (uint32_t)wide;
  for (; length > 0; data++, length--) crc = _mm_crc32_u8(crc, *data);
  return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t length) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc_by_sse(crc, data, length);
#endif
  return crc_by_table(crc, data, length);
}

static napi_value crc32c_method(napi_env env, napi_callback_info info) {
  napi_value values[4];
  uint32_t crc;
  struct bytes bytes;
  size_t offset, length;
  if (!arguments(env, info, 4, values) || !argument_u32(env, values[0], &crc) ||
      !argument_bytes(env, values[1], &bytes) ||
      !argument_range(env, values[2], values[3], bytes.length, &offset, &length)) {
    return NULL;
  }
  return number(env, crc32c(crc, bytes.data + offset, length));
}

const struct method crc32c_methods[] = {
    {"crc32c", crc32c_method},
    {NULL, NULL},
};
