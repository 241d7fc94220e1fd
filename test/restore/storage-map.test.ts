// Which storage is known, checked against a model that remembers every byte.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StorageMap } from "../../src/restore/storage-map.ts";
import { draws } from "../support/draws.ts";

interface Found {
  readonly at: number;
  readonly length: number;
  readonly owner: string;
  readonly offset: number;
}

function claim(map: StorageMap<string>, start: number, end: number, owner: string, offset = 0, most = 1000): Found[] {
  const found: Found[] = [];
  map.claim(start, end, owner, offset, (at, length, whose, from) => {
    found.push({ at, length, owner: whose, offset: from });
    return found.length < most;
  });
  return found;
}

describe("StorageMap", () => {
  it("tells the parts that are known and remembers the others", () => {
    const map = new StorageMap<string>(100);
    expect(claim(map, 1000, 2000, "a")).toEqual([]);
    expect(claim(map, 3000, 4000, "b", 500)).toEqual([]);
    expect(claim(map, 1500, 3500, "c", 10_000)).toEqual([
      { at: 1500, length: 500, owner: "a", offset: 500 },
      { at: 3000, length: 500, owner: "b", offset: 500 },
    ]);
    expect(claim(map, 2000, 3000, "d")).toEqual([{ at: 2000, length: 1000, owner: "c", offset: 10_500 }]);
  });

  it("remembers no more than its limit, and what it does remember stays right", () => {
    const map = new StorageMap<string>(2);
    for (const [i, owner] of ["a", "b", "c"].entries()) claim(map, i * 10, i * 10 + 5, owner);
    expect(map.count).toBe(2);
    expect(claim(map, 0, 30, "d").map(({ owner }) => owner)).toEqual(["a", "b"]);
  });

  it("stops looking where it is told to", () => {
    const map = new StorageMap<string>(10_000);
    for (let i = 0; i < 5000; i++) claim(map, i * 10, i * 10 + 5, "a", i);
    expect(claim(map, 0, 50_000, "b", 0, 16)).toHaveLength(16);
  });

  it("agrees with a map of single bytes, however claims overlap", () => {
    const claims = fc.array(
      fc.record({ start: fc.nat(3000), length: fc.integer({ min: 1, max: 400 }), offset: fc.nat(1_000_000) }),
      { maxLength: 1500 },
    );
    fc.assert(
      fc.property(claims, (list) => {
        const map = new StorageMap<string>(1_000_000);
        const bytes = new Map<number, string>();
        for (const [i, { start, length, offset }] of list.entries()) {
          const known = new Map<number, string>();
          for (const part of claim(map, start, start + length, String(i), offset, Number.POSITIVE_INFINITY)) {
            for (let k = 0; k < part.length; k++) known.set(part.at + k, `${part.owner}@${part.offset + k}`);
          }
          for (let at = start; at < start + length; at++) {
            expect(known.get(at)).toBe(bytes.get(at));
            if (!bytes.has(at)) bytes.set(at, `${i}@${offset + at - start}`);
          }
        }
      }),
      { numRuns: draws(25) },
    );
  });
});
