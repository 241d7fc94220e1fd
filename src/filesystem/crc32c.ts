// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 appendix B.4), the checksum of ext4, xfs and btrfs metadata. Eight bytes a step
// ("slicing by 8": Kounavis and Berry, A Systematic Approach to Building High Performance Software-based CRC Generators, 2005).

const slices = 8;
/** table[256 · s + byte]: what a byte does to the checksum with s bytes behind it. */
const table = new Int32Array(256 * slices);
for (let index = 0; index < table.length; index += 1) {
  const before = index - 256;
  let value = before < 0 ? index : (table[before] as number);
  if (before < 0) for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  else value = (value >>> 8) ^ (table[value & 0xff] as number);
  table[index] = value;
}

/** Continues a CRC-32C over bytes [start, end) without the final inversion (as ext4 uses it); start with 0xFFFFFFFF. Returns an unsigned number. */
export function crc32cRaw(seed: number, bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  let crc = seed | 0;
  let i = start;
  for (; i + slices <= end; i += slices) {
    crc =
      (table[0x700 + ((crc ^ (bytes[i] as number)) & 0xff)] as number) ^
      (table[0x600 + (((crc >>> 8) ^ (bytes[i + 1] as number)) & 0xff)] as number) ^
      (table[0x500 + (((crc >>> 16) ^ (bytes[i + 2] as number)) & 0xff)] as number) ^
      (table[0x400 + ((crc >>> 24) ^ (bytes[i + 3] as number))] as number) ^
      (table[0x300 + (bytes[i + 4] as number)] as number) ^
      (table[0x200 + (bytes[i + 5] as number)] as number) ^
      (table[0x100 + (bytes[i + 6] as number)] as number) ^
      (table[bytes[i + 7] as number] as number);
  }
  for (; i < end; i += 1) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return crc >>> 0;
}

/** CRC-32C with the usual initial value and final inversion. */
export function crc32c(bytes: Uint8Array): number {
  return ~crc32cRaw(0xffffffff, bytes) >>> 0;
}
