// CRC-32C (Castagnoli; RFC 3720 appendix B.4), the checksum of ext4, xfs and btrfs metadata.

import { addon } from "../sys/addon.ts";

/** Continues a CRC-32C over bytes without the final inversion (as ext4 uses it); start with 0xFFFFFFFF. Returns an unsigned number. */
export function crc32cRaw(seed: number, bytes: Uint8Array, length: number = bytes.length): number {
  return addon().crc32c(seed, bytes, 0, length);
}

/** CRC-32C with the usual initial value and final inversion. */
export function crc32c(bytes: Uint8Array): number {
  return ~crc32cRaw(0xffffffff, bytes) >>> 0;
}
