// The directories of a restore. Going ahead of the blocks, enter() makes them (mode 0700, nothing else) and says where each entry of a block belongs;
// following the finished blocks, leave() gives each directory its metadata once all below it is done: what comes last in a restore comes last here.

import { TsfsaError } from "../base/errors.ts";
import { MemberPath } from "../format/member-path.ts";
import { RowOrder } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind, type ExtendedAttribute } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import type { DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { EDQUOT, EEXIST, ENOSPC, EROFS, errnoName, systemError } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { isDirectory, readStat } from "../sys/stat.ts";
import { MetadataWriter, noName } from "./metadata.ts";
import type { WritePolicy } from "./protocol.ts";
import { RowPath } from "./row-path.ts";

/** Where one source goes; undefined handle: it is only read. */
export interface TreeRoot {
  readonly prefix: Uint8Array;
  readonly handle: DirectoryHandle | undefined;
}

/** Says which entries are restored, by path below the source root. */
export interface Selection {
  readonly empty: boolean;
  accepts(path: Uint8Array, isDirectory: boolean): boolean;
}

export interface TreeOptions {
  readonly roots: readonly TreeRoot[];
  readonly table: DirectoryTable | undefined;
  readonly policy: WritePolicy;
  readonly selection: Selection;
  readonly stripComponents: number;
  readonly warn: (warning: Warning) => void;
}

/** A block as it is to be unpacked: where its entries go. */
export interface PlacedBlock {
  readonly rows: readonly CatalogRow[];
  readonly firstEntry: number;
  readonly parentPath: Uint8Array;
  readonly prefixes: readonly { readonly row: number; readonly prefix: Uint8Array }[];
  /** Directory of each row (undefined: not restored), and its open descriptor while the block is worked on. */
  readonly parents: readonly (DirectoryHandle | undefined)[];
  readonly dirFds: Int32Array;
  /** Of directory rows: their own handle, where they were made. */
  readonly made: ReadonlyMap<number, DirectoryHandle>;
  /** Member names of linked entries and hard links, by row. */
  readonly paths: ReadonlyMap<number, Uint8Array>;
  /** Path of a row below its source's root, for messages. */
  displayPath(index: number): Uint8Array;
  /** A member name of this block without its source's prefix. */
  withoutPrefix(path: Uint8Array): Uint8Array;
  release(): void;
}

interface Frame {
  readonly handle: DirectoryHandle | undefined;
}

interface OpenDirectory {
  readonly row: CatalogRow;
  readonly handle: DirectoryHandle | undefined;
  readonly path: Uint8Array;
  attributes: readonly ExtendedAttribute[];
}

export class Tree {
  readonly #options: TreeOptions;
  #source = -1;
  #path = new MemberPath(noName);
  /** Handles from the root to the directory that enter() is in. */
  #frames: Frame[] = [];
  #order: RowOrder | undefined;
  /** Directories from the root that leave() has not finished yet. */
  #open: OpenDirectory[] = [];

  constructor(options: TreeOptions) {
    this.#options = options;
  }

  /** The source whose entries come now; −1 before the first. */
  get source(): number {
    return this.#source;
  }

  /**
   * Puts the tree where a block begins: `ancestors` are the names from the root to the parent of its first entry. What is missing of them (its own
   * block is lost) is made without metadata. `gap`: something was lost, so names may not follow from those before.
   */
  moveTo(source: number, ancestors: readonly Uint8Array[], gap: boolean): void {
    if (gap) this.#order = undefined;
    const depth = ancestors.length;
    if (depth === 0) return;
    if (this.#source !== source) this.#startSource(source);
    let same = 1;
    const current = this.#path.components();
    while (
      same < depth &&
      same < current.length &&
      Buffer.compare(ancestors[same] as Uint8Array, current[same] as Uint8Array) === 0
    )
      same++;
    if (same === depth) return;
    if (!gap) {
      throw new TsfsaError(
        "ARCHIVE_DAMAGED",
        "a catalog segment starts in another directory than the one before ended in",
      );
    }
    while (this.#frames.length > same) this.#leaveFrame();
    for (const name of ancestors.slice(same)) this.#enterDirectory(name, this.#make(name, undefined));
  }

  /** Makes the directories of a block's rows and says where the others go. Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE for rows out of order. */
  enter(rows: readonly CatalogRow[], firstEntry: number): PlacedBlock {
    const first = rows[0];
    const depth = first?.depth ?? this.#frames.length;
    while (this.#frames.length > depth && depth > 0) this.#leaveFrame();
    const parentPath = this.#path.bytes.slice();
    const parents: (DirectoryHandle | undefined)[] = [];
    const made = new Map<number, DirectoryHandle>();
    const paths = new Map<number, Uint8Array>();
    const prefixes: { row: number; prefix: Uint8Array }[] = [];
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as CatalogRow;
      if (row.depth === 0) {
        this.#startSource(this.#source + 1);
        const root = this.#options.roots[this.#source];
        if (root === undefined)
          throw new TsfsaError("ARCHIVE_DAMAGED", "the catalog has more roots than the head has sources");
        prefixes.push({ row: index, prefix: root.prefix });
        if (root.handle !== undefined && this.#options.stripComponents === 0) made.set(index, root.handle);
        parents.push(undefined);
        this.#order = new RowOrder(1, outOfOrder);
        continue;
      }
      this.#order ??= new RowOrder(row.depth, outOfOrder);
      this.#order.check(row);
      while (this.#frames.length > row.depth) this.#leaveFrame();
      if (this.#frames.length < row.depth) throw outOfOrder("an entry has no directory");
      const isDirectory = row.kind === EntryKind.directory;
      const parent = this.#select(row);
      parents.push(isDirectory ? undefined : parent);
      if (row.linked || row.kind === EntryKind.hardlink || row.linkEntry !== undefined)
        paths.set(index, this.#path.join(row.name));
      if (!isDirectory) continue;
      const handle = parent === undefined ? this.#passThrough(row) : this.#make(row.name, row);
      if (handle !== undefined && parent !== undefined) made.set(index, handle);
      this.#enterDirectory(row.name, handle);
    }
    return this.#place({ rows, firstEntry, parentPath, prefixes, parents, made, paths });
  }

  /** Follows the rows of a block that has been unpacked: finishes the directories that nothing more comes to. */
  leave(block: PlacedBlock, attributes: ReadonlyMap<number, readonly ExtendedAttribute[]>): void {
    for (let index = 0; index < block.rows.length; index++) {
      const row = block.rows[index] as CatalogRow;
      while (this.#open.length > row.depth) this.#finishLast();
      if (row.kind !== EntryKind.directory) continue;
      // A directory whose parents' rows are lost still has its place.
      const handle = block.made.get(index);
      const path = handle?.path() ?? noName;
      this.#open[row.depth] = { row, handle, path, attributes: attributes.get(index) ?? [] };
    }
  }

  /** Finishes all directories that are left. */
  finish(): void {
    while (this.#open.length > 0) this.#finishLast();
  }

  /** Says that the next row is the root of this source, whatever was lost before. */
  beforeRoot(source: number): void {
    this.#source = source - 1;
  }

  #startSource(source: number): void {
    const root = this.#options.roots[source];
    this.#source = source;
    this.#path = new MemberPath(root?.prefix ?? noName);
    this.#frames = [{ handle: root?.handle }];
  }

  /** The directory an entry is made in, or undefined when it is left out. */
  #select(row: CatalogRow): DirectoryHandle | undefined {
    const parent = this.#frames.at(-1)?.handle;
    if (parent === undefined || row.depth <= this.#options.stripComponents) return undefined;
    if (this.#options.selection.empty) return parent;
    const prefixLength = (this.#options.roots[this.#source] as TreeRoot).prefix.length;
    const path = this.#path.join(row.name).subarray(prefixLength);
    return this.#options.selection.accepts(path, row.kind === EntryKind.directory) ? parent : undefined;
  }

  /** Where the entries of a directory go that is not made itself: into its parent while components are stripped, else nowhere. */
  #passThrough(row: CatalogRow): DirectoryHandle | undefined {
    return row.depth <= this.#options.stripComponents ? this.#frames.at(-1)?.handle : undefined;
  }

  #enterDirectory(name: Uint8Array, handle: DirectoryHandle | undefined): void {
    this.#path.enter(name);
    this.#frames.push({ handle });
  }

  #leaveFrame(): void {
    this.#frames.pop();
    this.#path.leave();
  }

  /** Makes a directory in the current one; one that exists is used as it is, anything else in its way only replaced if the policy says so. */
  #make(name: Uint8Array, row: CatalogRow | undefined): DirectoryHandle | undefined {
    const parent = this.#frames.at(-1)?.handle;
    const { table, policy } = this.#options;
    if (parent === undefined || table === undefined) return undefined;
    const native = addon();
    const dirFd = parent.acquire();
    try {
      let made = native.mkdirAt(dirFd, name, 0o700);
      const stat = new Uint8Array(statLayout.size);
      if (made === -EEXIST) {
        const found = native.statAt(dirFd, name, stat);
        if (found >= 0 && isDirectory(readStat(stat).mode)) return table.child(parent, name, undefined, readStat(stat));
        if (policy.overwrite && native.unlinkAt(dirFd, name, 0) >= 0) made = native.mkdirAt(dirFd, name, 0o700);
      }
      if (made === -ENOSPC || made === -EDQUOT || made === -EROFS)
        throw systemError(-made, "making a directory", this.#path.join(name));
      if (made >= 0) made = native.statAt(dirFd, name, stat);
      if (made >= 0) return table.child(parent, name, undefined, readStat(stat));
      const errno = errnoName(-made);
      const why = made === -EEXIST ? "something else of that name exists already (--overwrite replaces it)" : errno;
      const what = row === undefined ? "a directory whose own entry is lost" : "it and all that is below it";
      const message = `${what} was not restored: making the directory failed: ${why}`;
      this.#options.warn({ code: "ENTRY_NOT_RESTORED", path: this.#displayPath(name), message, errno });
      return undefined;
    } finally {
      parent.release();
    }
  }

  #displayPath(name: Uint8Array): Uint8Array {
    return this.#path.join(name).subarray((this.#options.roots[this.#source] as TreeRoot).prefix.length);
  }

  #place(block: Omit<PlacedBlock, "dirFds" | "displayPath" | "withoutPrefix" | "release">): PlacedBlock {
    const acquired = new Map<DirectoryHandle, number>();
    const dirFds = new Int32Array(block.rows.length).fill(-1);
    for (const [index, parent] of block.parents.entries()) {
      if (parent === undefined) continue;
      let fd = acquired.get(parent);
      if (fd === undefined) {
        fd = parent.acquire();
        acquired.set(parent, fd);
      }
      dirFds[index] = fd;
    }
    const release = (): void => {
      for (const handle of acquired.keys()) handle.release();
    };
    const { rows, parentPath, prefixes } = block;
    const prefixLength = this.#options.roots[this.#source]?.prefix.length ?? 0;
    const withoutPrefix = (path: Uint8Array): Uint8Array => path.subarray(prefixLength);
    const displayPath = (index: number): Uint8Array => {
      const path = new RowPath(parentPath, rows[0]?.depth ?? 0, prefixes);
      for (let i = 0; i <= index; i++) path.enter(i, rows[i] as CatalogRow);
      return withoutPrefix(path.member());
    };
    return { ...block, dirFds, displayPath, withoutPrefix, release };
  }

  #finishLast(): void {
    const directory = this.#open.pop();
    if (directory?.handle === undefined) return;
    const { row, handle, path, attributes } = directory;
    const metadata = new MetadataWriter(this.#options.policy, (warning) => this.#options.warn({ ...warning, path }));
    const fd = handle.acquire();
    try {
      metadata.apply({ fd, name: noName }, row, attributes);
      metadata.flags(fd, row.inodeFlags);
    } finally {
      handle.release();
    }
  }
}

function outOfOrder(reason: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `the catalog is out of order: ${reason}`);
}
