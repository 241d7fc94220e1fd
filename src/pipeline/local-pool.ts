// Runs jobs in this thread, one after the other: where there are so few that starting threads would take longer than the work.

import { setImmediate } from "node:timers/promises";
import { type JobHandlers, type JobMap } from "./protocol.ts";

/** How long jobs may follow each other before signals and all else that waits have a turn. */
const turnMs = 50;

export class LocalPool<Jobs extends JobMap<Jobs>> {
  readonly workers = 1;
  readonly #handlers: JobHandlers<Jobs>;
  #turnAt = performance.now();

  constructor(handlers: JobHandlers<Jobs>) {
    this.#handlers = handlers;
  }

  /** Runs one job. Rejects with what it throws. */
  async run<Kind extends keyof Jobs & string>(kind: Kind, input: Jobs[Kind]["input"]): Promise<Jobs[Kind]["output"]> {
    if (performance.now() - this.#turnAt > turnMs) {
      await setImmediate();
      this.#turnAt = performance.now();
    }
    return (await this.#handlers[kind](input)).output;
  }

  async close(): Promise<void> {}
}
