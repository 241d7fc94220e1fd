import { describe, expect, it } from "vitest";
import { sortByTurns } from "../../src/commands/sort-by-turns.ts";

describe("sortByTurns", () => {
  it("is a stable sort, of any number of numbers", async () => {
    for (const count of [0, 1, 2, 32_768, 32_769, 150_000]) {
      const keys = Array.from({ length: count }, (_, index) => (index * 7919) % 1009);
      const compare = (a: number, b: number): number => (keys[a] as number) - (keys[b] as number);
      const sorted = await sortByTurns(count, compare, new AbortController().signal);
      expect([...sorted]).toEqual([...keys.keys()].toSorted(compare));
    }
  });

  it("stops in the middle", async () => {
    const stop = new AbortController();
    setImmediate(() => stop.abort(new Error("stop")));
    let compared = 0;
    const sorting = sortByTurns(1_000_000, (a, b) => (compared++, b - a), stop.signal);
    await expect(sorting).rejects.toThrow("stop");
    expect(compared).toBeLessThan(2_000_000);
  });
});
