// The question before something is overwritten. Asked only where a person can answer: terminal in, terminal for the question.

import type { Readable } from "node:stream";
import type { OutputStream } from "./host.ts";

/** Asks `[y/N]`; everything but yes is no, the end of the input too. Rejects with the reason of `signal`. */
export async function ask(
  question: string,
  input: Readable,
  output: OutputStream,
  signal: AbortSignal,
): Promise<boolean> {
  const { createInterface } = await import("node:readline/promises"); // few runs ask
  // terminal: false keeps the terminal's own line editing, and ^C a signal.
  const reader = createInterface({ input, output, terminal: false });
  try {
    const ended = new Promise<string>((resolve) => reader.once("close", () => resolve("")));
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal }), ended]);
    return /^\s*y(es)?\s*$/i.test(answer);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    reader.close();
  }
}
