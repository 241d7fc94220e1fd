// A live tree walked along the rows of an archive: both are in the same order, so names only in one of them show by merging, and memory holds the
// directories of one path. Links are never followed.

import { TsfsaError } from "../base/errors.ts";
import { compareBytes } from "../base/bytes.ts";
import { MemberPath } from "../format/member-path.ts";
import { RowOrder } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY } from "../sys/constants.ts";
import type { DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { ELOOP, ENOTDIR } from "../sys/errors.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import { statDescriptor } from "../sys/stat.ts";
import type { RowPlace } from "./row-path.ts";
import type { Selection } from "./tree.ts";

export interface LiveTreeOptions {
  /** Member name prefixes of the sources. */
  readonly prefixes: readonly Uint8Array[];
  /** Where each source is to be found; undefined: it is not compared. */
  readonly roots: readonly (DirectoryHandle | undefined)[];
  readonly table: DirectoryTable;
  readonly selection: Selection;
  /** A directory could not be read: what is below it is not compared. */
  readonly onUnreadable: (path: Uint8Array, errno: number) => void;
}

/** An entry that only one side has, and the row before which it is to be told. */
export interface OneSided {
  readonly before: number;
  readonly change: "removed" | "added";
  readonly source: number;
  readonly path: Uint8Array;
}

/** The rows of a block beside the live tree. */
export interface EnteredRows extends RowPlace {
  /** Live directory of each row that is to be compared (its own for roots). */
  readonly parents: readonly (DirectoryHandle | undefined)[];
  /** Source and path below its root of each row. */
  readonly sources: readonly number[];
  readonly paths: readonly Uint8Array[];
  readonly oneSided: readonly OneSided[];
}

interface Frame {
  /** Undefined: it is not there, no directory, unreadable or not wanted. */
  readonly handle: DirectoryHandle | undefined;
  /** It is only in the archive, which was not told: entries below it that are selected are. */
  readonly isMissing: boolean;
  /** Path below the source's root. */
  readonly path: Uint8Array;
  /** Names of the live directory, packed as by readDirectory, and where the next one begins. */
  readonly names: Uint8Array;
  at: number;
  /** False: rows may be missing, so nothing can be said of further names. */
  isComplete: boolean;
}

const noBytes = new Uint8Array(0);
const slash = 0x2f;
/** dirent's d_type of directories. */
const directoryType = 4;

export class LiveTree {
  readonly #options: LiveTreeOptions;
  #source = -1;
  #path = new MemberPath(noBytes);
  #frames: Frame[] = [];
  #order: RowOrder | undefined;
  /** Device and mount of the present source's root. */
  #root: { readonly dev: number; readonly mountId: number } | undefined;
  #oneSided: OneSided[] = [];

  constructor(options: LiveTreeOptions) {
    this.#options = options;
  }

  get source(): number {
    return this.#source;
  }

  /** Rows are lost: of the directories of the present path it is not known what else they held. */
  lose(): void {
    for (const frame of this.#frames) frame.isComplete = false;
    this.#order = undefined;
  }

  /** Stands where a block begins, after a loss: below `ancestors` (the root included) of a source, or before its root when there are none. */
  moveTo(source: number, ancestors: readonly Uint8Array[]): void {
    if (ancestors.length === 0) {
      this.#source = source - 1;
      return;
    }
    if (this.#source !== source) this.#startSource(source);
    const current = this.#path.components();
    let same = 1;
    while (same < ancestors.length && isSame(ancestors[same], current[same])) same++;
    while (this.#frames.length > same) this.#leave(0);
    for (const name of ancestors.slice(same)) this.#enterDirectory(name, this.#below(name, true));
    this.lose();
  }

  /** Follows the rows of a block. Throws ARCHIVE_DAMAGED, ARCHIVE_HOSTILE for rows out of order. */
  enter(rows: readonly CatalogRow[]): EnteredRows {
    const firstDepth = rows[0]?.depth ?? this.#frames.length;
    if (firstDepth > 0) while (this.#frames.length > firstDepth) this.#leave(0);
    const parentPath = this.#path.bytes.slice();
    const parents: (DirectoryHandle | undefined)[] = [];
    const sources: number[] = [];
    const paths: Uint8Array[] = [];
    const prefixes: { row: number; prefix: Uint8Array }[] = [];
    for (const [index, row] of rows.entries()) {
      if (row.depth === 0) {
        while (this.#frames.length > 0) this.#leave(index);
        this.#startSource(this.#source + 1);
        prefixes.push({ row: index, prefix: this.#options.prefixes[this.#source] ?? noBytes });
        const { selection } = this.#options;
        parents.push(selection.empty || selection.selects(noBytes, true) ? this.#frames[0]?.handle : undefined);
        sources.push(this.#source);
        paths.push(noBytes);
        this.#order = new RowOrder(1, outOfOrder);
        continue;
      }
      this.#order ??= new RowOrder(row.depth, outOfOrder);
      this.#order.check(row);
      while (this.#frames.length > row.depth) this.#leave(index);
      if (this.#frames.length < row.depth) throw outOfOrder("an entry has no directory");
      const path = joinPath((this.#frames.at(-1) as Frame).path, row.name);
      parents.push(this.#enterRow(index, row, path));
      sources.push(this.#source);
      paths.push(path);
    }
    const oneSided = this.#oneSided;
    this.#oneSided = [];
    return { parentPath, firstDepth, prefixes, parents, sources, paths, oneSided };
  }

  /** What only the tree has behind the last row. */
  finish(): readonly OneSided[] {
    while (this.#frames.length > 0) this.#leave(0);
    return this.#oneSided;
  }

  /** The directory in which the row's entry is to be looked at; undefined: it is not. */
  #enterRow(index: number, row: CatalogRow, path: Uint8Array): DirectoryHandle | undefined {
    const frame = this.#frames.at(-1) as Frame;
    const { selection } = this.#options;
    const isDirectory = row.kind === EntryKind.directory;
    const isSelected = selection.empty || selection.selects(path, isDirectory);
    const isThere = this.#takeName(frame, row.name, index);
    if (row.kind === EntryKind.absent) {
      if (isThere && isSelected) this.#tell(index, "added", path);
      return undefined;
    }
    if (isDirectory) {
      const isWanted = isSelected || selection.mayHold(path);
      const isMissing = !isSelected && !isThere && (frame.isMissing || frame.handle !== undefined);
      this.#enterDirectory(row.name, {
        ...(isThere && isWanted ? this.#below(row.name, isSelected) : nowhere(path)),
        isMissing,
      });
    }
    if (!isSelected) return undefined;
    if (isThere) return frame.handle;
    if (frame.handle !== undefined || frame.isMissing) this.#tell(index, "removed", path);
    return undefined;
  }

  /** Passes over live names before this one, which are only in the tree; true when the name itself is there. */
  #takeName(frame: Frame, name: Uint8Array, index: number): boolean {
    const { names } = frame;
    while (frame.at < names.length) {
      const end = frame.at + 2 + (names[frame.at + 1] as number);
      const live = names.subarray(frame.at + 2, end);
      const order = compareBytes(live, name);
      if (order > 0) return false;
      if (order < 0) this.#tellAdded(frame, live, index);
      frame.at = end;
      if (order === 0) return true;
    }
    return false;
  }

  #tellAdded(frame: Frame, name: Uint8Array, index: number): void {
    if (!frame.isComplete) return;
    const { selection } = this.#options;
    const path = joinPath(frame.path, name);
    if (selection.empty || selection.selects(path, frame.names[frame.at] === directoryType)) {
      this.#tell(index, "added", path);
    }
  }

  #tell(before: number, change: OneSided["change"], path: Uint8Array): void {
    this.#oneSided.push({ before, change, source: this.#source, path });
  }

  #startSource(source: number): void {
    const { prefixes, roots } = this.#options;
    const prefix = prefixes[source];
    if (prefix === undefined) throw outOfOrder("more roots than the head has sources");
    this.#source = source;
    this.#path = new MemberPath(prefix);
    const root = roots[source];
    if (root === undefined) {
      this.#frames = [nowhere(noBytes)];
      return;
    }
    const { mountId } = statDescriptor(root.acquire());
    root.release();
    // 0: the kernel does not tell (before 5.8).
    this.#root = { dev: root.dev, mountId: mountId === 0 ? Number.NaN : mountId };
    this.#frames = [this.#list(root, noBytes, mountId)];
  }

  /** The live directory `name` in the present one. `isCompared`: whoever compares it tells when it is none. */
  #below(name: Uint8Array, isCompared: boolean): Frame {
    const frame = this.#frames.at(-1) as Frame;
    const path = joinPath(frame.path, name);
    if (frame.handle === undefined) return nowhere(path);
    const fd = openQuietly(frame.handle.acquire(), name, O_DIRECTORY);
    frame.handle.release();
    if (fd < 0) {
      const isOther = fd === -ENOTDIR || fd === -ELOOP;
      if (!isOther || !isCompared) this.#options.onUnreadable(path, -fd);
      return nowhere(path);
    }
    const stat = statDescriptor(fd);
    return this.#list(this.#options.table.child(frame.handle, name, fd, stat), path, stat.mountId);
  }

  #list(handle: DirectoryHandle, path: Uint8Array, mountId: number): Frame {
    const names = addon().readDirectory(handle.acquire());
    handle.release();
    if (typeof names === "number") {
      this.#options.onUnreadable(path, -names);
      return nowhere(path);
    }
    // What is mounted on a directory does not belong to it: its names are no additions. A btrfs subvolume is no mount.
    const isComplete = handle.dev === this.#root?.dev || mountId === this.#root?.mountId;
    return { handle, isMissing: false, path, names, at: 0, isComplete };
  }

  #enterDirectory(name: Uint8Array, frame: Frame): void {
    this.#path.enter(name);
    this.#frames.push(frame);
  }

  /** The rows of a directory are through: what is left of its names is only in the tree. */
  #leave(index: number): void {
    const frame = this.#frames.pop() as Frame;
    this.#path.leave();
    while (frame.at < frame.names.length) {
      const end = frame.at + 2 + (frame.names[frame.at + 1] as number);
      this.#tellAdded(frame, frame.names.subarray(frame.at + 2, end), index);
      frame.at = end;
    }
  }
}

function nowhere(path: Uint8Array): Frame {
  return { handle: undefined, isMissing: false, path, names: noBytes, at: 0, isComplete: false };
}

function joinPath(path: Uint8Array, name: Uint8Array): Uint8Array {
  if (path.length === 0) return name.slice();
  const joined = new Uint8Array(path.length + 1 + name.length);
  joined.set(path);
  joined[path.length] = slash;
  joined.set(name, path.length + 1);
  return joined;
}

function isSame(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  return left !== undefined && right !== undefined && compareBytes(left, right) === 0;
}

function outOfOrder(reason: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `the catalog is out of order: ${reason}`);
}
