// Why something could not be made: what ends a restore wherever it is met, and what costs one entry.

import { escapeName } from "../base/units.ts";
import { EDQUOT, EEXIST, ENOSPC, EROFS, errnoName, systemError } from "../sys/errors.ts";

/** The target is full or read-only: nothing that comes can be made either. */
export function isFinal(errno: number): boolean {
  return errno === ENOSPC || errno === EDQUOT || errno === EROFS;
}

/** Throws what ends the restore; `step` says what failed: "creating it". */
export function throwIfFinal(errno: number, step: string, path: Uint8Array): void {
  if (isFinal(errno)) throw systemError(errno, `${escapeName(path).replace(/^\.\//, "")}: ${step}`, path);
}

/** For the warning of an entry that was not made. */
export function reasonOf(errno: number): string {
  return errno === EEXIST ? "something of that name exists already (--overwrite replaces it)" : errnoName(errno);
}
