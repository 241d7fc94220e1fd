// Writing to an open descriptor from Node's thread pool: all bytes, in order, and no close under a write.

import { closeSync, fsync, writev } from "node:fs";
import { promisify } from "node:util";
import { cannotWrite } from "./sink-errors.ts";

const fsyncAsync = promisify(fsync);
const writevAsync = promisify(writev);

export class Descriptor {
  readonly fd: number;
  readonly #name: string;
  #busy = false;
  #closed = false;

  /** `name`: what people call it, for errors. */
  constructor(fd: number, name: string) {
    this.fd = fd;
    this.#name = name;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Writes all parts, going on after short writes; waits when a descriptor that does not block is full. Returns their length. */
  async write(parts: readonly Uint8Array[]): Promise<number> {
    let pending = parts.filter((part) => part.length > 0);
    let total = 0;
    while (pending.length > 0) {
      const written = await this.#run(() => writevAsync(this.fd, pending).then(({ bytesWritten }) => bytesWritten));
      if (written === undefined) await new Promise((resolve) => setTimeout(resolve, 2));
      total += written ?? 0;
      pending = dropBytes(pending, written ?? 0);
    }
    return total;
  }

  async sync(): Promise<void> {
    await this.#run(() => fsyncAsync(this.fd));
  }

  /** May be called again. A call under way keeps it open until its end: its number must not become another file's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#busy) closeSync(this.fd);
  }

  /** The result of a call; undefined where it would have had to wait. */
  async #run<Result>(call: () => Promise<Result>): Promise<Result | undefined> {
    if (this.#closed) throw cannotWrite(this.#name, { code: "EBADF" });
    this.#busy = true;
    try {
      return await call();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
      throw cannotWrite(this.#name, error);
    } finally {
      this.#busy = false;
      if (this.#closed) closeSync(this.fd);
    }
  }
}

function dropBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length;
    else {
      rest.push(skip === 0 ? part : part.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}
