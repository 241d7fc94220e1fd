// Where an archive is written to. A regular file appears whole or not at all: it has no name until commit() has synced it.
// A pipe or character device gets the bytes as they come; on failure it gets no footer, which readers take for damage.

import {
  type BigIntStats,
  closeSync,
  constants,
  fsync,
  fstatSync,
  openSync,
  readdirSync,
  statSync,
  unlinkSync,
  writev,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { AT_FDCWD, AT_SYMLINK_FOLLOW, O_TMPFILE, RENAME_NOREPLACE } from "../sys/constants.ts";
import { check, systemError } from "../sys/errors.ts";

const fsyncAsync = promisify(fsync);
const writevAsync = promisify(writev);

export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface Sink {
  /** What people call it. */
  readonly name: string;
  /** Bytes written so far. */
  readonly offset: number;
  /** The file being written and the one it replaces: a save never reads its own archive. */
  readonly identities: readonly FileIdentity[];
  write(parts: readonly Uint8Array[]): Promise<void>;
  /** Makes everything written durable and gives it its name. */
  commit(): Promise<void>;
  /** Drops what was written, as far as that is possible. Never throws. */
  abort(): void;
}

/** Opens the sink for an ARCHIVE argument: a path, or `-` for standard output. Refuses an existing file unless `overwrite`. */
export function openSink(archive: string, options: { readonly overwrite: boolean }): Sink {
  if (archive === "-") return new StreamSink("standard output", 1, false);
  const existing = statIfThere(archive);
  if (existing === undefined) return new FileSink(archive, options.overwrite, undefined);
  if (existing.isFIFO() || existing.isCharacterDevice()) {
    return new StreamSink(archive, openSync(archive, constants.O_WRONLY), true);
  }
  if (existing.isDirectory() || !existing.isFile()) {
    throw new TsfsaError(
      "FAILED",
      `cannot write the archive to ${archive}: expected a file name, found ${describeKind(existing)}`,
      {
        path: archive,
      },
    );
  }
  if (!options.overwrite) throw archiveExists(archive);
  return new FileSink(archive, true, existing);
}

function archiveExists(path: string): TsfsaError {
  return new TsfsaError("ARCHIVE_EXISTS", `the archive ${path} exists already, and it is never replaced unasked`, {
    path,
    hints: ["choose another name", "or replace it with --overwrite (it stays whole until the new one is)"],
  });
}

function describeKind(stats: BigIntStats): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isBlockDevice()) return "a block device";
  return "something that is not a regular file";
}

function statIfThere(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Writes all parts, going on after short writes; waits when a pipe that does not block is full. */
async function writeAll(fd: number, parts: readonly Uint8Array[], name: string): Promise<number> {
  let pending = parts.filter((part) => part.length > 0);
  let total = 0;
  while (pending.length > 0) {
    let written: number;
    try {
      ({ bytesWritten: written } = await writevAsync(fd, pending));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "EIO";
      if (code === "EAGAIN") {
        await new Promise((resolve) => setTimeout(resolve, 2));
        continue;
      }
      throw writeError(code, name, error);
    }
    total += written;
    pending = dropBytes(pending, written);
  }
  return total;
}

function writeError(code: string, name: string, cause: unknown): TsfsaError {
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new TsfsaError(full ? "NO_SPACE" : "IO", `writing the archive to ${name} failed: ${code}`, {
    path: name,
    errno: code,
    cause,
    ...(full ? { hints: ["free space there or write the archive elsewhere; nothing was left behind"] } : {}),
  });
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

/** Standard output, a FIFO or a character device. */
class StreamSink implements Sink {
  readonly name: string;
  readonly identities: readonly FileIdentity[];
  readonly #fd: number;
  readonly #owned: boolean;
  offset = 0;

  constructor(name: string, fd: number, owned: boolean) {
    this.name = name;
    this.#fd = fd;
    this.#owned = owned;
    const stats = fstatSync(fd, { bigint: true });
    this.identities = stats.isFile() ? [{ dev: stats.dev, ino: stats.ino }] : [];
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.offset += await writeAll(this.#fd, parts, this.name);
  }

  async commit(): Promise<void> {
    // A redirected file (`> a.tsfsa`) can be synced; a pipe cannot (EINVAL), and a tape has its own ways.
    if (this.identities.length > 0) {
      try {
        await fsyncAsync(this.#fd);
      } catch (error) {
        throw writeError((error as NodeJS.ErrnoException).code ?? "EIO", this.name, error);
      }
    }
    this.#close();
  }

  abort(): void {
    this.#close();
  }

  #close(): void {
    if (this.#owned) closeSync(this.#fd);
  }
}

/** A regular file: an unnamed temporary one (O_TMPFILE) where the file system can, else a hidden one beside the target. */
class FileSink implements Sink {
  readonly name: string;
  readonly identities: readonly FileIdentity[];
  readonly #fd: number;
  readonly #overwrite: boolean;
  readonly #folder: string;
  /** Open for the sync that makes the name durable; undefined where the folder can be written but not read. */
  readonly #folderFd: number | undefined;
  /** Name of the hidden temporary file while it has one. */
  #temporary: string | undefined;
  #closed = false;
  offset = 0;

  constructor(path: string, overwrite: boolean, replaced: FileIdentity | undefined) {
    this.name = path;
    this.#overwrite = overwrite;
    this.#folder = dirname(path);
    removeStale(path);
    this.#folderFd = this.#openFolder();
    try {
      this.#fd = this.#open();
    } catch (error) {
      this.#closeFolder();
      throw error;
    }
    const stats = fstatSync(this.#fd, { bigint: true });
    this.identities = [{ dev: stats.dev, ino: stats.ino }, ...(replaced === undefined ? [] : [replaced])];
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.offset += await writeAll(this.#fd, parts, this.name);
  }

  async commit(): Promise<void> {
    try {
      await fsyncAsync(this.#fd);
    } catch (error) {
      throw writeError((error as NodeJS.ErrnoException).code ?? "EIO", this.name, error);
    }
    this.#publish();
    try {
      await this.#syncFolder();
    } finally {
      this.#close();
    }
  }

  abort(): void {
    if (this.#closed) return;
    this.#close();
    if (this.#temporary !== undefined) {
      try {
        unlinkSync(this.#temporary);
      } catch {
        // Nothing more can be done; the next run removes it.
      }
    }
  }

  #openFolder(): number | undefined {
    try {
      return openSync(this.#folder, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "EIO";
      if (code === "EACCES") return undefined;
      throw this.#cannotCreate(code, error);
    }
  }

  /** Makes the name durable. The archive is whole and in its place: a failure is told as what it is. */
  async #syncFolder(): Promise<void> {
    try {
      // Where the folder cannot be opened, syncing the file again takes its name along on the file systems of Linux.
      await fsyncAsync(this.#folderFd ?? this.#fd);
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
      if (code === "EINVAL" || code === "EOPNOTSUPP") return; // a file system that has no such thing
      const message = `the archive ${this.name} is whole, but its name could not be made durable (fsync of ${this.#folder}: ${code})`;
      throw new TsfsaError("IO", message, {
        path: this.name,
        errno: code,
        cause,
        hints: ["a power failure now may lose it: look at the device, then check the archive with `tsfsa verify`"],
      });
    }
  }

  #open(): number {
    try {
      return openSync(this.#folder, O_TMPFILE | constants.O_WRONLY, 0o600);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "EIO";
      if (code !== "EOPNOTSUPP" && code !== "EISDIR" && code !== "EINVAL") throw this.#cannotCreate(code, error);
    }
    this.#temporary = temporaryName(this.name);
    try {
      return openSync(this.#temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    } catch (error) {
      this.#temporary = undefined;
      throw this.#cannotCreate((error as NodeJS.ErrnoException).code ?? "EIO", error);
    }
  }

  #cannotCreate(code: string, cause: unknown): TsfsaError {
    const denied = code === "EACCES" || code === "EPERM" || code === "EROFS";
    const message =
      code === "ENOENT"
        ? `cannot create the archive ${this.name}: the folder ${this.#folder} does not exist`
        : `cannot create the archive ${this.name}: ${code}`;
    return new TsfsaError(denied ? "NO_PERMISSION" : code === "ENOSPC" ? "NO_SPACE" : "IO", message, {
      path: this.name,
      errno: code,
      cause,
    });
  }

  /** Gives the synced file its name: never over an existing one unless asked. */
  #publish(): void {
    const native = addon();
    const target = Buffer.from(this.name);
    if (this.#temporary === undefined) {
      const self = Buffer.from(`/proc/self/fd/${this.#fd}`);
      const linked = native.linkAt(AT_FDCWD, self, AT_FDCWD, target, AT_SYMLINK_FOLLOW);
      if (linked >= 0) return;
      const error = systemError(-linked, "linkat", this.name);
      if (error.context.errno !== "EEXIST") throw error;
      if (!this.#overwrite) throw archiveExists(this.name);
      this.#temporary = temporaryName(this.name);
      check(
        native.linkAt(AT_FDCWD, self, AT_FDCWD, Buffer.from(this.#temporary), AT_SYMLINK_FOLLOW),
        "linkat",
        this.name,
      );
    }
    const from = Buffer.from(this.#temporary);
    const renamed = native.renameAt(AT_FDCWD, from, AT_FDCWD, target, this.#overwrite ? 0 : RENAME_NOREPLACE);
    if (renamed < 0) {
      const error = systemError(-renamed, "renameat2", this.name);
      throw error.context.errno === "EEXIST" ? archiveExists(this.name) : error;
    }
    this.#temporary = undefined;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeFolder();
    closeSync(this.#fd);
  }

  #closeFolder(): void {
    if (this.#folderFd !== undefined) closeSync(this.#folderFd);
  }
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.tsfsa-${process.pid}`);
}

/** Removes temporary files that killed runs of ours left for the same archive. */
function removeStale(path: string): void {
  const prefix = `.${basename(path)}.tsfsa-`;
  let names: string[];
  try {
    names = readdirSync(dirname(path));
  } catch {
    return; // The folder is missing or cannot be read: creating the file says so better.
  }
  for (const name of names) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN;
    if (!Number.isSafeInteger(pid) || pid <= 0 || isAlive(pid)) continue;
    try {
      unlinkSync(join(dirname(path), name));
    } catch {
      // Not ours to remove.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
