// Text to a stream that may be a pipe nobody reads any more, or a full disk. Rows are gathered into larger writes; a stream that failed swallows the rest.

import type { OutputStream } from "./host.ts";

const bufferChars = 64 * 1024;

export class TextOutput {
  readonly #stream: OutputStream;
  readonly #onFailure: (error: Error) => void;
  #pending = "";
  #failed = false;

  /** onFailure hears of the first failure of the stream, once. */
  constructor(stream: OutputStream, onFailure: (error: Error) => void) {
    this.#stream = stream;
    this.#onFailure = onFailure;
    stream.on("error", (error: Error) => this.#fail(error));
  }

  /** Written at once, behind the rows that wait. */
  write(text: string): void {
    this.#pending += text;
    const all = this.#pending;
    this.#pending = "";
    if (!this.#failed && all !== "") this.#stream.write(all);
  }

  /** May wait for more. The promise, where there is one, is the stream's wish to be waited for. */
  writeRow(text: string): void | Promise<void> {
    this.#pending += text;
    if (this.#pending.length >= bufferChars) return this.flush();
  }

  /** Settles when all that was written has left the process, or never will. */
  async flush(): Promise<void> {
    const all = this.#pending;
    this.#pending = "";
    if (this.#failed) return;
    await new Promise<void>((resolve) => {
      this.#stream.write(all, (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#onFailure(error);
  }
}
