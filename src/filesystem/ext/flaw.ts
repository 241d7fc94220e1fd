// What is wrong with metadata of an ext file system, with the errno the kernel gives for the like.

import { TsfsaError } from "../../base/errors.ts";
import { EIO, ENOKEY, ENOTSUP, EUCLEAN, errno } from "../../sys/errors.ts";
import { MetadataFlaw } from "../exact.ts";

export class ExtFlaw extends MetadataFlaw {
  readonly errno: number;

  constructor(number: number, message: string) {
    super(message);
    this.errno = number;
  }
}

/** Metadata that contradicts itself or the file system's bounds (EFSCORRUPTED). */
export function damaged(message: string): ExtFlaw {
  return new ExtFlaw(EUCLEAN, message);
}

/** EFSBADCRC. */
export function wrongChecksum(what: string): ExtFlaw {
  return new ExtFlaw(errno.EBADMSG, `the checksum of ${what} is wrong`);
}

export function unreadable(what: string): ExtFlaw {
  return new ExtFlaw(EIO, `${what} cannot be read`);
}

export function unsupported(message: string): ExtFlaw {
  return new ExtFlaw(ENOTSUP, message);
}

export function encrypted(what: string): ExtFlaw {
  return new ExtFlaw(ENOKEY, `${what} is encrypted`);
}

/** The errno of a flaw or of a failed read; anything else is thrown on. */
export function errnoOfFailure(error: unknown): number {
  if (error instanceof ExtFlaw) return error.errno;
  if (error instanceof MetadataFlaw) return EUCLEAN;
  if (error instanceof TsfsaError && error.context.errno !== undefined) {
    return (errno as Readonly<Record<string, number>>)[error.context.errno] ?? EIO;
  }
  throw error;
}
