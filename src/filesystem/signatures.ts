// Takes away what could be taken for a file system.

import { writeSync } from "node:fs";

const MiB = 1024 * 1024;
/** Where signatures stand that tools look for, beside the end, where md and GPT have theirs: btrfs keeps copies at 64 MiB and 256 GiB. */
const offsets = [0, 64 * MiB, 256 * 1024 * MiB];

/** Zeros 1 MiB at each of these places and at the end of a device. */
export function clearSignatures(fd: number, sizeBytes: number): void {
  for (const offset of [...offsets, Math.max(0, sizeBytes - MiB)]) {
    const length = Math.min(MiB, sizeBytes - offset);
    if (length > 0) writeSync(fd, new Uint8Array(length), 0, length, offset);
  }
}
