// Which storage of the source is known to hold which part of which file: runs of addresses that do not overlap, in order. Bounded: beyond its limit
// nothing new is remembered, so that what comes later finds less, never anything wrong.

interface Run<Owner> {
  readonly start: number;
  readonly end: number;
  readonly owner: Owner;
  /** Where the run's first byte stands in its owner. */
  readonly offset: number;
}

const chunkMax = 512;

export class StorageMap<Owner> {
  /** Runs in order, in chunks that are never empty but for the only one. */
  #chunks: Run<Owner>[][] = [[]];
  #count = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * The storage [start, end) holds `owner` from `offset` on: tells `found` of each part that is known already, in order (where it begins, its length, and whose it is
   * from where on), until that returns false; what is not known belongs to `owner` from now on.
   */
  claim(
    start: number,
    end: number,
    owner: Owner,
    offset: number,
    found: (at: number, length: number, owner: Owner, offset: number) => boolean,
  ): void {
    const gaps: Run<Owner>[] = [];
    const addGap = (from: number, to: number): void => {
      if (from < to) gaps.push({ start: from, end: to, owner, offset: offset + from - start });
    };
    let at = start;
    for (const run of this.#runsFrom(start)) {
      if (run.start >= end) break;
      addGap(at, run.start);
      const from = Math.max(run.start, start);
      at = Math.min(run.end, end);
      if (!found(from, at - from, run.owner, run.offset + from - run.start)) {
        at = end; // the rest is not looked at, so nothing can be said of it
        break;
      }
    }
    addGap(at, end);
    for (const gap of gaps) this.#insert(gap);
  }

  /** Runs that end behind an address, in order. */
  *#runsFrom(address: number): Generator<Run<Owner>, void> {
    let chunk = this.#chunkOf(address);
    let index = firstEndingAfter(this.#chunks[chunk] as Run<Owner>[], address);
    for (; chunk < this.#chunks.length; chunk++, index = 0) {
      const runs = this.#chunks[chunk] as Run<Owner>[];
      for (; index < runs.length; index++) yield runs[index] as Run<Owner>;
    }
  }

  /** The first chunk with a run that ends behind the address; else the last. */
  #chunkOf(address: number): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#chunks[middle]?.at(-1)?.end ?? 0) > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #insert(run: Run<Owner>): void {
    if (this.#count >= this.#limit) return;
    const index = this.#chunkOf(run.start);
    const chunk = this.#chunks[index] as Run<Owner>[];
    chunk.splice(firstEndingAfter(chunk, run.start), 0, run);
    this.#count++;
    if (chunk.length > chunkMax) this.#chunks.splice(index + 1, 0, chunk.splice(chunkMax / 2));
  }
}

function firstEndingAfter<Owner>(runs: readonly Run<Owner>[], address: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[middle] as Run<Owner>).end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}
