import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equalBytes } from "../../src/base/bytes.ts";
import { hasParity, parityLength, repairs, withParity } from "../../src/format/parity.ts";
import { noise } from "../support/trees.ts";

const length = fc.integer({ min: 1, max: 4 * parityLength });
const seed = fc.nat(1000);

describe("parity", () => {
  test("stands behind the bytes, and gives zero with them", () => {
    fc.assert(
      fc.property(length, seed, (count, from) => {
        const bytes = noise(count, from);
        const payload = withParity(bytes);
        expect(payload.length).toBe(count + parityLength);
        expect(equalBytes(payload.subarray(0, count), bytes)).toBe(true);
        expect(hasParity(payload)).toBe(true);
        expect([...repairs(payload, 0)]).toEqual([]);
        payload[from % payload.length] = (payload[from % payload.length] as number) ^ 1;
        expect(hasParity(payload)).toBe(false);
      }),
    );
  });

  test("of three bytes", () => {
    const payload = withParity(Uint8Array.of(1, 2, 3));
    expect([...payload.subarray(0, 5)]).toEqual([1, 2, 3, 0, 0]);
    expect([...payload.subarray(4090)]).toEqual([0, 0, 0, 0, 0, 0, 1, 2, 3]);
  });

  test("makes up for any bytes in a row, up to 4,095", () => {
    fc.assert(
      fc.property(length, seed, fc.nat(), fc.integer({ min: 1, max: parityLength - 1 }), (count, from, place, run) => {
        const payload = withParity(noise(count, from));
        const start = (place % (payload.length + run - 1)) - run + 1;
        const damaged = payload.map((byte, at) => (at >= start && at < start + run ? byte ^ (1 + (at % 255)) : byte));
        let isFound = false;
        for (const candidate of repairs(damaged, 0)) isFound ||= equalBytes(candidate, payload);
        expect(isFound).toBe(true);
      }),
    );
  });

  test("makes up for a sector of zeros, wherever sectors begin in the archive", () => {
    for (const offset of [0, 64, 100, 511]) {
      const payload = withParity(Uint8Array.of(...noise(3000, 1), ...new Uint8Array(3000), ...noise(9000, 2)));
      for (let start = -(offset % 512); start < payload.length; start += 512) {
        const damaged = payload.slice().fill(0, Math.max(0, start), start + parityLength);
        if (equalBytes(damaged, payload)) continue;
        let isFound = false;
        for (const candidate of repairs(damaged, offset)) isFound ||= equalBytes(candidate, payload);
        expect(isFound, `${offset}, ${start}`).toBe(true);
      }
    }
  });
});
