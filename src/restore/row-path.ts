// The member name that a run of catalog rows should have, followed row by row: so that index and stream are compared without making a path
// for each entry.

import { equalBytes } from "../base/bytes.ts";
import { MemberPath } from "../format/member-path.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";

export class RowPath {
  #path: MemberPath;
  /** Depth of the entries of the directory that the path names. */
  #depth: number;
  readonly #prefixes: readonly { readonly row: number; readonly prefix: Uint8Array }[];
  #row: CatalogRow | undefined;
  /** The directory row that was entered last: its name joins the path when a child comes. */
  #pending: CatalogRow | undefined;

  /** `parentPath`: member name of the directory of the first row; `prefixes`: of the roots among the rows. */
  constructor(
    parentPath: Uint8Array,
    firstDepth: number,
    prefixes: readonly { readonly row: number; readonly prefix: Uint8Array }[],
  ) {
    this.#path = MemberPath.of(parentPath, firstDepth);
    this.#depth = firstDepth;
    this.#prefixes = prefixes;
  }

  /** Moves to the next row. */
  enter(index: number, row: CatalogRow): void {
    this.#row = row;
    if (row.depth === 0) {
      const prefix = this.#prefixes.find((candidate) => candidate.row === index)?.prefix ?? new Uint8Array(0);
      this.#path = new MemberPath(prefix);
      this.#depth = 1;
      this.#pending = undefined;
      return;
    }
    if (this.#pending !== undefined && row.depth > this.#pending.depth) {
      this.#path.enter(this.#pending.name);
      this.#depth++;
    }
    while (this.#depth > row.depth) {
      this.#path.leave();
      this.#depth--;
    }
    this.#pending = row.kind === EntryKind.directory ? row : undefined;
  }

  /** Member name of the present row. */
  member(): Uint8Array {
    const row = this.#row as CatalogRow;
    if (row.depth === 0) return this.#path.bytes.slice();
    const slash = row.kind === EntryKind.directory ? 1 : 0;
    const joined = this.#path.join(row.name);
    if (slash === 0) return joined;
    const path = new Uint8Array(joined.length + 1);
    path.set(joined);
    path[joined.length] = 0x2f;
    return path;
  }

  /** True when `path` is the member name of the present row. */
  equals(path: Uint8Array): boolean {
    const row = this.#row as CatalogRow;
    const directory = this.#path.bytes;
    if (row.depth === 0) return equalBytes(path, directory);
    const slash = row.kind === EntryKind.directory ? 1 : 0;
    const { name } = row;
    return (
      path.length === directory.length + name.length + slash &&
      equalBytes(path.subarray(0, directory.length), directory) &&
      equalBytes(path.subarray(directory.length, directory.length + name.length), name) &&
      (slash === 0 || path[path.length - 1] === 0x2f)
    );
  }
}

/** Where the rows of a block stand. */
export interface RowPlace {
  readonly parentPath: Uint8Array;
  readonly firstDepth: number;
  readonly prefixes: readonly { readonly row: number; readonly prefix: Uint8Array }[];
}

/** Member names of rows by index, for messages. Asked for in ascending order, as messages come, all of a block cost one pass over its rows. */
export function memberPaths(
  rows: readonly CatalogRow[],
  { parentPath, firstDepth, prefixes }: RowPlace,
): (index: number) => Uint8Array {
  let path: RowPath | undefined;
  let next = 0;
  return (index) => {
    if (path === undefined || index < next - 1) {
      path = new RowPath(parentPath, firstDepth, prefixes);
      next = 0;
    }
    for (; next <= index; next++) path.enter(next, rows[next] as CatalogRow);
    return path.member();
  };
}
