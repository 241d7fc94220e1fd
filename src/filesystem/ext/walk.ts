// The entries of an ext file system in the order of an archive, without their content: a directory, then what is below it, siblings by their bytes.

import { O_DIRECTORY, O_NOFOLLOW } from "../../sys/constants.ts";
import { readStat, type Stat } from "../../sys/stat.ts";
import { statLayout } from "../../sys/layout.ts";
import { type ExtFilesystem, rootInode } from "./filesystem.ts";
import { errnoOfFailure } from "./flaw.ts";
import { flagsOf } from "./layout.ts";
import { ExtTree } from "./tree.ts";

export interface WalkedEntry {
  /** Below the root; empty for the root itself. */
  readonly path: Uint8Array;
  /** Last component of the path. */
  readonly name: Uint8Array;
  readonly depth: number;
  /** Undefined: the inode cannot be read. */
  readonly stat: Stat | undefined;
  readonly inodeFlags: number;
  readonly projectId: number;
  /** Target of a symbolic link. */
  readonly target: Uint8Array | undefined;
  /** First errno of reading it, or of what is below it; 0: none. */
  readonly errno: number;
}

/** Says of a directory whether it is entered. */
export type Enters = (path: Uint8Array) => boolean;

interface OpenDirectory {
  readonly inode: number;
  /** With a slash at the end; empty for the root. */
  readonly path: Uint8Array;
  readonly names: Uint8Array;
  at: number;
}

const noBytes = new Uint8Array(0);
const slash = Buffer.from("/");
const kindMask = 0xf000;
const kinds = { directory: 0x4000, symlink: 0xa000 } as const;

/** What cannot be read is told with its errno; damaged trees are not walked in circles (ExtTree). */
export function* walkTree(fs: ExtFilesystem, enters: Enters): Generator<WalkedEntry, void> {
  const tree = new ExtTree(fs);
  const open: OpenDirectory[] = [];
  /** An entry, and its directory as the next to be read. */
  const visit = (parent: OpenDirectory | undefined, name: Uint8Array): WalkedEntry => {
    const path = parent === undefined ? noBytes : Buffer.concat([parent.path, name]);
    const entry = entryAt(fs, tree, { path, name, depth: open.length }, parent?.inode ?? rootInode);
    if (entry.stat === undefined || (entry.stat.mode & kindMask) !== kinds.directory || !enters(path)) return entry;
    const inode = parent === undefined ? rootInode : tree.openAt(parent.inode, name, O_DIRECTORY | O_NOFOLLOW);
    const names = inode < 0 ? inode : tree.readDirectory(inode);
    if (typeof names === "number") return { ...entry, errno: -names };
    open.push({ inode, path: parent === undefined ? noBytes : Buffer.concat([path, slash]), names, at: 0 });
    return entry;
  };
  yield visit(undefined, noBytes);
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    if (top.at >= top.names.length) {
      open.pop();
      continue;
    }
    const start = top.at + 2;
    top.at = start + (top.names[top.at + 1] as number);
    yield visit(top, top.names.subarray(start, top.at));
  }
}

function entryAt(
  fs: ExtFilesystem,
  tree: ExtTree,
  place: Pick<WalkedEntry, "path" | "name" | "depth">,
  parent: number,
): WalkedEntry {
  const nothing = { ...place, stat: undefined, inodeFlags: 0, projectId: 0, target: undefined };
  const record = new Uint8Array(statLayout.size);
  const result = tree.statAt(parent, place.name, record);
  if (result < 0) return { ...nothing, errno: -result };
  const stat = readStat(record);
  try {
    const inode = fs.inode(Number(stat.ino));
    const target = (inode.mode & kindMask) === kinds.symlink ? fs.link(inode) : undefined;
    return { ...place, stat, inodeFlags: flagsOf(inode), projectId: inode.projectId, target, errno: 0 };
  } catch (error) {
    return { ...nothing, errno: errnoOfFailure(error) };
  }
}
