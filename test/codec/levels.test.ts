import { describe, expect, test } from "vitest";
import { compressionFor, compressionForZstd } from "../../src/codec/levels.ts";
import { codeOf } from "../format/expect.ts";

const MiB = 1024 * 1024;

describe("levels", () => {
  test("0 stores, 1 is LZ4, 2 to 9 are zstd with blocks that grow with the level", () => {
    const found = Array.from({ length: 10 }, (_, z) => {
      const { codec, level, blockSize } = compressionFor(z);
      return [codec, level, blockSize / MiB];
    });
    expect(found).toEqual([
      ["zstd", 0, 4],
      ["lz4", 1, 4],
      ["zstd", 1, 4],
      ["zstd", 3, 4],
      ["zstd", 6, 4],
      ["zstd", 9, 4],
      ["zstd", 12, 4],
      ["zstd", 15, 8],
      ["zstd", 19, 8],
      ["zstd", 22, 16],
    ]);
  });

  test("of zstd are taken exactly", () => {
    expect(compressionForZstd(-7)).toEqual({ codec: "zstd", level: -7, blockSize: 4 * MiB });
    expect(compressionForZstd(20).blockSize).toBe(16 * MiB);
  });

  test("that do not exist are refused", () => {
    for (const z of [-1, 10, 1.5, Number.NaN]) expect(codeOf(() => compressionFor(z))).toBe("USAGE");
    for (const level of [0, 23, -131_073, 1.5]) expect(codeOf(() => compressionForZstd(level))).toBe("USAGE");
  });
});
