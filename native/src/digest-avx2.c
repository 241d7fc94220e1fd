// XXH3-128 for x86-64 machines with AVX2: the same function, compiled for them. Called only where the processor has it.

#include "digest.h"

#if defined(__x86_64__)
#pragma GCC target("avx2")

#include <string.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR 2 // XXH_AVX2
#include "../vendor/xxhash.h"

void digest_bytes_avx2(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
  memcpy(out, canonical.digest, DIGEST_BYTES);
}

#endif
