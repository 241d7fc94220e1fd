// A fixed number of shared-memory buffers that blocks are compressed into: a worker fills one, the main thread writes it out and gives it
// back. So output costs no allocation, no copy and no transfer, and their number bounds the blocks in flight.

export class SlotPool {
  readonly #buffers: SharedArrayBuffer[] = [];
  readonly #free: number[] = [];
  readonly #slotBytes: number;
  readonly #count: number;
  readonly #waiting: { readonly resolve: (slot: number) => void; readonly reject: (error: unknown) => void }[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(count: number, slotBytes: number) {
    this.#count = count;
    this.#slotBytes = slotBytes;
  }

  /** Takes a slot, waiting until one is free. Rejects after fail(). */
  acquire(): Promise<number> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    const free = this.#free.pop();
    if (free !== undefined) return Promise.resolve(free);
    if (this.#buffers.length < this.#count) {
      this.#buffers.push(new SharedArrayBuffer(this.#slotBytes));
      return Promise.resolve(this.#buffers.length - 1);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  release(slot: number): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next.resolve(slot);
    else this.#free.push(slot);
  }

  /** No slot will become free any more, for this reason: all who wait are told, and all who come. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  buffer(slot: number): SharedArrayBuffer {
    const buffer = this.#buffers[slot];
    if (buffer === undefined) throw new RangeError(`no slot ${slot}`);
    return buffer;
  }
}
