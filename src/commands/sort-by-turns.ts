// Sorting so many numbers that it takes seconds, with turns of the event loop in between: a signal is heard.

import { nextTurn } from "./parts.ts";

/** Numbers that are sorted at a time. */
const runLength = 32_768;

/** The numbers below `count` in order, equal ones ascending. Throws the signal's reason. */
export async function sortByTurns(
  count: number,
  compare: (a: number, b: number) => number,
  signal: AbortSignal,
): Promise<Uint32Array> {
  const turn = async (): Promise<void> => {
    await nextTurn();
    signal.throwIfAborted();
  };
  let runs: Uint32Array[] = [];
  for (let start = 0; start < count; start += runLength) {
    const length = Math.min(runLength, count - start);
    runs.push(Uint32Array.from({ length }, (_, index) => start + index).toSorted(compare));
    await turn();
  }
  while (runs.length > 1) {
    const merged: Uint32Array[] = [];
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(merge(runs[i] as Uint32Array, runs[i + 1] ?? new Uint32Array(0), compare));
      await turn();
    }
    runs = merged;
  }
  return runs[0] ?? new Uint32Array(0);
}

function merge(left: Uint32Array, right: Uint32Array, compare: (a: number, b: number) => number): Uint32Array {
  const merged = new Uint32Array(left.length + right.length);
  let l = 0;
  let r = 0;
  for (let at = 0; at < merged.length; at++) {
    const isLeft = r === right.length || (l < left.length && compare(left[l] as number, right[r] as number) <= 0);
    merged[at] = (isLeft ? left[l++] : right[r++]) as number;
  }
  return merged;
}
