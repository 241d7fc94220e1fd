// Runs the jobs of a save in this thread, with inputs and outputs cloned and moved as between threads. Jobs end in an order of their own: each waits
// some turns of the event loop, by a seeded sequence.

import { setImmediate } from "node:timers/promises";
import type { JobResult } from "../../../src/pipeline/protocol.ts";
import { saveJobs } from "../../../src/save/handlers.ts";
import type { SaveJobs, SavePool, SaveWorkerData } from "../../../src/save/protocol.ts";
import type { Trees } from "../../../src/save/source-trees.ts";

export interface InlinePoolOptions {
  /** Of the order in which jobs end; 0: at once. */
  readonly seed?: number;
  /** One job after the other, in the order they were given. */
  readonly serial?: boolean;
  /** Called before a job runs. */
  readonly before?: (kind: keyof SaveJobs, input: SaveJobs[keyof SaveJobs]["input"]) => void | Promise<void>;
}

type Handler = (input: unknown) => JobResult<unknown> | Promise<JobResult<unknown>>;

export class InlinePool implements SavePool {
  readonly counts: Record<keyof SaveJobs, number> = {
    scan: 0,
    stat: 0,
    pack: 0,
    slice: 0,
    image: 0,
    imageSlice: 0,
  };
  /** Most jobs that were under way at a time. */
  runningMax = 0;
  readonly #handlers: Readonly<Record<keyof SaveJobs, Handler>>;
  readonly #options: InlinePoolOptions;
  #state: number;
  #running = 0;
  #closed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(data: SaveWorkerData, trees: Trees, options: InlinePoolOptions = {}) {
    this.#handlers = saveJobs(structuredClone(data), trees) as unknown as Readonly<Record<keyof SaveJobs, Handler>>;
    this.#options = options;
    this.#state = options.seed ?? 0;
  }

  run<Kind extends keyof SaveJobs>(
    kind: Kind,
    input: SaveJobs[Kind]["input"],
    options: { readonly transfer?: ArrayBuffer[] } = {},
  ): Promise<SaveJobs[Kind]["output"]> {
    const moved = structuredClone(input, { transfer: options.transfer ?? [] });
    if (this.#options.serial !== true) return this.#run(kind, moved);
    const result = this.#last.then(() => this.#run(kind, moved));
    this.#last = result.catch(() => {});
    return result;
  }

  async #run<Kind extends keyof SaveJobs>(
    kind: Kind,
    input: SaveJobs[Kind]["input"],
  ): Promise<SaveJobs[Kind]["output"]> {
    this.counts[kind]++;
    this.runningMax = Math.max(this.runningMax, ++this.#running);
    try {
      await this.#wait();
      await this.#options.before?.(kind, input);
      const { output, transfer } = await this.#handlers[kind](input);
      const back = structuredClone(output, { transfer: transfer ?? [] }) as SaveJobs[Kind]["output"];
      await this.#wait();
      if (this.#closed) throw new Error("the pool is closed");
      return back;
    } finally {
      this.#running--;
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  async #wait(): Promise<void> {
    if (this.#state === 0) return;
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) >>> 0 || 1;
    for (let turns = (this.#state >>> 16) % 6; turns > 0; turns--) await setImmediate();
  }
}
