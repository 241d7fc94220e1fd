// Runs of used bytes: pairs of offset and length in one Float64Array, ascending, apart from each other.

/** Collects runs in ascending order. However scattered they are, no more than `runsMax` are kept: the smallest gaps are then taken for used. */
export class RunBuilder {
  readonly #runsMax: number;
  #runs: Float64Array = new Float64Array(1024);
  #length = 0;
  /** Gaps shorter than this are filled. */
  #gapMin = 1;

  constructor(runsMax: number) {
    this.#runsMax = runsMax;
  }

  /** Adds [offset, offset + length); it may touch or overlap the run before, and begins nowhere before that one begins. */
  add(offset: number, length: number): void {
    if (length <= 0) return;
    const runs = this.#runs;
    const last = this.#length - 2;
    if (last >= 0 && offset - ((runs[last] as number) + (runs[last + 1] as number)) < this.#gapMin) {
      const start = runs[last] as number;
      runs[last + 1] = Math.max(runs[last + 1] as number, offset + length - start);
      return;
    }
    if (this.#length >= 2 * this.#runsMax) {
      this.#coarsen();
      this.add(offset, length);
      return;
    }
    if (this.#length === runs.length) {
      this.#runs = new Float64Array(Math.min(2 * runs.length, 2 * this.#runsMax));
      this.#runs.set(runs);
    }
    this.#runs[this.#length++] = offset;
    this.#runs[this.#length++] = length;
  }

  finish(): Float64Array {
    return this.#runs.slice(0, this.#length);
  }

  /** Fills the smallest gaps until half of the runs are left. */
  #coarsen(): void {
    while (this.#length > Math.max(2, this.#runsMax)) {
      const old = this.#runs.slice(0, this.#length);
      this.#gapMin *= 2;
      this.#length = 0;
      for (let i = 0; i < old.length; i += 2) this.add(old[i] as number, old[i + 1] as number);
    }
  }
}

/** What stands in both. */
export function intersectRuns(a: Float64Array, b: Float64Array): Float64Array {
  const both: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const start = Math.max(a[i] as number, b[j] as number);
    const endA = endOf(a, i);
    const endB = endOf(b, j);
    if (Math.min(endA, endB) > start) both.push(start, Math.min(endA, endB) - start);
    if (endA <= endB) i += 2;
    else j += 2;
  }
  return Float64Array.from(both);
}

/** What of `runs` is not in `whole`, which holds nothing else: from the first to the last byte between two of `whole`. */
export function spansWithout(runs: Float64Array, whole: Float64Array): Float64Array {
  const spans: number[] = [];
  let isOpen = false;
  for (let i = 0, j = 0; i < runs.length; i += 2) {
    for (let at = runs[i] as number; at < endOf(runs, i); ) {
      while (j < whole.length && endOf(whole, j) <= at) j += 2;
      const next = whole[j] ?? Infinity;
      if (next <= at) {
        at = endOf(whole, j);
        isOpen = false;
        continue;
      }
      const end = Math.min(endOf(runs, i), next);
      if (isOpen) spans[spans.length - 1] = end - (spans.at(-2) as number);
      else spans.push(at, end - at);
      isOpen = true;
      at = end;
    }
  }
  return Float64Array.from(spans);
}

function endOf(runs: Float64Array, index: number): number {
  return (runs[index] as number) + (runs[index + 1] as number);
}
