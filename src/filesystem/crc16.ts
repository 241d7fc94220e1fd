// CRC-16 (reflected polynomial 0xA001; Linux lib/crc16.c), the checksum of ext4 group descriptors without metadata_csum. Start with 0xFFFF.

const table: Uint16Array = new Uint16Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0xa001 : 0);
  return value;
});

export function crc16(seed: number, bytes: Uint8Array): number {
  let crc = seed;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] as number);
  return crc;
}
