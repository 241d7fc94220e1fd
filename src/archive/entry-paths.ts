// The paths of catalog rows in order, below the root of their source, and the sources they belong to.

import { fromLatin1, latin1 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { MemberPath } from "../format/member-path.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { Group } from "./reader.ts";

const noPath = new Uint8Array(0);

export class EntryPaths {
  readonly #sources: number;
  #source = -1;
  #path = new MemberPath(noPath);
  /** Groups are missing before the next one. */
  #gap = false;

  /** `sources`: how many the archive has. */
  constructor(sources: number) {
    this.#sources = sources;
  }

  /** Source of the row that was given last. */
  get source(): number {
    return this.#source;
  }

  /** Stands where a group begins. False: its rows are lost. */
  enter(group: Group): boolean {
    const { catalog, apart } = group;
    const gap = this.#gap || apart !== undefined;
    this.#gap = catalog === undefined;
    if (catalog === undefined) return false;
    const isRoot = catalog.ancestors.length === 0;
    if (gap) {
      const source = apart?.source ?? group.blocks.find(({ record }) => !record.end)?.record.sourceId ?? this.#source;
      this.#source = isRoot ? source - 1 : source;
    }
    if (isRoot) return true;
    // Socket names at the end of a source may begin a segment: their source is the present one.
    this.#source = Math.max(this.#source, 0);
    this.#path = new MemberPath(noPath);
    for (const name of catalog.ancestors.slice(1)) this.#path.enter(name);
    return true;
  }

  /** Path of the next row, in bytes of its own; empty for a root. Throws ARCHIVE_DAMAGED for a row without place. */
  next(row: CatalogRow): Uint8Array {
    if (row.depth === 0) {
      this.#source++;
      if (this.#source >= this.#sources) {
        throw new TsfsaError("ARCHIVE_DAMAGED", "the catalog has more roots than the head has sources");
      }
      this.#path = new MemberPath(noPath);
      return noPath;
    }
    while (this.#path.depth >= row.depth) this.#path.leave();
    if (this.#path.depth < row.depth - 1) {
      throw new TsfsaError("ARCHIVE_DAMAGED", "the catalog is out of order: an entry has no directory");
    }
    const path = this.#path.join(row.name);
    if (row.kind === EntryKind.directory) this.#path.enter(row.name);
    return path;
  }
}

/** Where the objects of hard links stand, of catalog rows in order. Memory: some 150 bytes for each inode with several names. */
export class LinkPaths {
  readonly #paths = new Map<number, string>();

  /** Path of the object that an entry, by number, is a further name of; undefined: it is none, or its object is lost. */
  next(entry: number, row: CatalogRow, path: Uint8Array): Uint8Array | undefined {
    // No link leads to another source.
    if (row.depth === 0) this.#paths.clear();
    if (row.linked) this.#paths.set(entry, latin1(path));
    const object = row.linkEntry === undefined ? undefined : this.#paths.get(row.linkEntry);
    return object === undefined ? undefined : fromLatin1(object);
  }
}
