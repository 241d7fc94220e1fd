// Bytes of a device or an image by offset, bounded by its size: all that superblock readers see of the outside.

import { fstatSync, readSync } from "node:fs";
import { addon } from "../sys/addon.ts";

export interface ByteReader {
  readonly sizeBytes: number;
  /** The bytes of offset..offset+length as far as they exist: shorter, or empty, at the end. Throws what the system says (EIO). */
  read(offset: number, length: number): Uint8Array;
}

/** Most bytes one call may ask for; superblocks and tree nodes need at most 64 KiB. */
const readBytesMax = 1024 * 1024;

function clamp(offset: number, length: number, sizeBytes: number): number {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) return 0;
  return Math.max(0, Math.min(length, readBytesMax, sizeBytes - offset));
}

/** Reader of an open block device or regular file; the descriptor stays the caller's. */
export function readerOfFd(fd: number, sizeBytes: number = sizeOfFd(fd)): ByteReader {
  return {
    sizeBytes,
    read(offset, length) {
      const wanted = clamp(offset, length, sizeBytes);
      const buffer = new Uint8Array(wanted);
      let done = 0;
      while (done < wanted) {
        const count = readSync(fd, buffer, done, wanted - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return buffer.subarray(0, done);
    },
  };
}

/** Bytes of a block device (BLKGETSIZE64) or regular file. */
export function sizeOfFd(fd: number): number {
  const stat = fstatSync(fd);
  return stat.isBlockDevice() ? Math.max(0, addon().deviceSize(fd)) : stat.size;
}
