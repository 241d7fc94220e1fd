import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { intersectRuns, RunBuilder, spansWithout } from "../../../src/filesystem/image/runs.ts";

function build(runs: readonly (readonly [number, number])[], runsMax = 1000): Float64Array {
  const builder = new RunBuilder(runsMax);
  for (const [offset, length] of runs) builder.add(offset, length);
  return builder.finish();
}

const scattered = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), { maxLength: 300 })
  .map((steps) => {
    let at = 0;
    return steps.map(([gap, length]): [number, number] => {
      const run: [number, number] = [at + gap, length];
      at += gap + length;
      return run;
    });
  });

function bytesOf(runs: Float64Array): Set<number> {
  const bytes = new Set<number>();
  for (let i = 0; i < runs.length; i += 2) {
    for (let at = runs[i] as number; at < (runs[i] as number) + (runs[i + 1] as number); at++) bytes.add(at);
  }
  return bytes;
}

describe("RunBuilder", () => {
  it("joins runs that touch or overlap", () => {
    expect(
      build([
        [0, 4],
        [4, 2],
        [5, 3],
        [10, 1],
      ]),
    ).toEqual(Float64Array.of(0, 8, 10, 1));
  });

  it("keeps every byte when there are too many runs, and then fills the smallest gaps", () => {
    fc.assert(
      fc.property(scattered, (runs) => {
        const exact = build(runs);
        const coarse = build(runs, 16);
        expect(coarse.length / 2).toBeLessThanOrEqual(16);
        const kept = bytesOf(coarse);
        for (const at of bytesOf(exact)) expect(kept.has(at)).toBe(true);
      }),
      { seed: 1702 },
    );
  });
});

describe("intersectRuns()", () => {
  it("has what both have", () => {
    fc.assert(
      fc.property(scattered, scattered, (a, b) => {
        const [left, right] = [bytesOf(build(a)), bytesOf(build(b))];
        const both = [...left].filter((at) => right.has(at));
        expect([...bytesOf(intersectRuns(build(a), build(b)))]).toEqual(both);
      }),
      { seed: 1702 },
    );
  });
});

describe("spansWithout()", () => {
  it("goes from the first to the last byte that is missing between two that are there", () => {
    expect(spansWithout(Float64Array.of(0, 4, 10, 10, 30, 5), Float64Array.of(0, 4, 14, 2))).toEqual(
      Float64Array.of(10, 4, 16, 19),
    );
    fc.assert(
      fc.property(scattered, scattered, (a, b) => {
        const runs = build(a);
        const whole = intersectRuns(runs, build(b));
        const there = bytesOf(whole);
        const missing = [...bytesOf(runs)].filter((at) => !there.has(at));
        const spans = spansWithout(runs, whole);
        const covered = bytesOf(spans);
        expect(missing.every((at) => covered.has(at))).toBe(true);
        expect([...there].some((at) => covered.has(at))).toBe(false);
        const edges = [...spans].map((value, i) => (i % 2 === 0 ? value : (spans[i - 1] as number) + value - 1));
        expect(edges.every((at) => missing.includes(at))).toBe(true);
        for (let i = 2; i < edges.length; i += 2) {
          const [before, after] = [edges[i - 1] as number, edges[i] as number];
          expect([...there].some((at) => at > before && at < after)).toBe(true);
        }
      }),
      { seed: 1704 },
    );
  });
});
