import { describe, expect, it } from "vitest";
import { viewOf } from "../../src/base/bytes.ts";
import { addon } from "../../src/sys/addon.ts";

const seed = 0x1234_5678;
const wrong = 0xffff_ffff;

/** ext4_inode_csum(), over a copy whose checksum fields are zeros. */
function checksumOf(inode: Uint8Array, number: number, hasHigh: boolean): number {
  const zeroed = inode.slice();
  zeroed.fill(0, 0x7c, 0x7e);
  if (hasHigh) zeroed.fill(0, 0x82, 0x84);
  const head = new Uint8Array(8);
  viewOf(head).setUint32(0, number, true);
  head.set(inode.subarray(0x64, 0x68), 4);
  return addon().crc32c(addon().crc32c(seed, head, 0, 8), zeroed, 0, zeroed.length);
}

/** `count` inodes with right checksums, the first with this number. */
function table(size: number, extra: number, first: number, count: number): Uint8Array {
  const bytes = new Uint8Array(size * count).map((_, i) => (i * 37) ^ (i >> 5));
  const hasHigh = size > 128 && extra >= 4;
  for (let i = 0; i < count; i++) {
    const inode = bytes.subarray(i * size, (i + 1) * size);
    const view = viewOf(inode);
    if (size > 128) view.setUint16(0x80, extra, true);
    const checksum = checksumOf(inode, first + i, hasHigh);
    view.setUint16(0x7c, checksum & 0xffff, true);
    if (hasHigh) view.setUint16(0x82, checksum >>> 16, true);
  }
  return bytes;
}

function prove(bytes: Uint8Array, size: number, first: number): number[] {
  const proved = new Uint32Array(bytes.length / size);
  addon().proveInodes(bytes, 0, bytes.length, size, first, seed, proved);
  return [...proved];
}

describe("proveInodes", () => {
  it.each([
    [128, 0],
    [256, 0],
    [256, 2],
    [256, 4],
    [256, 32],
    [256, 65_535],
    [1024, 128],
  ])("gives the numbers of right inodes of %i bytes with %i extra ones", (size, extra) => {
    expect(prove(table(size, extra, 77, 5), size, 77)).toEqual([77, 78, 79, 80, 81]);
  });

  it("tells the one that differs in any byte", () => {
    for (let byte = 0; byte < 256; byte++) {
      const bytes = table(256, 32, 12, 3);
      bytes[256 + byte] = (bytes[256 + byte] as number) ^ 0x10;
      expect(prove(bytes, 256, 12), String(byte)).toEqual([12, wrong, 14]);
    }
  });

  it("tells those that stand in the place of another", () => {
    expect(prove(table(256, 32, 12, 2), 256, 13)).toEqual([wrong, wrong]);
  });

  it("takes whole inodes only, as many as the array holds", () => {
    const bytes = table(256, 32, 1, 2);
    const call = (offset: number, length: number, size: number, count: number): void =>
      addon().proveInodes(bytes, offset, length, size, 1, seed, new Uint32Array(count));
    expect(() => call(0, 512, 256, 1)).toThrow(RangeError);
    expect(() => call(0, 500, 256, 2)).toThrow(RangeError);
    expect(() => call(256, 512, 256, 2)).toThrow(RangeError);
    expect(() => call(0, 512, 0, 512)).toThrow(RangeError);
    expect(() => call(0, 512, 64, 8)).toThrow(RangeError);
    expect(() => call(512, 0, 256, 0)).not.toThrow();
  });
});
