import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leafSizeBytes } from "../../src/base/limits.ts";
import { createDigest } from "../../src/codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../../src/codec/leaves.ts";
import { draws } from "../support/draws.ts";

const KiB = 1024;

/** Data runs in units of 64 KiB (a leaf has sixteen), some of them zeros, and the file size they make. */
const layout = fc
  .record({
    runs: fc.array(
      fc.record({ hole: fc.nat(40), data: fc.integer({ min: 1, max: 20 }), byte: fc.constantFrom(0, 1, 2) }),
      {
        maxLength: 5,
      },
    ),
    tail: fc.nat(40),
    cut: fc.nat(64 * KiB - 1),
  })
  .map(({ runs, tail, cut }) => {
    const segments: number[] = [];
    const parts: Uint8Array[] = [];
    let at = 0;
    for (const { hole, data, byte } of runs) {
      at += hole * 64 * KiB;
      segments.push(at, data * 64 * KiB);
      parts.push(new Uint8Array(data * 64 * KiB).fill(byte));
      at += data * 64 * KiB;
    }
    return { segments, data: Buffer.concat(parts), size: at + (tail === 0 ? 0 : tail * 64 * KiB + cut) };
  });

/** The file with its holes filled. */
function logical(segments: readonly number[], data: Uint8Array, size: number): Uint8Array {
  const whole = new Uint8Array(size);
  for (let index = 0, from = 0; index < segments.length; index += 2) {
    const [offset, length] = [segments[index] as number, segments[index + 1] as number];
    whole.set(data.subarray(from, from + length), offset);
    from += length;
  }
  return whole;
}

describe("leaves", () => {
  test("are those of the whole file with its holes filled, zeros left out", async () => {
    const digest = await createDigest("xxh128");
    fc.assert(
      fc.property(layout, fc.nat(600), ({ segments, data, size }, before) => {
        const tar = Buffer.concat([new Uint8Array(before).fill(9), data, new Uint8Array(100).fill(9)]);
        const whole = logical(segments, data, size);
        const numbers: number[] = [];
        const digests: Uint8Array[] = [];
        for (let leaf = 0; leaf * leafSizeBytes < size; leaf++) {
          const bytes = whole.subarray(leaf * leafSizeBytes, (leaf + 1) * leafSizeBytes);
          if (bytes.every((byte) => byte === 0)) continue;
          numbers.push(leaf);
          digests.push(digest.hash(bytes));
        }
        const leaves = digestLeaves(digest, tar, before, Float64Array.from(segments), 0, size);
        expect([...leaves.numbers]).toEqual(numbers);
        expect(Buffer.compare(leaves.digests, Buffer.concat(digests))).toBe(0);
      }),
      { numRuns: draws(25) },
    );
  });

  test("of a file with a hole of petabytes are found at once", async () => {
    const digest = await createDigest("xxh128");
    const size = 2 ** 52;
    const segments = Float64Array.of(0, 512, size - 512, 512);
    const leaves = digestLeaves(digest, new Uint8Array(1024).fill(1), 0, segments, 0, size);
    expect([...leaves.numbers]).toEqual([0, 2 ** 32 - 1]);
    expect(digestOfLeaves(digest, leaves, size)).toHaveLength(16);
  });
});
