// Jobs in parallel, their results in order: a bounded number runs at a time, and each result is handled after all before it.

export class OrderedJobs {
  readonly #limit: number;
  #running = 0;
  #tail: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Starts a job once there is room, and handles its result in its turn. Throws what an earlier one failed with. */
  async start<Output>(run: () => Promise<Output>, handle: (output: Output) => void | Promise<void>): Promise<void> {
    while (this.#running >= this.#limit && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#throwFailure();
    this.#running++;
    const result = run();
    result.catch(() => {}); // Handled in its turn.
    this.afterwards(async () => {
      try {
        await handle(await result);
      } finally {
        this.#running--;
        this.#wake?.();
      }
    });
  }

  /** Does something after all jobs started so far have been handled. */
  afterwards(action: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      if (this.#failure !== undefined) return;
      try {
        await action();
      } catch (error) {
        this.#failure = { error };
        this.#wake?.();
      }
    });
  }

  /** Nothing that is not done yet is done: the run has failed elsewhere. */
  stop(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** Waits for everything, also for what is added meanwhile; throws the first failure. */
  async drain(): Promise<void> {
    for (let tail: Promise<void> | undefined; tail !== this.#tail; ) {
      tail = this.#tail;
      await tail;
    }
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
