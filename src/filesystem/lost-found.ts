// The lost+found that mke2fs makes: a directory with blocks in reserve, so that e2fsck need not allocate any. A directory made anew has none, so
// a restore fills the one that is there; whether it stays is the archive's to say.

import { addon } from "../sys/addon.ts";
import { AT_REMOVEDIR } from "../sys/constants.ts";
import { statLayout } from "../sys/layout.ts";
import { readStat } from "../sys/stat.ts";

const name = Buffer.from("lost+found");

/**
 * Call it before a restore. `isExpected`: the archive may well have a directory of that name; else it is removed at once. Gives what is to be called
 * afterwards: it removes the directory if the restore has not set anything on it.
 */
export function lostFoundOf(rootFd: number, isExpected: boolean): () => void {
  const remove = (): void => void addon().unlinkAt(rootFd, name, AT_REMOVEDIR);
  if (!isExpected) remove();
  const before = changedAt(rootFd);
  return () => {
    if (before !== undefined && before === changedAt(rootFd)) remove();
  };
}

/** Its change time, which nobody but the kernel sets; undefined: it is not there. */
function changedAt(rootFd: number): string | undefined {
  const record = new Uint8Array(statLayout.size);
  if (addon().statAt(rootFd, name, record) < 0) return undefined;
  const { ctime } = readStat(record);
  return `${ctime.seconds}.${ctime.nanoseconds}`;
}
