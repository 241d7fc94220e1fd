// A sink that keeps what it is given.

import type { FileIdentity, Sink } from "../../../src/archive/sink.ts";

export class MemorySink implements Sink {
  readonly name = "memory";
  readonly identities: readonly FileIdentity[];
  readonly #parts: Buffer[] = [];
  offset = 0;

  constructor(identities: readonly FileIdentity[] = []) {
    this.identities = identities;
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    for (const part of parts) {
      this.#parts.push(Buffer.from(part)); // a copy: the writer may use its buffer again
      this.offset += part.length;
    }
    return Promise.resolve();
  }

  commit(): Promise<void> {
    return Promise.resolve();
  }

  abort(): void {}

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
