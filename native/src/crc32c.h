// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 appendix B.4), the checksum of ext4, xfs and btrfs
// metadata.

#ifndef TSFSA_CRC32C_H
#define TSFSA_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// Continues a checksum, without the final inversion.
uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t length);

#endif
