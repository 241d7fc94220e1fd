import * as fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c, crc32cRaw } from "../../src/filesystem/crc32c.ts";

test("the checksums of RFC 3720, appendix B.4", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

test("a checksum is the same in any number of pieces", () => {
  const pieces = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(200), fc.nat(200));
  fc.assert(
    fc.property(pieces, ([bytes, a, b]) => {
      const [first, second] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)];
      let crc = crc32cRaw(0xffffffff, bytes, first);
      crc = crc32cRaw(crc, bytes.subarray(first, second));
      expect(crc32cRaw(crc, bytes.subarray(second))).toBe(crc32cRaw(0xffffffff, bytes));
    }),
  );
});
