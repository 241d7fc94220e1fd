import { createXXHash128 } from "hash-wasm";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leafSizeBytes } from "../../src/base/limits.ts";
import { addon } from "../../src/sys/addon.ts";

const xxhash = await createXXHash128(0, 0);

function reference(data: Uint8Array): string {
  return xxhash.init().update(data).digest("hex");
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString("hex");
}

/** docs/FORMAT.md, section 7, word by word, with another implementation of XXH3. */
function referenceFileDigest(content: Uint8Array): string {
  const parts: Uint8Array[] = [];
  for (let leaf = 0; leaf * leafSizeBytes < content.length; leaf++) {
    const data = content.subarray(leaf * leafSizeBytes, (leaf + 1) * leafSizeBytes);
    if (data.every((byte) => byte === 0)) continue;
    const leafNumber = Buffer.alloc(8);
    leafNumber.writeBigUInt64LE(BigInt(leaf));
    parts.push(leafNumber, Buffer.from(reference(data), "hex"));
  }
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(content.length));
  return reference(Buffer.concat([...parts, size]));
}

function fileDigest(content: Uint8Array): string {
  const digest = new Uint8Array(16);
  addon().digestFiles(content, new Float64Array([0]), new Float64Array([content.length]), 1, digest);
  return hex(digest);
}

describe("xxh128", () => {
  it("is XXH3-128 in its canonical form, for every length of the algorithm's branches", () => {
    const data = new Uint8Array(5000).map((_, index) => (index * 131) ^ (index >> 3));
    for (const length of [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025, 4999]) {
      const out = new Uint8Array(20);
      addon().xxh128(data, 1, length, out, 3);
      expect(hex(out.subarray(3, 19)), String(length)).toBe(reference(data.subarray(1, 1 + length)));
      expect([out[0], out[19]]).toEqual([0, 0]);
    }
  });

  it("agrees with another implementation on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (data) => {
        const out = new Uint8Array(16);
        addon().xxh128(data, 0, data.length, out, 0);
        expect(hex(out)).toBe(reference(data));
      }),
    );
  });

  it("gives the published digest of nothing", () => {
    const out = new Uint8Array(16);
    addon().xxh128(new Uint8Array(0), 0, 0, out, 0);
    // xxHash, XXH3-128 of length 0, seed 0 (cli/xsum_sanity_check.c).
    expect(hex(out)).toBe("99aa06d3014798d86001c324468d497f");
  });
});

describe("isZero", () => {
  it("says so exactly when every byte of the range is zero", () => {
    fc.assert(
      fc.property(fc.nat(200), fc.nat(200), fc.nat(250), (offset, length, one) => {
        const data = new Uint8Array(400);
        data[one] = 1;
        expect(addon().isZero(data, offset, length)).toBe(one < offset || one >= offset + length);
      }),
    );
  });
});

/** Content of whole leaves, each of one byte value. */
const leaves = (...fills: number[]): Uint8Array => {
  const content = new Uint8Array(fills.length * leafSizeBytes);
  for (const [index, fill] of fills.entries()) content.fill(fill, index * leafSizeBytes, (index + 1) * leafSizeBytes);
  return content;
};

describe("digestFiles", () => {
  it("is the file digest of FORMAT.md over leaves, leaving out those of zeros", () => {
    for (const content of [
      new Uint8Array(0),
      new Uint8Array([5]),
      new Uint8Array(1000),
      leaves(1),
      leaves(0),
      leaves(0, 2, 0, 0, 3),
      leaves(1, 2).subarray(0, leafSizeBytes + 1),
      leaves(1, 0).subarray(0, leafSizeBytes + 1),
    ]) {
      expect(fileDigest(content), String(content.length)).toBe(referenceFileDigest(content));
    }
  });

  it("takes several ranges of one buffer", () => {
    const buffer = new Uint8Array(300).map((_, index) => index);
    const digests = new Uint8Array(48);
    addon().digestFiles(buffer, new Float64Array([0, 10, 300]), new Float64Array([10, 290, 0]), 3, digests);
    expect(hex(digests.subarray(0, 16))).toBe(referenceFileDigest(buffer.subarray(0, 10)));
    expect(hex(digests.subarray(16, 32))).toBe(referenceFileDigest(buffer.subarray(10)));
    expect(hex(digests.subarray(32))).toBe(referenceFileDigest(new Uint8Array(0)));
  });
});
