// stat(1): type, mode, owner, size, device numbers, times in nanoseconds. Sizes and link counts of directories are the file
// system's own business and are left out; birth and change times cannot be restored.

import { inChunk, nulList, overEntries } from "../walk.ts";
import { type Dump, type Judge, recordsInOrder } from "./dump.ts";

export const judgeStat: Judge = async ({ chunk, entries, ignore }) => {
  const format = "%f|%u|%g|%h|%s|%t:%T|%.9Y|%.9X\\0";
  const { stdout, stderr, status } = await overEntries(chunk, entries, ["stat", `--printf=${format}`, "--"]);
  if (status !== 0) throw new Error(`stat: ${stderr}`);
  const records = stdout.split("\0").slice(0, -1);
  const dump = recordsInOrder(entries, records, "stat");
  const isDirectory = new Map(entries.map((entry) => [entry.path, entry.stat.isDirectory()]));
  for (const [path, record] of dump) {
    const [mode, uid, gid, links, size, device, mtime, atime] = record.split("|");
    const directory = isDirectory.get(path) === true;
    const fields = [
      `mode=${mode}`,
      ignore.has("owner") ? "" : `uid=${uid} gid=${gid}`,
      directory || ignore.has("hardlinks") ? "" : `links=${links}`,
      directory ? "" : `size=${size} device=${device}`,
      ignore.has("mtime") ? "" : `mtime=${mtime}`,
      ignore.has("atime") ? "" : `atime=${atime}`,
    ];
    dump.set(path, fields.filter((field) => field !== "").join(" "));
  }
  return dump;
};

/** Targets of symbolic links, whole. */
export const judgeSymlinks: Judge = async ({ chunk, entries }) => {
  const links = entries.filter((entry) => entry.stat.isSymbolicLink());
  if (links.length === 0) return new Map();
  const { stdout, stderr, status } = await inChunk(chunk, ["xargs", "-0", "readlink", "-z", "--"], nulList(links));
  if (status !== 0) throw new Error(`readlink: ${stderr}`);
  return recordsInOrder(links, stdout.split("\0").slice(0, -1), "readlink");
};

/** Which names share an inode: each linked name with the first name of its group. Runs over the whole walk, not per chunk. */
export function hardLinkGroups(
  entries: readonly { path: string; stat: { ino: bigint; nlink: bigint; isDirectory(): boolean } }[],
): Dump {
  const first = new Map<bigint, string>();
  const dump: Dump = new Map();
  for (const { path, stat } of entries) {
    if (stat.isDirectory() || stat.nlink < 2n) continue;
    const leader = first.get(stat.ino);
    if (leader === undefined) first.set(stat.ino, path);
    dump.set(path, `links=${stat.nlink} same inode as ${leader ?? path}`);
  }
  return dump;
}
