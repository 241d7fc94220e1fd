import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leafSizeBytes } from "../../src/base/limits.ts";
import { alignSegments, segmentsToExtents, sumOfSegments } from "../../src/sys/data-runs.ts";
import { cutSlices, planLargeFile } from "../../src/save/slices.ts";

const MiB = leafSizeBytes;

/** Ascending runs inside a file, at any byte. */
const runsOfFile = fc
  .tuple(
    fc.integer({ min: 1, max: 12 * MiB }),
    fc.array(fc.tuple(fc.integer({ min: 0, max: 200_000 }), fc.integer({ min: 1, max: 900_000 })), { maxLength: 40 }),
  )
  .map(([size, steps]) => {
    const runs: number[] = [];
    let at = 0;
    for (const [hole, length] of steps) {
      const offset = at + hole;
      if (offset >= size) break;
      const end = Math.min(size, offset + length);
      runs.push(offset, end - offset);
      at = end + 1;
    }
    return { size, runs: Float64Array.from(runs) };
  });

function ends(segments: Float64Array): [number, number][] {
  return segmentsToExtents(segments).map(({ offset, length }) => [offset, offset + length]);
}

/** True when every byte of `inner` stands in `outer`. */
function covers(outer: Float64Array, inner: Float64Array): boolean {
  const around = ends(outer);
  return ends(inner).every(([start, end]) => around.some(([from, to]) => from <= start && end <= to));
}

describe("alignSegments", () => {
  it("gives ascending runs apart from each other, on multiples of 512 but for the end of the file, that cover all data", () => {
    fc.assert(
      fc.property(runsOfFile, ({ size, runs }) => {
        const aligned = alignSegments(runs, size) ?? Float64Array.of(0, size);
        let last = -1;
        for (const [start, end] of ends(aligned)) {
          expect(start > last && end > start && end <= size).toBe(true);
          expect(start % 512 === 0 && (end % 512 === 0 || end === size)).toBe(true);
          last = end;
        }
        expect(covers(aligned, runs)).toBe(true);
        expect(sumOfSegments(aligned) - sumOfSegments(runs)).toBeLessThanOrEqual(runs.length * 512);
      }),
    );
  });

  it("is undefined for a file without holes, and empty for one that is all hole", () => {
    expect(alignSegments(Float64Array.of(0, 1000), 1000)).toBeUndefined();
    expect(alignSegments(Float64Array.of(0, 600, 600, 400), 1000)).toBeUndefined();
    expect(alignSegments(new Float64Array(0), 1000)).toEqual(new Float64Array(0));
  });
});

describe("planLargeFile", () => {
  it("archives at most the segments it may, which cover all data, and keeps the exact map beside them", () => {
    fc.assert(
      fc.property(runsOfFile, fc.integer({ min: 1, max: 10 }), ({ size, runs }, most) => {
        const exact = alignSegments(runs, size) ?? Float64Array.of(0, size);
        const plan = planLargeFile(runs, size, most);
        const isOver = exact.length / 2 > most;
        expect(plan.segments.length / 2).toBe(isOver ? most : exact.length / 2);
        expect(plan.exactMap).toEqual(isOver ? exact : undefined);
        expect(covers(plan.segments, exact)).toBe(true);
      }),
    );
  });

  it("fills the smallest holes, of equal ones the first", () => {
    const runs = Float64Array.of(0, 512, 1024, 512, 4096, 512, 5120, 512, 9216, 512);
    const filled = (most: number): [number, number][] => ends(planLargeFile(runs, 20_000, most).segments);
    expect(filled(4)).toEqual([[0, 1536], [4096, 4608], [5120, 5632], [9216, 9728]]); // biome-ignore format: pairs
    expect(filled(3)).toEqual([[0, 1536], [4096, 5632], [9216, 9728]]); // biome-ignore format: pairs
    expect(filled(1)).toEqual([[0, 9728]]);
  });

  it("stays quick for a map of a million segments and one", () => {
    const runs = Float64Array.from({ length: 2_000_002 }, (_, i) => (i % 2 === 0 ? i * 512 : 512));
    const plan = planLargeFile(runs, 1_000_001 * 1024);
    expect(plan.segments.length).toBe(2_000_000);
    expect([...plan.segments.subarray(0, 4)]).toEqual([0, 1536, 2048, 512]);
    expect(plan.exactMap?.length).toBe(2_000_002);
  });
});

describe("cutSlices", () => {
  it("cuts at leaf borders, holds at most a block of data in each slice, and loses none", () => {
    fc.assert(
      fc.property(runsOfFile, fc.integer({ min: 1, max: 4 }), ({ size, runs }, blocks) => {
        const plan = planLargeFile(runs, size);
        const slices = [...cutSlices(plan, blocks * MiB)];
        expect(slices[0]?.start).toBe(0);
        expect(slices.at(-1)?.end).toBe(size);
        const joined: number[] = [];
        for (const [i, slice] of slices.entries()) {
          expect(slice.start).toBe(i === 0 ? 0 : slices[i - 1]?.end);
          expect(slice.start % MiB).toBe(0);
          expect(sumOfSegments(slice.segments)).toBeLessThanOrEqual(blocks * MiB);
          if (i > 0) expect(slice.segments.length, "a continuation without data").toBeGreaterThan(0);
          for (const [start, end] of ends(slice.segments)) {
            expect(start >= slice.start && end <= slice.end).toBe(true);
            if (joined.at(-1) === start) joined.pop();
            else joined.push(start);
            joined.push(end);
          }
        }
        expect(joined).toEqual(ends(plan.segments).flat());
      }),
    );
  });

  it("goes over a hole of petabytes without looking at its leaves", () => {
    const size = 4 * 2 ** 50;
    const slices = [...cutSlices(planLargeFile(Float64Array.of(0, 512, size - 512, 512), size), MiB)];
    expect(slices.map(({ start, end }) => [start, end])).toEqual([
      [0, size - MiB],
      [size - MiB, size],
    ]);
  });

  it("cuts a file without holes into whole blocks", () => {
    const slices = [...cutSlices(planLargeFile(Float64Array.of(0, 9 * MiB + 1), 9 * MiB + 1), 4 * MiB)];
    expect(slices.map(({ end }) => end)).toEqual([4 * MiB, 8 * MiB, 9 * MiB + 1]);
  });
});
