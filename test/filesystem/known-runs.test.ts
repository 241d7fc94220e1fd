import * as fc from "fast-check";
import { expect, test } from "vitest";
import { KnownRuns } from "../../src/filesystem/ext/known-runs.ts";

type Run = [number, number, number];

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const run = fc.tuple(word, word, fc.integer({ min: 0, max: 2 ** 48 - 1 }));
const file = fc.record({ size: fc.maxSafeNat(), runs: fc.array(run, { maxLength: 6 }), isAbandoned: fc.boolean() });
const runsMax = 4;

/** The runs of the file at `at`. */
const runsAt = (known: KnownRuns, at: number): Run[] =>
  Array.from({ length: known.count(at) }, (_, i) => [known.logical(at, i), known.length(at, i), known.physical(at, i)]);

test("what is kept is found again in any order, and nothing else", () => {
  fc.assert(
    fc.property(fc.array(file, { maxLength: 600, size: "max" }), fc.array(fc.nat(700)), (files, order) => {
      const known = new KnownRuns();
      known.start(5, 5, 1);
      known.keep();
      known.clear();
      const kept = files.map(({ size, runs, isAbandoned }, inode) => {
        known.start(inode, size, runsMax);
        for (const each of runs) known.add(...each);
        return !isAbandoned && known.keep() >= 0;
      });
      for (const inode of [...files.keys(), ...order]) {
        const at = known.find(inode);
        expect(at >= 0).toBe(kept[inode] === true && (files[inode]?.runs.length ?? 0) <= runsMax);
        if (at < 0) continue;
        expect(known.size(at)).toBe(files[inode]?.size);
        expect(runsAt(known, at)).toEqual(files[inode]?.runs);
      }
    }),
  );
});

test("a file with very many runs is kept where that is asked for, and cut off again", () => {
  const known = new KnownRuns();
  known.start(7, 1, 1);
  known.add(1, 2, 3);
  known.keep();
  known.start(8, 2 ** 40, Number.POSITIVE_INFINITY);
  for (let i = 0; i < 100_000; i++) known.add(i, 1, 2 ** 33 + i);
  const at = known.keep();
  expect(known.find(8)).toBe(at);
  expect(known.count(at)).toBe(100_000);
  expect(known.physical(at, 99_999)).toBe(2 ** 33 + 99_999);
  known.cut(at);
  expect(known.find(8)).toBe(-1);
  expect(runsAt(known, known.find(7))).toEqual([[1, 2, 3]]);
});
