// Runs jobs in this thread, one after the other: where there are so few that starting threads would take longer than the work.

import { type JobHandlers, type JobMap } from "./protocol.ts";

export class LocalPool<Jobs extends JobMap<Jobs>> {
  readonly workers = 1;
  readonly #handlers: JobHandlers<Jobs>;

  constructor(handlers: JobHandlers<Jobs>) {
    this.#handlers = handlers;
  }

  /** Runs one job. Rejects with what it throws. */
  async run<Kind extends keyof Jobs & string>(kind: Kind, input: Jobs[Kind]["input"]): Promise<Jobs[Kind]["output"]> {
    return (await this.#handlers[kind](input)).output;
  }

  async close(): Promise<void> {}
}
