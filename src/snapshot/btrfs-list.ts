// The subvolumes of a btrfs as `btrfs subvolume list` tells them. Pure but for the call.

import { closeSync, constants, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { TsfsaError } from "../base/errors.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import { addon } from "../sys/addon.ts";
import { check } from "../sys/errors.ts";
import { persist } from "./tools.ts";

/** Inode of the root of each subvolume: BTRFS_FIRST_FREE_OBJECTID (linux/btrfs_tree.h). */
export const subvolumeRoot = 256;

export interface Subvolume {
  readonly id: number;
  readonly generation: number;
  readonly parent: number;
  /** From the top-level subvolume, without leading slash. */
  readonly path: string;
}

/** `ID 257 gen 7 top level 256 path data/nest`, one a line; a name with a newline goes over several. */
export function parseSubvolumes(text: string): Subvolume[] {
  const found: Subvolume[] = [];
  for (const match of text.matchAll(
    /^ID (\d+) gen (\d+) top level (\d+) path ((?:(?!^ID \d+ gen \d+ top level \d+ path ).*\n?)*)/gm,
  )) {
    const [, id, generation, parent, path = ""] = match;
    found.push({
      id: Number(id),
      generation: Number(generation),
      parent: Number(parent),
      path: path.replace(/\n$/, ""),
    });
  }
  return found;
}

/** All subvolumes of the file system whose top-level subvolume is open as `topFd`. */
export async function listSubvolumes(run: ToolRunner, topFd: number): Promise<Subvolume[]> {
  // What changed shows only once it is committed.
  await persist(run, "btrfs", ["filesystem", "sync", toolTop], { fd3: topFd });
  return parseSubvolumes(await persist(run, "btrfs", ["subvolume", "list", toolTop], { fd3: topFd }));
}

/** How a tool that was given the top-level subvolume as descriptor 3 names it. */
export const toolTop = "/proc/self/fd/3";

/** Those at and below a path, those above first. */
export function below(subvolumes: readonly Subvolume[], path: string): Subvolume[] {
  return subvolumes
    .filter((each) => path === "" || each.path === path || each.path.startsWith(`${path}/`))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Removes a snapshot of ours with the subvolumes in it, as far as they are there. */
export async function removeSubvolumes(run: ToolRunner, topFd: number, name: string): Promise<void> {
  if (!name.includes(".tsfsa-") || name.includes("/"))
    throw new TsfsaError("INTERNAL", `${name} is no snapshot of ours`);
  const found = below(await listSubvolumes(run, topFd), name);
  const options = { fd3: topFd };
  // A read-only subvolume gives away nothing that is in it.
  if (found.length > 1) {
    for (const { path } of found)
      await persist(run, "btrfs", ["property", "set", "-ts", `${toolTop}/${path}`, "ro", "false"], options);
  }
  for (const { path } of found.toReversed()) deleteSubvolume(topFd, path);
}

/** By descriptor: btrfs(8) looks a name up from the root directory, where nothing of a detached mount can be found. */
function deleteSubvolume(topFd: number, path: string): void {
  const parent = openSync(`/proc/self/fd/${topFd}/${dirname(path)}`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    check(addon().deleteSubvolume(parent, Buffer.from(basename(path))), "deleting the subvolume", path);
  } finally {
    closeSync(parent);
  }
}
