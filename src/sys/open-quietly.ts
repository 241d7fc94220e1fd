// Opening for reading without leaving a trace: a save should not change access times.

import { addon } from "./addon.ts";
import { O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "./constants.ts";
import { EPERM } from "./errors.ts";
import type { TreeSource } from "./tree-source.ts";

/** Opens for reading, never following a link, where allowed without changing the access time. Returns a descriptor or −errno. */
export function openQuietly(
  dirFd: number,
  name: Uint8Array,
  flags = 0,
  tree: Pick<TreeSource, "openAt"> = addon(),
): number {
  const all = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | flags;
  const fd = tree.openAt(dirFd, name, all | O_NOATIME, 0, 0);
  // O_NOATIME is for the owner and CAP_FOWNER only.
  return fd === -EPERM ? tree.openAt(dirFd, name, all, 0, 0) : fd;
}
