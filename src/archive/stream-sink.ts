// Sinks that cannot be undone: standard output, a FIFO, a character device. They get the bytes as they come and no footer on failure.
// A pipe or socket is written without blocking a thread: a reader that stands still must not keep the program from ending.

import { constants, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { addon } from "../sys/addon.ts";
import { check } from "../sys/errors.ts";
import { Descriptor } from "./descriptor.ts";
import type { FileIdentity, Sink } from "./sink.ts";
import { cannotCreate, cannotWrite } from "./sink-errors.ts";

const standardOutput = 1;
const nonBlocking = constants.O_WRONLY | constants.O_NONBLOCK;

export function openStandardOutput(): Sink {
  const name = "standard output";
  const stats = fstatSync(standardOutput);
  // It has one description, which cannot be opened again: whoever shares it meets EAGAIN, as with all that Node.js writes to.
  if (stats.isSocket()) return new PipeSink(name, () => check(addon().duplicate(standardOutput), "dup"));
  if (!stats.isFIFO()) return new StreamSink(name, standardOutput, false);
  let fd: number;
  try {
    // A description of our own: who shares the other one would meet EAGAIN.
    fd = openSync(`/proc/self/fd/${standardOutput}`, nonBlocking);
  } catch {
    return new StreamSink(name, standardOutput, false); // another user's pipe, or no /proc
  }
  return new PipeSink(name, () => fd);
}

export function openFifo(path: string): Sink {
  return new PipeSink(path, () => openSync(path, nonBlocking));
}

export function openDevice(path: string): Sink {
  try {
    return new StreamSink(path, openSync(path, constants.O_WRONLY), true);
  } catch (error) {
    throw cannotCreate(path, error);
  }
}

class StreamSink implements Sink {
  readonly name: string;
  readonly identities: readonly FileIdentity[];
  readonly #file: Descriptor;
  readonly #owned: boolean;
  offset = 0;

  constructor(name: string, fd: number, owned: boolean) {
    this.name = name;
    this.#file = new Descriptor(fd, name);
    this.#owned = owned;
    const stats = fstatSync(fd, { bigint: true });
    this.identities = stats.isFile() ? [{ dev: stats.dev, ino: stats.ino }] : [];
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.offset += await this.#file.write(parts);
  }

  async commit(): Promise<void> {
    // A redirected file (`> a.tsfsa`) can be synced; a pipe cannot (EINVAL), and a tape has its own ways.
    if (this.identities.length > 0) await this.#file.sync();
    this.abort();
  }

  abort(): void {
    if (this.#owned) this.#file.close();
  }
}

/** How often to look whether a FIFO has got its reader. */
const readerPollMs = 20;

class PipeSink implements Sink {
  readonly name: string;
  readonly identities: readonly FileIdentity[] = [];
  readonly #open: () => number;
  #socket: Socket | undefined;
  #failure: unknown;
  #aborted = false;
  offset = 0;

  /** `open` gives a descriptor that does not block, or throws ENXIO while there is no reader. */
  constructor(name: string, open: () => number) {
    this.name = name;
    this.#open = open;
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.#socket ??= await this.#connect();
    for (const part of parts) {
      if (part.length > 0) await this.#writePart(this.#socket, part);
      this.offset += part.length;
    }
  }

  async commit(): Promise<void> {
    const socket = (this.#socket ??= await this.#connect());
    await new Promise<void>((resolve, reject) => {
      socket.end((error?: Error | null) => {
        const failure = this.#failure ?? error ?? undefined;
        if (failure === undefined) resolve();
        else reject(cannotWrite(this.name, failure));
      });
    });
  }

  abort(): void {
    this.#aborted = true;
    this.#socket?.destroy();
  }

  #writePart(socket: Socket, part: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.write(part, (error) => {
        // A socket that is destroyed in the middle of a write calls that a success.
        const failure = this.#failure ?? error ?? (this.#aborted ? { code: "ECANCELED" } : undefined);
        if (failure === undefined) resolve();
        else reject(cannotWrite(this.name, failure));
      });
    });
  }

  /** Waits for a reader. */
  async #connect(): Promise<Socket> {
    for (;;) {
      try {
        const socket = new Socket({ fd: this.#open(), readable: false, writable: true });
        socket.on("error", (error) => (this.#failure ??= error));
        return socket;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENXIO" || this.#aborted) throw cannotCreate(this.name, error);
      }
      await sleep(readerPollMs);
    }
  }
}
