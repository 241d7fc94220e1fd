// A fixed number of shared-memory buffers that blocks are compressed into: a worker fills one, the main thread writes it out and gives it
// back. So output costs no allocation, no copy and no transfer, and their number bounds the blocks in flight.

export class SlotPool {
  readonly #buffers: SharedArrayBuffer[] = [];
  readonly #free: number[] = [];
  readonly #slotBytes: number;
  readonly #count: number;
  readonly #waiting: ((slot: number) => void)[] = [];

  constructor(count: number, slotBytes: number) {
    this.#count = count;
    this.#slotBytes = slotBytes;
  }

  /** Takes a slot, waiting until one is free. */
  acquire(): Promise<number> {
    const free = this.#free.pop();
    if (free !== undefined) return Promise.resolve(free);
    if (this.#buffers.length < this.#count) {
      this.#buffers.push(new SharedArrayBuffer(this.#slotBytes));
      return Promise.resolve(this.#buffers.length - 1);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(slot: number): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next(slot);
    else this.#free.push(slot);
  }

  buffer(slot: number): SharedArrayBuffer {
    const buffer = this.#buffers[slot];
    if (buffer === undefined) throw new RangeError(`no slot ${slot}`);
    return buffer;
  }
}
