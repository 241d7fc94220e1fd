// What saving asks of a tree: the calls of the addon that list directories, tell of entries and read files. The addon answers them from mounted file
// systems, where numbers are descriptors; a reader of block devices answers them from the device, where numbers are what it likes (inodes). Both give
// the same records and the same −errno, so whoever plans and packs need not know which it is.

import type { Addon } from "./addon.ts";

export type TreeSource = Pick<
  Addon,
  | "readDirectory"
  | "statNames"
  | "openAt"
  | "close"
  | "statAt"
  | "read"
  | "dataMap"
  | "extentMap"
  | "gather"
  | "readFiles"
> & {
  /** A descriptor is an inode number, below 2^31: one that is known opens the inode itself, with an empty name. */
  readonly opensInodes?: true;
};
