// An archive that one part of this process reads while another writes it: both go at the pace of the slower.

import { PassThrough } from "node:stream";
import { TsfsaError } from "../base/errors.ts";
import { type ArchiveInput, PipeInput } from "./input.ts";
import type { Sink } from "./sink.ts";

/** Bytes that are written and not read yet, before the writer waits. */
const aheadBytes = 8 * 1024 * 1024;

/** `name`: what people call it. */
export function memoryPipe(name: string, signal: AbortSignal): { readonly sink: Sink; readonly input: ArchiveInput } {
  const stream = new PassThrough({ highWaterMark: aheadBytes });
  return { sink: new MemorySink(name, stream), input: new PipeInput(name, stream, signal) };
}

class MemorySink implements Sink {
  readonly name: string;
  readonly identities = [];
  readonly #stream: PassThrough;
  offset = 0;

  constructor(name: string, stream: PassThrough) {
    this.name = name;
    this.#stream = stream;
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    for (const part of parts) {
      if (part.length > 0) await this.#writePart(part.slice());
      this.offset += part.length;
    }
  }

  async commit(): Promise<void> {
    this.#stream.end();
  }

  abort(): void {
    this.#stream.destroy();
  }

  #writePart(part: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      // A stream that is destroyed in the middle of a write may call that a success.
      this.#stream.write(part, (error) => {
        if (!this.#stream.destroyed && (error === null || error === undefined)) resolve();
        else reject(new TsfsaError("IO", `nobody reads ${this.name} any more`, { errno: "EPIPE", cause: error }));
      });
    });
  }
}
