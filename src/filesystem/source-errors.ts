// Why a source cannot be read, with the ways forward.

import { TsfsaError } from "../base/errors.ts";
import type { WrittenByOthers } from "./types.ts";

export function writableError(
  path: string,
  { reason, ways }: WrittenByOthers,
  hints: readonly string[] = [],
): TsfsaError {
  return new TsfsaError("SOURCE_WRITABLE", `expected a source that nobody can write, but ${reason}`, {
    path,
    hints: [...hints, ...ways],
  });
}

/** After the last read: it was frozen before. */
export function thawedError(path: string, { reason, ways }: WrittenByOthers): TsfsaError {
  return new TsfsaError("SOURCE_WRITABLE", `${path} became writable while it was read: ${reason}`, {
    path,
    hints: ["the archive was dropped, since what it holds may not be of one instant", ...ways],
  });
}

export function replayError(path: string, type: string, cause?: unknown): TsfsaError {
  return new TsfsaError(
    "SOURCE_NEEDS_REPLAY",
    `the ${type} in ${path} was not unmounted cleanly: its journal must be replayed before it can be read`,
    {
      path,
      hints: [
        "mount it and unmount it once, then save it",
        ...(type.startsWith("ext")
          ? ["or read it from its blocks (--reader=block), with its journal replayed in memory"]
          : []),
        "or make a read-write snapshot, mount and unmount that once, and save it",
      ],
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

export function mountError(path: string, type: string, cause: TsfsaError): TsfsaError {
  const code = cause.code === "NO_PERMISSION" ? cause.code : "SOURCE_UNREADABLE";
  return new TsfsaError(code, `cannot mount the ${type} in ${path} read-only: ${cause.message}`, {
    path,
    hints: [
      code === "NO_PERMISSION"
        ? "run it as root"
        : "check the file system (the kernel's log, dmesg, says more), or mount it yourself and name the mount point",
    ],
    cause,
  });
}
