// Members of md arrays, written field by field.

/** An image with struct mdp_superblock_1 at a place, with the checksum of calc_sb_1_csum (drivers/md/md.c). */
export function mdMember(sizeBytes: number, offset: number): Buffer {
  const image = Buffer.alloc(sizeBytes);
  const sb = image.subarray(offset, offset + 256 + 2);
  sb.writeUInt32LE(0xa92b4efc, 0);
  sb.writeUInt32LE(1, 4);
  for (let at = 0; at < 16; at += 1) sb[16 + at] = at + 1;
  sb.write("host:0", 32);
  sb.writeBigUInt64LE(8192n, 80);
  sb.writeBigUInt64LE(BigInt(offset / 512), 144);
  sb.writeUInt32LE(1, 220); // max_dev
  let sum = 0n;
  for (let at = 0; at < 256; at += 4) sum += BigInt(sb.readUInt32LE(at));
  sum += BigInt(sb.readUInt16LE(256));
  sb.writeUInt32LE(Number(((sum & 0xffffffffn) + (sum >> 32n)) & 0xffffffffn), 216);
  return image;
}
