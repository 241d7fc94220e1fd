// What is said of an entry of which something could not be read.

import type { WarningCode } from "../model/events.ts";
import { errnoName } from "../sys/errors.ts";
import type { Gathered } from "../sys/gathered.ts";

export interface DraftWarning {
  readonly code: WarningCode;
  readonly message: string;
  readonly errno?: string;
}

/** Of an entry that is not in the archive. */
export function absentWarning(errno: number): DraftWarning {
  const name = errnoName(errno);
  return name === "ENOENT"
    ? { code: "ENTRY_VANISHED", message: "it vanished while the source was read", errno: name }
    : { code: "ENTRY_UNREADABLE", message: `it could not be read and is left out: ${name}`, errno: name };
}

/** Of a directory. `listErrno`: of reading its entries, `openErrno`: of opening it for its attributes; 0: none. */
export function directoryWarnings(listErrno: number, openErrno: number): DraftWarning[] {
  const errno = errnoName(listErrno === 0 ? openErrno : listErrno);
  if (listErrno !== 0) {
    return errno === "ENOENT"
      ? [
          {
            code: "ENTRY_VANISHED",
            message: "the directory vanished while the source was read, its content is missing",
            errno,
          },
        ]
      : [
          {
            code: "ENTRY_UNREADABLE",
            message: `the directory could not be read, its content is missing: ${errno}`,
            errno,
          },
        ];
  }
  if (openErrno === 0) return [];
  return errno === "ENOENT"
    ? [{ code: "ENTRY_VANISHED", message: "the directory vanished while the source was read", errno }]
    : [attributeWarning(`its attributes could not be read: ${errno}`, errno)];
}

export function attributeWarning(message: string, errno?: string): DraftWarning {
  return { code: "ATTRIBUTE_LOST", message, ...(errno === undefined ? {} : { errno }) };
}

/** Of an entry whose attributes or flags could not all be read. */
export function attributeLosses({ attributeError, flagsError }: Gathered): DraftWarning[] {
  const losses = [
    { what: "extended attributes", errno: attributeError },
    { what: "inode flags", errno: flagsError },
  ].filter(({ errno }) => errno !== 0);
  return losses.map(({ what, errno }) =>
    attributeWarning(`its ${what} could not be read: ${errnoName(errno)}`, errnoName(errno)),
  );
}
