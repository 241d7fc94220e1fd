// From −errno to TsfsaError: names and messages of errno values, the code each one gets, and the checks that wrap a
// call of the addon. The one place that knows which errno means which code.

import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import type { ErrorCode } from "../base/errors.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Result } from "./addon.ts";

/** Values of errno by name: those of the C library, and those file systems use which Node leaves out (errno(3)). */
export const errno = {
  ...constants.errno,
  EUCLEAN: 117,
  EREMOTEIO: 121,
  ENOMEDIUM: 123,
  EMEDIUMTYPE: 124,
  ENOKEY: 126,
} as const;

export const {
  E2BIG,
  EACCES,
  EAGAIN,
  EBADF,
  EDQUOT,
  EEXIST,
  EFBIG,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  EMFILE,
  ENAMETOOLONG,
  ENFILE,
  ENODATA,
  ENODEV,
  ENOENT,
  ENOKEY,
  ENOMEM,
  ENOSPC,
  ENOSYS,
  ENOTDIR,
  ENOTEMPTY,
  ENOTSUP,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ERANGE,
  EROFS,
  ESTALE,
  ETXTBSY,
  EUCLEAN,
  EXDEV,
} = errno;

/** Messages of values that libuv does not know, as strerror(3) has them. */
const messages: Readonly<Record<number, string>> = {
  [errno.EUCLEAN]: "file system is damaged (structure needs cleaning)",
  [errno.ESTALE]: "it was replaced by another object",
  [errno.EDQUOT]: "disk quota exceeded",
  [errno.ENODATA]: "no data available",
  [errno.EBADMSG]: "bad message (checksum of the file system is wrong)",
  [errno.EREMOTEIO]: "remote I/O error",
  [errno.ENOMEDIUM]: "no medium found",
  [errno.EMEDIUMTYPE]: "wrong medium type",
  [errno.ENOKEY]: "required key not available",
};

// EWOULDBLOCK and EOPNOTSUPP share the numbers of EAGAIN and ENOTSUP: the first name counts.
const names = new Map<number, string>();
for (const [name, value] of Object.entries(errno)) {
  if (!names.has(value)) names.set(value, name);
}

/** Name of an errno (a positive number), such as `ENOSPC`; `errno N` for a number without one. */
export function errnoName(number: number): string {
  return names.get(number) ?? `errno ${number}`;
}

/** What an errno means, for people. */
export function errnoMessage(number: number): string {
  return messages[number] ?? getSystemErrorMap().get(-number)?.[1] ?? "unknown error";
}

function codeOf(number: number): ErrorCode {
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return "NO_SPACE";
    case EACCES:
    case EPERM:
      return "NO_PERMISSION";
    default:
      return "IO";
  }
}

/** The error of a call that failed with `number` (errno, positive). `syscall` names it for people, such as `openat`. */
export function systemError(number: number, syscall: string, path?: string | Uint8Array): TsfsaError {
  const name = errnoName(number);
  const context = { errno: name, ...(path === undefined ? {} : { path }) };
  return new TsfsaError(codeOf(number), `${syscall} failed: ${errnoMessage(number)} (${name})`, context);
}

/** The number a call of the addon returned; throws systemError when it is −errno. */
export function check(result: Result, syscall: string, path?: string | Uint8Array): number {
  if (result < 0) throw systemError(-result, syscall, path);
  return result;
}
