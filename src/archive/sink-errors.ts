// The errors of sinks, from errors of node:fs and node:net.

import { dirname } from "node:path";
import { TsfsaError } from "../base/errors.ts";

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "EIO";
}

export function archiveExists(path: string): TsfsaError {
  return new TsfsaError("ARCHIVE_EXISTS", `the archive ${path} exists already, and it is never replaced unasked`, {
    path,
    hints: ["choose another name", "or replace it with --overwrite (it stays whole until the new one is)"],
  });
}

export function cannotCreate(path: string, cause: unknown): TsfsaError {
  const errno = errnoOf(cause);
  const denied = errno === "EACCES" || errno === "EPERM" || errno === "EROFS";
  const message =
    errno === "ENOENT"
      ? `cannot create the archive ${path}: the folder ${dirname(path)} does not exist`
      : `cannot create the archive ${path}: ${errno}`;
  return new TsfsaError(denied ? "NO_PERMISSION" : isFull(errno) ? "NO_SPACE" : "IO", message, { path, errno, cause });
}

export function cannotWrite(path: string, cause: unknown): TsfsaError {
  const errno = errnoOf(cause);
  const full = isFull(errno);
  return new TsfsaError(full ? "NO_SPACE" : "IO", `writing the archive to ${path} failed: ${errno}`, {
    path,
    errno,
    cause,
    ...(full ? { hints: ["free space there or write the archive elsewhere; nothing was left behind"] } : {}),
  });
}

/** The archive is whole and has its name, but a power failure may take the name away. */
export function cannotName(path: string, cause: unknown): TsfsaError {
  const errno = errnoOf(cause);
  const message = `the archive ${path} is whole, but its name could not be made durable: syncing ${dirname(path)} failed: ${errno}`;
  const hints = ["a power failure now may lose it: look at the device, then check the archive with `tsfsa verify`"];
  return new TsfsaError("IO", message, { path, errno, cause, hints });
}

function isFull(errno: string): boolean {
  return errno === "ENOSPC" || errno === "EDQUOT";
}
