// The share job: lets one restored file use the storage of others, as far as the kernel finds the same bytes in both.

import { addon } from "../sys/addon.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../sys/constants.ts";
import { deviceKey } from "../sys/directory.ts";
import { ENOTSUP, ENOTTY, ESTALE } from "../sys/errors.ts";
import { statDescriptor } from "../sys/stat.ts";
import type { ShareInput, ShareOutput, SharedFile } from "./protocol.ts";

/** Bytes that one call compares. */
const bytesPerCall = 16 * 1024 * 1024;
/** Pieces of a job that may fail before the others are not tried any more. */
const failuresMax = 16;

export function shareFiles({ to, from, pieces }: ShareInput): ShareOutput {
  const native = addon();
  const fds = new Map<SharedFile, number>();
  const open = (file: SharedFile): number => {
    const fd = fds.get(file) ?? openSame(file);
    fds.set(file, fd);
    return fd;
  };
  let sharedBytes = 0;
  let otherBytes = 0;
  for (let i = 3; i < pieces.length; i += 4) otherBytes += pieces[i] as number;
  let errno = 0;
  let failures = 0;
  try {
    for (let i = 0; i < pieces.length && failures < failuresMax; i += 4) {
      const [index = 0, fromOffset = 0, toOffset = 0, length = 0] = pieces.subarray(i, i + 4);
      const toFd = open(to);
      const fromFd = open(from[index] as SharedFile);
      let done = 0;
      let result = Math.min(toFd, fromFd, 0);
      while (result >= 0 && done < length) {
        const part = Math.min(bytesPerCall, length - done);
        result = native.dedupeRange(fromFd, fromOffset + done, part, toFd, toOffset + done);
        if (result <= 0) break;
        done += result;
      }
      sharedBytes += done;
      otherBytes -= done;
      if (done < length) failures++;
      if (result < 0) errno = -result;
      if (errno === ENOTSUP || errno === ENOTTY) failures = failuresMax;
    }
  } finally {
    for (const fd of fds.values()) if (fd >= 0) native.close(fd);
  }
  return { sharedBytes, otherBytes, errno };
}

/** Opens a file that must be the one that was made. Returns −errno otherwise. */
function openSame({ dirFd, name, dev, ino }: SharedFile): number {
  const native = addon();
  const fd = native.openAt(dirFd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0);
  if (fd < 0) return fd;
  const stat = statDescriptor(fd);
  if (deviceKey(stat.dev) === dev && BigInt(stat.ino) === ino) return fd;
  native.close(fd);
  return -ESTALE;
}
