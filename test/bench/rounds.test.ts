import { describe, expect, it } from "vitest";
import { inTurn } from "../../bench/rounds.ts";

/** How often each of `count` tools came first, and each followed each other one, in so many rounds. */
function countOf(count: number, rounds: number): { readonly first: number[]; readonly pairs: number[] } {
  const tools = Array.from({ length: count }, (_, index) => index);
  const first = tools.map(() => 0);
  const pairs = new Map(tools.flatMap((a) => tools.filter((b) => b !== a).map((b) => [`${a} ${b}`, 0])));
  for (let round = 0; round < rounds; round++) {
    const order = inTurn(tools, round);
    expect(order.toSorted((a, b) => a - b)).toEqual(tools);
    first[order[0] as number] = (first[order[0] as number] as number) + 1;
    for (let i = 1; i < count; i++) {
      const pair = `${order[i - 1]} ${order[i]}`;
      pairs.set(pair, (pairs.get(pair) as number) + 1);
    }
  }
  return { first, pairs: [...pairs.values()] };
}

describe("the order of rounds", () => {
  it.each([1, 2, 4, 6, 8])("lets each of %i tools come first and follow each other one equally often", (count) => {
    const { first, pairs } = countOf(count, 3 * count);
    expect(new Set(first)).toEqual(new Set([3]));
    expect(new Set(pairs)).toEqual(new Set(count === 1 ? [] : [3]));
  });

  it.each([3, 5, 7])("does so for %i tools in twice as many rounds", (count) => {
    const { first, pairs } = countOf(count, 2 * count);
    expect(new Set(first)).toEqual(new Set([2]));
    expect(new Set(pairs)).toEqual(new Set([2]));
  });
});
