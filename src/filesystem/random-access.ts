// Bytes by place, into a buffer of the caller's: what block-level readers read from. A device, an image file, or whatever can stand for one.

import { addon } from "../sys/addon.ts";
import { POSIX_FADV_WILLNEED } from "../sys/constants.ts";
import { check } from "../sys/errors.ts";
import { sizeOfFd } from "./reader.ts";

export interface RandomAccess {
  readonly sizeBytes: number;
  /** Fills `length` bytes of `target` from `at` with those at `position`, which lie below sizeBytes. Throws what the system says. */
  readInto(target: Uint8Array, at: number, length: number, position: number): void;
  /** Says what is read next, in pieces; where it helps, it is brought to memory meanwhile. */
  willRead?(position: number, length: number): void;
}

/** Of an open block device or regular file; the descriptor stays the caller's. Bytes a file has lost since it was opened are zeros. */
export function accessOfFd(fd: number, sizeBytes: number = sizeOfFd(fd)): RandomAccess {
  return {
    sizeBytes,
    readInto(target, at, length, position) {
      const count = check(addon().read(fd, target, at, length, position), "pread");
      if (count < length) target.fill(0, at + count, at + length);
    },
    willRead: (position, length) => void addon().advise(fd, position, length, POSIX_FADV_WILLNEED),
  };
}
