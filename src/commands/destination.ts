// The destination that a restore was given, and directories below it: made where missing, never entered through a link.

import { accessSync, constants, mkdirSync, openSync } from "node:fs";
import { type ErrorCode, TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { Reporter } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_CONTAINED } from "../sys/constants.ts";
import { check, EEXIST, errnoName } from "../sys/errors.ts";

/** Opens the destination, made if it is missing: itself only, since a slip of the pen must not make a path. Throws TARGET_REFUSED, NO_PERMISSION, NO_SPACE. */
export function openDestination(path: string): number {
  try {
    makeIfMissing(path);
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
    const message =
      code === "ENOTDIR"
        ? `expected a directory as destination, found something else: ${path}`
        : code === "ENOENT"
          ? `expected a destination in a folder that exists, found no such folder: ${path}`
          : `cannot use the destination ${path}: ${code}`;
    throw new TsfsaError(refusalOf(code), message, { path, errno: code, cause });
  }
}

/** A read-only or protected destination would fail entry by entry. Throws NO_PERMISSION. */
export function refuseUnwritable(path: string): void {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
    throw new TsfsaError(refusalOf(code), `cannot write into the destination ${path}: ${code}`, {
      path,
      errno: code,
      cause,
      hints: [
        code === "EROFS"
          ? "remount its file system read-write, or choose another destination"
          : "choose a destination that you may write, or run as its owner or root",
      ],
    });
  }
}

/** What was made of a restore that stops half-way stays: says so. */
export async function tellIfStopped<T>(destination: string, reporter: Reporter, restore: Promise<T>): Promise<T> {
  try {
    return await restore;
  } catch (error) {
    const message = "the restore stopped half-way: what it made so far is there, the rest of the archive is not";
    reporter.warning({ code: "ENTRY_NOT_RESTORED", path: Buffer.from(destination), message });
    throw error;
  }
}

function makeIfMissing(path: string): void {
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function refusalOf(errno: string): ErrorCode {
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") return "NO_PERMISSION";
  return errno === "ENOSPC" || errno === "EDQUOT" ? "NO_SPACE" : "TARGET_REFUSED";
}

/** Components below the destination under which a source is restored beside others. */
export function prefixComponents(source: SourceDescription): Buffer[] {
  return Buffer.from(prefixBytes(source))
    .toString("latin1")
    .split("/")
    .filter((component) => component !== "" && component !== ".")
    .map((component) => Buffer.from(component, "latin1"));
}

/** Opens (and makes) the directory `components` below `fd`; none: a descriptor of the same directory. */
export function openBelow(fd: number, components: readonly Uint8Array[]): number {
  const native = addon();
  let current = check(native.duplicate(fd), "dup");
  for (const component of components) {
    const made = native.mkdirAt(current, component, 0o755);
    const next =
      made < 0 && made !== -EEXIST
        ? made
        : native.openAt(current, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_CONTAINED);
    native.close(current);
    if (next < 0) {
      throw new TsfsaError(
        "TARGET_REFUSED",
        `cannot make or enter a directory below the destination: ${errnoName(-next)}`,
        {
          path: component,
          errno: errnoName(-next),
        },
      );
    }
    current = next;
  }
  return current;
}
