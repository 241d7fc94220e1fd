// Reading an archive front to back, from a file or from a pipe, with a look ahead. A file can also skip without reading, and its bytes can be
// read at any place by descriptor; a pipe only goes forward.

import { closeSync, constants, createReadStream, fstatSync, openSync, statSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import { sectorLength } from "../base/limits.ts";
import { addon } from "../sys/addon.ts";
import { check, EIO } from "../sys/errors.ts";

export interface ArchiveInput {
  readonly name: string;
  /** Descriptor that allows reads at any offset; undefined for a pipe. */
  readonly fd: number | undefined;
  /** Length of the archive file; undefined for a pipe. */
  readonly length: number | undefined;
  /** A block device: what follows the archive is what the device held before. */
  readonly isDevice: boolean;
  /** Offset of the next byte. */
  readonly position: number;
  /** Up to `length` bytes from the position on, fewer only at the end. Valid until the next call. */
  peek(length: number): Promise<Uint8Array>;
  /** Exactly `length` bytes in a buffer of their own, or fewer at the end; moves on. */
  take(length: number): Promise<Uint8Array>;
  /** Moves on by `length` bytes; false when the archive ends before. */
  skip(length: number): Promise<boolean>;
  /** Goes back to an offset; false where that is impossible. */
  seek(position: number): boolean;
  /** Lets signals be heard in long work on what was read; ends with the signal's reason. */
  pause(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens an ARCHIVE argument: a path or `-`. Throws ARCHIVE_MISSING, NO_PERMISSION, ARCHIVE_FOREIGN. Reading ends with the signal's reason.
 */
export function openInput(archive: string, signal?: AbortSignal): ArchiveInput {
  if (archive === "-") return new PipeInput("standard input", streamOf(0), signal);
  let fd: number;
  try {
    // Opening a FIFO would hold the whole process until somebody writes to it.
    const waits = statSync(archive).isFIFO() ? constants.O_NONBLOCK : 0;
    fd = openSync(archive, constants.O_RDONLY | waits);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new TsfsaError("ARCHIVE_MISSING", `there is no archive ${archive}`, { path: archive, cause });
    }
    const denied = code === "EACCES" || code === "EPERM";
    throw new TsfsaError(denied ? "NO_PERMISSION" : "IO", `cannot open the archive ${archive}: ${code}`, {
      path: archive,
      errno: code,
      cause,
    });
  }
  const stats = fstatSync(fd);
  if (stats.isDirectory()) {
    closeSync(fd);
    throw new TsfsaError("ARCHIVE_FOREIGN", `expected an archive, found a directory: ${archive}`, { path: archive });
  }
  if (stats.isFile()) return new FileInput(archive, fd, stats.size, false, signal);
  if (stats.isBlockDevice()) return new FileInput(archive, fd, addon().deviceSize(fd), true, signal);
  return new PipeInput(archive, streamOf(fd), signal);
}

function streamOf(fd: number): Readable {
  const stats = fstatSync(fd);
  // A read of a silent pipe in Node's thread pool could not be taken back, and would hold the process at its end.
  const isPipe = stats.isFIFO() || stats.isSocket();
  return isPipe
    ? new Socket({ fd, readable: true, writable: false })
    : createReadStream("", { fd, autoClose: fd !== 0, highWaterMark: 1024 * 1024 });
}

/** Enough for the records between two blocks. */
const windowBytes = 64 * 1024;
/** Bad sectors after which the medium is given up: each may take its time to fail. */
const badSectorsMax = 4096;

class FileInput implements ArchiveInput {
  readonly name: string;
  readonly fd: number;
  readonly length: number;
  readonly isDevice: boolean;
  position = 0;
  readonly #signal: AbortSignal | undefined;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #badSectors = 0;

  constructor(name: string, fd: number, length: number, isDevice: boolean, signal: AbortSignal | undefined) {
    this.name = name;
    this.fd = fd;
    this.length = length;
    this.isDevice = isDevice;
    this.#signal = signal;
  }

  async peek(length: number): Promise<Uint8Array> {
    const available = Math.max(0, Math.min(length, this.length - this.position));
    const start = this.position - this.#windowStart;
    if (start < 0 || start + available > this.#window.length) {
      await this.pause();
      const size = Math.min(Math.max(available, windowBytes), this.length - this.position);
      this.#window = this.#read(this.position, size);
      this.#windowStart = this.position;
    }
    const from = this.position - this.#windowStart;
    return this.#window.subarray(from, from + available);
  }

  async take(length: number): Promise<Uint8Array> {
    const bytes = (await this.peek(length)).slice();
    this.position += bytes.length;
    return bytes;
  }

  async skip(length: number): Promise<boolean> {
    const whole = this.position + length <= this.length;
    this.position = Math.min(this.position + length, this.length);
    return whole;
  }

  seek(position: number): boolean {
    this.position = position;
    return true;
  }

  async pause(): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
  }

  async close(): Promise<void> {
    closeSync(this.fd);
  }

  #read(position: number, length: number): Uint8Array {
    const buffer = new Uint8Array(length);
    const read = addon().read(this.fd, buffer, 0, length, position);
    if (-read === EIO) return this.#readAround(position, buffer);
    return buffer.subarray(0, check(read, "reading the archive", this.name));
  }

  /** Bad sectors read as zeros: their records are then found to be damaged, and the archive goes on behind them. */
  #readAround(position: number, buffer: Uint8Array): Uint8Array {
    for (let at = 0; at < buffer.length; ) {
      const length = Math.min(sectorLength - ((position + at) % sectorLength), buffer.length - at);
      const read = addon().read(this.fd, buffer, at, length, position + at);
      if (-read === EIO && this.#badSectors++ < badSectorsMax) buffer.fill(0, at, at + length);
      else if (check(read, "reading the archive", this.name) < length) return buffer.subarray(0, at + read);
      at += length;
    }
    return buffer;
  }
}

/** An archive that comes as a stream; closing it destroys the stream. */
export class PipeInput implements ArchiveInput {
  readonly name: string;
  readonly fd = undefined;
  readonly length = undefined;
  readonly isDevice = false;
  position = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => {
    this.#stream.destroy();
  };
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #ended = false;

  constructor(name: string, stream: Readable, signal: AbortSignal | undefined) {
    this.name = name;
    this.#stream = stream;
    this.#chunks = this.#stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
  }

  async peek(length: number): Promise<Uint8Array> {
    await this.#fill(length);
    if (this.#pending.length > 1 && (this.#pending[0] as Uint8Array).length < Math.min(length, this.#pendingBytes)) {
      const joined = this.#join(Math.min(length, this.#pendingBytes), false);
      return joined;
    }
    return (this.#pending[0] ?? new Uint8Array(0)).subarray(0, length);
  }

  async take(length: number): Promise<Uint8Array> {
    await this.#fill(length);
    const bytes = this.#join(Math.min(length, this.#pendingBytes), true);
    this.position += bytes.length;
    return bytes;
  }

  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      await this.#fill(1);
      if (this.#pendingBytes === 0) return false;
      const step = Math.min(left, this.#pendingBytes);
      this.#drop(step);
      this.position += step;
      left -= step;
    }
    return true;
  }

  seek(): boolean {
    return false;
  }

  async pause(): Promise<void> {
    await setImmediate();
    this.#signal?.throwIfAborted();
  }

  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#stream.destroy();
  }

  async #fill(length: number): Promise<void> {
    while (this.#pendingBytes < length && !this.#ended) {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await this.#chunks.next();
      } catch (cause) {
        this.#signal?.throwIfAborted();
        const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
        throw new TsfsaError("IO", `reading the archive from ${this.name} failed: ${code}`, { errno: code, cause });
      }
      this.#signal?.throwIfAborted();
      if (next.done === true) this.#ended = true;
      else {
        this.#pending.push(next.value);
        this.#pendingBytes += next.value.length;
      }
    }
  }

  /** A copy of the next `length` bytes, which must be there. */
  #join(length: number, drop: boolean): Uint8Array {
    const joined = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.#pending) {
      if (at >= length) break;
      const part = chunk.subarray(0, length - at);
      joined.set(part, at);
      at += part.length;
    }
    if (drop) this.#drop(length);
    return joined;
  }

  #drop(length: number): void {
    let left = length;
    this.#pendingBytes -= length;
    while (left > 0) {
      const first = this.#pending[0] as Uint8Array;
      if (first.length > left) {
        this.#pending[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      this.#pending.shift();
    }
  }
}
