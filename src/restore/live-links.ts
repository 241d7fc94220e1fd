// Hard links of an archive against inodes of a live tree: names of one object must be one inode, and others must not. Memory: one item per inode with
// several names.

import { fromLatin1, latin1 } from "../base/bytes.ts";
import { escapeName } from "../base/units.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { FieldDifference } from "../model/difference.ts";
import type { CompareOutput } from "./protocol.ts";

interface LinkedObject {
  readonly inode: string;
  /** As latin1. */
  readonly path: string;
}

export class LiveLinks {
  readonly #isWhole: boolean;
  /** By entry number. */
  readonly #objects = new Map<number, LinkedObject>();
  /** Entry number of the object that was found with an inode. */
  readonly #entries = new Map<string, number>();

  /** `isWhole`: nothing is left out, so an object that was not seen is not there, or another kind of thing. */
  constructor(isWhole: boolean) {
    this.#isWhole = isWhole;
  }

  /** What is wrong with the names of an entry. To be asked in the archive's order. */
  compare(
    entry: number,
    row: CatalogRow,
    { device, ino, linked }: CompareOutput["inodes"][number],
    path: Uint8Array,
  ): FieldDifference | undefined {
    const inode = `${device}:${ino}`;
    if (row.linkEntry !== undefined) {
      const object = this.#objects.get(row.linkEntry);
      if (object?.inode === inode || (object === undefined && !this.#isWhole)) return undefined;
      const archived = object === undefined ? `link to entry ${row.linkEntry}` : linkText(object.path);
      return { field: "hardlink", archived, found: this.#nameOf(inode) };
    }
    const other = this.#entries.get(inode);
    if (row.linked) this.#objects.set(entry, { inode, path: latin1(path) });
    if (other !== undefined) {
      return { field: "hardlink", archived: "an object of its own", found: this.#nameOf(inode) };
    }
    if (row.linked || linked) {
      this.#entries.set(inode, entry);
      if (!row.linked) this.#objects.set(entry, { inode, path: latin1(path) });
    }
    return undefined;
  }

  #nameOf(inode: string): string {
    const entry = this.#entries.get(inode);
    const object = entry === undefined ? undefined : this.#objects.get(entry);
    return object === undefined ? "an object of its own" : linkText(object.path);
  }
}

function linkText(path: string): string {
  return `link to ${escapeName(fromLatin1(path))}`;
}
