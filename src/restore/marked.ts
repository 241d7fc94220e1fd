// Files of which only parts could be read, under a name that says so. Invariant: nothing that exists is replaced, whatever the policy.

import { concatBytes, utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { escapeName } from "../base/units.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { addon } from "../sys/addon.ts";
import { RENAME_NOREPLACE } from "../sys/constants.ts";
import { EEXIST } from "../sys/errors.ts";

const attemptsMax = 100;

/** `NAME.tsfsa-damaged`, then `NAME.tsfsa-damaged-2`, -3 …; a long name is cut. */
function markedName(name: Uint8Array, attempt: number): Uint8Array {
  const mark = utf8(attempt === 1 ? ".tsfsa-damaged" : `.tsfsa-damaged-${attempt}`);
  return concatBytes([name.subarray(0, limits.nameBytes - mark.length), mark]);
}

/** Calls `make` with one marked name after the other until it is not −EEXIST: its result and the name, or −errno. */
export function withMarkedName(name: Uint8Array, make: (marked: Uint8Array) => number): readonly [number, Uint8Array] {
  for (let attempt = 1; ; attempt++) {
    const marked = markedName(name, attempt);
    const result = make(marked);
    if (result !== -EEXIST || attempt === attemptsMax) return [result, marked];
  }
}

/** Gives a file its marked name. Undefined: that failed. */
export function moveAside(dirFd: number, name: Uint8Array): Uint8Array | undefined {
  const [moved, marked] = withMarkedName(name, (to) => addon().renameAt(dirFd, name, dirFd, to, RENAME_NOREPLACE));
  return moved < 0 ? undefined : marked;
}

/** One clause for a warning. */
export function keptMessage(marked: Uint8Array, bytes: number, size: number): string {
  return `${bytes} of its ${size} bytes were kept as ${escapeName(marked)}, zeros stand for the others`;
}

/** What a part of a file may have of the whole one: nothing runs with the rights of somebody else. */
export function partRow(row: CatalogRow): CatalogRow {
  return { ...row, mode: row.mode & 0o777 };
}
