// The lost+found that mke2fs makes: a directory with blocks in reserve, so that e2fsck need not allocate any. A directory made anew has none, so
// a restore fills the one that is there; whether it stays is the archive's to say.

import { addon } from "../sys/addon.ts";
import { AT_REMOVEDIR } from "../sys/constants.ts";
import { statLayout } from "../sys/layout.ts";
import { readStat, type Stat } from "../sys/stat.ts";

const name = Buffer.from("lost+found");
const itself = new Uint8Array(0);
/** Its modification time until a restore gives it one: no archive has it by chance. Whole seconds after 1970, which every inode holds. */
const untouched = 86_399;

/**
 * Call it before a restore. `isExpected`: the archive may well have a directory of that name; else it is removed at once. Gives what is to be called
 * afterwards: it removes the directory if the restore has not given it its times.
 */
export function lostFoundOf(rootFd: number, isExpected: boolean): () => void {
  const remove = (): void => void addon().unlinkAt(rootFd, name, AT_REMOVEDIR);
  if (!isExpected) remove();
  const marked = addon().utimesAt(rootFd, name, untouched, 0, untouched, 0) >= 0;
  return () => {
    if (marked && statOf(rootFd, name)?.mtime.seconds === untouched) keepingTimes(rootFd, remove);
  };
}

/** The directory has the times that the archive gave it. */
function keepingTimes(fd: number, change: () => void): void {
  const stat = statOf(fd, itself);
  change();
  if (stat === undefined) return;
  const { atime, mtime } = stat;
  addon().utimesAt(fd, itself, atime.seconds, atime.nanoseconds, mtime.seconds, mtime.nanoseconds);
}

/** Undefined: it is not there. */
function statOf(fd: number, path: Uint8Array): Stat | undefined {
  const record = new Uint8Array(statLayout.size);
  return addon().statAt(fd, path, record) < 0 ? undefined : readStat(record, 0);
}
