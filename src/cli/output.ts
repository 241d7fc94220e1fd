// Text to a stream that may be a pipe nobody reads any more or nobody reads just now, or a full disk. Rows are gathered into larger writes; a stream that failed swallows the rest.

import type { OutputStream } from "./host.ts";

const bufferChars = 64 * 1024;
/** How long a run that was asked to stop waits for a reader. */
const hurryMs = 200;

export class TextOutput {
  readonly #open: () => OutputStream;
  #stream: OutputStream | undefined;
  readonly #onFailure: (error: Error) => void;
  #pending = "";
  #failed = false;
  #hurried = false;
  #abandoned = false;
  /** Ends the wait of the flush() that waits. */
  #endWait: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** The stream is asked for with the first text; onFailure hears of its first failure, once. */
  constructor(open: () => OutputStream, onFailure: (error: Error) => void) {
    this.#open = open;
    this.#onFailure = onFailure;
  }

  /** Written at once, behind the rows that wait. */
  write(text: string): void {
    this.#pending += text;
    const all = this.#pending;
    this.#pending = "";
    if (!this.#failed && all !== "") this.#opened().write(all);
  }

  /** May wait for more. The promise, where there is one, is the stream's wish to be waited for. */
  writeRow(text: string): void | Promise<void> {
    this.#pending += text;
    if (this.#pending.length >= bufferChars) return this.flush();
  }

  /** Bytes that are no text; not to be changed before the promise settles. */
  async writeBytes(bytes: Uint8Array): Promise<void> {
    await this.#send(bytes);
  }

  /** From now on nobody waits long for a reader: what does not leave at once may be lost. */
  hurry(): void {
    this.#hurried = true;
    const end = this.#endWait;
    if (end === undefined) return;
    this.#timer = setTimeout(() => {
      this.#abandoned = true;
      end();
    }, hurryMs);
  }

  /** Text was given up: it may still wait in the stream, which would hold the process. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Settles when all that was written has left the process, or never will. */
  async flush(): Promise<void> {
    const all = this.#pending;
    this.#pending = "";
    if (all !== "" || this.#stream !== undefined) await this.#send(all);
  }

  async #send(content: string | Uint8Array): Promise<void> {
    if (this.#failed) return;
    const stream = this.#opened();
    await new Promise<void>((resolve) => {
      this.#endWait = resolve;
      if (this.#hurried) this.hurry();
      stream.write(content, (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
    clearTimeout(this.#timer);
    this.#endWait = undefined;
  }

  #opened(): OutputStream {
    this.#stream ??= this.#open().on("error", (error: Error) => this.#fail(error));
    return this.#stream;
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#onFailure(error);
  }
}
