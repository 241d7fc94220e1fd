// XXH3-128 and the file digest of docs/FORMAT.md, section 7.

#ifndef TSFSA_DIGEST_H
#define TSFSA_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 16 };

// XXH3 128 bits, seed 0, canonical (big-endian).
void digest_bytes(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]);
// The same, by a processor that has AVX2.
void digest_bytes_avx2(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]);
// Digest of a whole file's content.
void digest_file(const uint8_t *data, size_t length, uint8_t out[DIGEST_BYTES]);
bool all_zero(const uint8_t *data, size_t length);

#endif
