// A block with its place in the tree: what tree.ts says of it before it goes to a worker.

import type { CatalogRow } from "../model/catalog.ts";
import type { DirectoryHandle } from "../sys/directory.ts";
import type { Branch } from "./branch.ts";
import type { HeldDirectories, Section } from "./parents.ts";

/** A block as it is to be unpacked: where its entries go. */
export interface PlacedBlock {
  /** Its entries only count, and are made where they stand: there is nothing to tell of them, and nothing refers to them. */
  readonly isQuiet: boolean;
  readonly count: number;
  readonly rows: readonly CatalogRow[];
  /** Source of the first row. */
  readonly source: number;
  readonly firstEntry: number;
  /** Member name of a directory, and the depth of entries in it, from which the first row follows. */
  readonly parentPath: Uint8Array;
  readonly firstDepth: number;
  readonly prefixes: readonly { readonly row: number; readonly prefix: Uint8Array }[];
  /** Directory of each row that is restored and no directory itself. */
  readonly parents: readonly (DirectoryHandle | undefined)[];
  /** New entries in one of these directories may get a group, an ACL or flags from it. */
  readonly careful: boolean;
  /** Rows of directories, by row; not of a quiet block that is only verified. */
  readonly directories: ReadonlyMap<number, CatalogRow>;
  /** Of directory rows that may be restored, by row. */
  readonly branches: ReadonlyMap<number, Branch>;
  /** Rows that are restored under another name than their own. */
  readonly renamed: ReadonlyMap<number, Uint8Array>;
  /** Member names of linked entries and hard links, as latin1, by row. */
  readonly paths: ReadonlyMap<number, string>;
  /** Path of a row below its source's root, for messages. */
  displayPath(index: number): Uint8Array;
  /** A member name of this block without its source's prefix. */
  withoutPrefix(path: Uint8Array): Uint8Array;
  /** Rows as ranges [from, to) whose entries stand in at most `directories` directories each. */
  sections(directories: number): Section[];
  /** Opens the directories of the rows [from, to). */
  acquire(from: number, to: number): HeldDirectories;
}

/** A row is to be restored, or is verified. Directories that wait for what is below them do not count before they are made. */
export function isTaken(placed: PlacedBlock, index: number, write: boolean): boolean {
  if (!write || placed.parents[index] !== undefined) return true;
  const branch = placed.branches.get(index);
  return branch?.handle !== undefined && branch.restored;
}
