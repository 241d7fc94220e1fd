// A regular file as a sink: an unnamed one (O_TMPFILE) where the file system can, else a hidden one beside the target, which gets its name when
// commit() has synced it. Invariant: an existing archive is untouched until then.

import { closeSync, constants, fstatSync, openSync, readdirSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { addon } from "../sys/addon.ts";
import { AT_FDCWD, AT_SYMLINK_FOLLOW, LOCK_EX, LOCK_NB, O_TMPFILE, RENAME_NOREPLACE } from "../sys/constants.ts";
import { check, systemError } from "../sys/errors.ts";
import { Descriptor } from "./descriptor.ts";
import { Folder } from "./folder.ts";
import type { FileIdentity, Sink } from "./sink.ts";
import { archiveExists, cannotCreate } from "./sink-errors.ts";

export class FileSink implements Sink {
  readonly name: string;
  readonly identities: readonly FileIdentity[];
  readonly #folder: Folder;
  readonly #file: Descriptor;
  readonly #overwrite: boolean;
  /** Path of the hidden temporary file while it has one. */
  #temporary: string | undefined;
  offset = 0;

  /** `replaced`: the file that has the name now. Throws IO, NO_PERMISSION or NO_SPACE where the file cannot be created. */
  constructor(path: string, overwrite: boolean, replaced: FileIdentity | undefined) {
    this.name = path;
    this.#overwrite = overwrite;
    removeStale(path);
    this.#folder = new Folder(path);
    this.#file = new Descriptor(this.#open(), path);
    // The lock says that the file is in use, on whichever machine: a later run removes only files without.
    addon().lock(this.#file.fd, LOCK_EX | LOCK_NB);
    const stats = fstatSync(this.#file.fd, { bigint: true });
    this.identities = [{ dev: stats.dev, ino: stats.ino }, ...(replaced === undefined ? [] : [replaced])];
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.offset += await this.#file.write(parts);
  }

  async commit(): Promise<void> {
    await this.#file.sync();
    this.#publish();
    try {
      await this.#folder.sync(this.#file);
    } finally {
      this.#close();
    }
  }

  abort(): void {
    this.#close();
    if (this.#temporary === undefined) return;
    try {
      unlinkSync(this.#temporary);
    } catch {
      // Nothing more can be done; the next run removes it.
    }
    this.#temporary = undefined;
  }

  #open(): number {
    try {
      return openSync(dirname(this.name), O_TMPFILE | constants.O_WRONLY, 0o600);
    } catch {
      // Many file systems cannot; what else is wrong, the next attempt tells.
    }
    const temporary = temporaryName(this.name);
    try {
      const fd = openSync(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
      this.#temporary = temporary;
      return fd;
    } catch (error) {
      this.#folder.close();
      throw cannotCreate(this.name, error);
    }
  }

  #close(): void {
    if (this.#file.closed) return;
    this.#file.close();
    this.#folder.close();
  }

  /** Gives the synced file its name: never over an existing one unless asked. */
  #publish(): void {
    const native = addon();
    const target = Buffer.from(this.name);
    if (this.#temporary === undefined) {
      const linked = this.#link(target);
      if (linked >= 0) return;
      const error = systemError(-linked, "linkat", this.name);
      if (error.context.errno !== "EEXIST") throw error;
      if (!this.#overwrite) throw archiveExists(this.name);
      const temporary = temporaryName(this.name);
      check(this.#link(Buffer.from(temporary)), "linkat", this.name);
      this.#temporary = temporary;
    }
    const from = Buffer.from(this.#temporary);
    const renamed = native.renameAt(AT_FDCWD, from, AT_FDCWD, target, this.#overwrite ? 0 : RENAME_NOREPLACE);
    if (renamed < 0) {
      const error = systemError(-renamed, "renameat2", this.name);
      throw error.context.errno === "EEXIST" ? archiveExists(this.name) : error;
    }
    this.#temporary = undefined;
  }

  #link(path: Uint8Array): number {
    const self = Buffer.from(`/proc/self/fd/${this.#file.fd}`);
    return addon().linkAt(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
  }
}

/** Bytes of an archive's name that stand in that of its temporary file: with what follows at most 255. */
const stemBytes = 200;

function temporaryPrefix(path: string): string {
  return `.${Buffer.from(basename(path)).subarray(0, stemBytes).toString()}.tsfsa-`;
}

function temporaryName(path: string): string {
  return join(dirname(path), `${temporaryPrefix(path)}${process.pid}`);
}

/** Removes temporary files that killed runs of ours left for the same archive: those that nobody has locked. */
function removeStale(path: string): void {
  const prefix = temporaryPrefix(path);
  let names: string[];
  try {
    names = readdirSync(dirname(path));
  } catch {
    return; // The folder is missing or cannot be read: creating the file says so better.
  }
  for (const name of names) {
    if (!name.startsWith(prefix) || !/^\d+$/.test(name.slice(prefix.length))) continue;
    try {
      removeUnlocked(join(dirname(path), name));
    } catch {
      // Not ours to remove.
    }
  }
}

function removeUnlocked(path: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (fstatSync(fd).isFile() && addon().lock(fd, LOCK_EX | LOCK_NB) >= 0) unlinkSync(path);
  } finally {
    closeSync(fd);
  }
}
