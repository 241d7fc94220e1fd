// See digest.h. xxHash is inlined here for the architecture's baseline (SSE2 on x86-64, NEON on arm64), so the binary
// runs on every machine of its kind, and in digest-avx2.c.

#include "digest.h"

#include <string.h>

#include "arguments.h"

#define XXH_INLINE_ALL
#include "../vendor/xxhash.h"

static const size_t leaf_bytes = 1024 * 1024;
#if defined(__x86_64__)
// Shorter ones are hashed without vectors.
static const size_t long_bytes = 241;
#endif

void digest_bytes(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]) {
#if defined(__x86_64__)
  if (length >= long_bytes && __builtin_cpu_supports("avx2")) {
    digest_bytes_avx2(data, length, out);
    return;
  }
#endif
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
  memcpy(out, canonical.digest, DIGEST_BYTES);
}

bool all_zero(const uint8_t *data, size_t length) {
  const size_t head = length < 16 ? length : 16;
  for (size_t i = 0; i < head; i++) {
    if (data[i] != 0) return false;
  }
  // The rest is zero when it equals itself, shifted by what is known to be zero.
  return length <= 16 || memcmp(data, data + 16, length - 16) == 0;
}

void digest_file(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (size_t at = 0; at < length; at += leaf_bytes) {
    const size_t size = length - at < leaf_bytes ? length - at : leaf_bytes;
    if (all_zero(data + at, size)) continue;
    uint8_t leaf[8 + DIGEST_BYTES];
    const uint64_t leaf_number = at / leaf_bytes;
    memcpy(leaf, &leaf_number, 8);
    digest_bytes(data + at, size, leaf + 8);
    XXH3_128bits_update(&state, leaf, sizeof leaf);
  }
  const uint64_t file_size = length;
  XXH3_128bits_update(&state, &file_size, 8);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  memcpy(out, canonical.digest, DIGEST_BYTES);
}

// XXH64, seed 0, canonical (big-endian).
static void checksum_bytes(const uint8_t *data, size_t length, uint8_t *out) {
  XXH64_canonical_t canonical;
  XXH64_canonicalFromHash(&canonical, XXH64(data, length, 0));
  memcpy(out, canonical.digest, sizeof canonical.digest);
}

// `size` bytes from `hash` of a range, to a place in another array.
static napi_value hash_range(
    napi_env env, napi_callback_info info, void (*hash)(const uint8_t *, size_t, uint8_t *), size_t size) {
  napi_value values[5];
  struct bytes bytes, out;
  size_t offset, length;
  double out_offset;
  if (!arguments(env, info, 5, values) || !argument_bytes(env, values[0], &bytes) ||
      !argument_range(env, values[1], values[2], bytes.length, &offset, &length) ||
      !argument_bytes(env, values[3], &out)) {
    return NULL;
  }
  if (napi_get_value_double(env, values[4], &out_offset) != napi_ok ||
      !range_within(out_offset, (double)size, out.length)) {
    return range_error(env, "digest outside of out"), NULL;
  }
  hash(bytes.data + offset, length, out.data + (size_t)out_offset);
  return undefined(env);
}

static napi_value xxh64(napi_env env, napi_callback_info info) {
  return hash_range(env, info, checksum_bytes, sizeof(XXH64_canonical_t));
}

static napi_value xxh128(napi_env env, napi_callback_info info) {
  return hash_range(env, info, digest_bytes, DIGEST_BYTES);
}

static napi_value is_zero(napi_env env, napi_callback_info info) {
  napi_value values[3];
  struct bytes bytes;
  size_t offset, length;
  if (!arguments(env, info, 3, values) || !argument_bytes(env, values[0], &bytes) ||
      !argument_range(env, values[1], values[2], bytes.length, &offset, &length)) {
    return NULL;
  }
  return boolean(env, all_zero(bytes.data + offset, length));
}

static napi_value digest_files(napi_env env, napi_callback_info info) {
  napi_value values[5];
  struct bytes buffer, digests;
  double *offsets, *sizes;
  size_t offset_count, size_count;
  uint32_t count;
  if (!arguments(env, info, 5, values) || !argument_bytes(env, values[0], &buffer) ||
      !argument_f64s(env, values[1], &offsets, &offset_count) ||
      !argument_f64s(env, values[2], &sizes, &size_count) || !argument_u32(env, values[3], &count) ||
      !argument_bytes(env, values[4], &digests)) {
    return NULL;
  }
  if (count > offset_count || count > size_count || count > digests.length / DIGEST_BYTES) {
    return range_error(env, "count is more than an array holds"), NULL;
  }
  for (size_t i = 0; i < count; i++) {
    if (!range_within(offsets[i], sizes[i], buffer.length)) return range_error(env, "range outside of buffer"), NULL;
    digest_file(buffer.data + (size_t)offsets[i], (size_t)sizes[i], digests.data + i * DIGEST_BYTES);
  }
  return undefined(env);
}

const struct method digest_methods[] = {
    {"xxh64", xxh64},
    {"xxh128", xxh128},
    {"isZero", is_zero},
    {"digestFiles", digest_files},
    {NULL, NULL},
};
