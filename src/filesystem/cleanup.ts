// What must be given back, in reverse order of taking, once, whatever happened in between.

export class Cleanup {
  #steps: (() => void | Promise<void>)[] = [];

  defer(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  /** Runs all steps, newest first; the first failure is thrown after the others have run. Later calls do nothing. */
  async run(): Promise<void> {
    const steps = this.#steps.toReversed();
    this.#steps = [];
    const failures: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Opens something in steps: what the steps deferred is undone when one of them throws. */
export async function openWith<T>(open: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  try {
    return await open(cleanup);
  } catch (error) {
    await cleanup.run().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }
}
