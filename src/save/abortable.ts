// A sink's writes that end when the save is to stop: one that waits for a slow reader must not hold up SIGTERM.

import type { ArchiveOutput } from "../archive/writer.ts";

/** The same output; a write under way rejects with the signal's reason when it is aborted, and so does every later one. */
export function abortableOutput(output: ArchiveOutput, signal: AbortSignal): ArchiveOutput {
  return {
    get offset(): number {
      return output.offset;
    },
    write(parts): Promise<void> {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const stop = (): void => reject(signal.reason as Error);
        signal.addEventListener("abort", stop, { once: true });
        const settled = (): void => signal.removeEventListener("abort", stop);
        output.write(parts).then(resolve, reject).then(settled, settled);
      });
    },
  };
}
