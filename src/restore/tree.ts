// The directories of a restore. Going ahead of the blocks, enter() makes them (mode 0700, nothing else) and says where each entry of a block belongs;
// following the finished blocks, leave() gives each directory its metadata once all below it is done: what comes last in a restore comes last here.

import type { OtherPlace } from "../archive/locate.ts";
import { latin1 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { MemberPath } from "../format/member-path.ts";
import { hostileName } from "../format/path.ts";
import { type BlockOutline, decodeDirectoryRow, RowOrder } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind, type ExtendedAttribute } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import type { DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { type Branch, BranchMaker, pathOf, rootBranch, waitingBranch } from "./branch.ts";
import { hasSettableFlags, MetadataWriter, noName } from "./metadata.ts";
import { holdDirectories, sectionsOf } from "./parents.ts";
import type { PlacedBlock } from "./placed.ts";
import { carefulPolicy } from "./policy.ts";
import type { WritePolicy } from "./protocol.ts";
import { QuietBlock, type Ways } from "./quiet-block.ts";
import { memberPaths } from "./row-path.ts";
import { SubvolumeMaker } from "./subvolumes.ts";

/** Where one source goes; undefined handle: it is only read. */
export interface TreeRoot {
  readonly prefix: Uint8Array;
  readonly handle: DirectoryHandle | undefined;
}

/** Says which entries are restored, by path below the source root. */
export interface Selection {
  /** Everything. */
  readonly empty: boolean;
  /** The entry itself. Directories that lead to one are made with it. */
  selects(path: Uint8Array, isDirectory: boolean): boolean;
  /** Whether anything below the directory may be selected. */
  mayHold(path: Uint8Array): boolean;
}

export const everything: Selection = { empty: true, selects: () => true, mayHold: () => true };

export interface TreeOptions {
  readonly roots: readonly TreeRoot[];
  readonly table: DirectoryTable | undefined;
  readonly policy: WritePolicy;
  readonly selection: Selection;
  /** By entry number. */
  readonly otherPlaces: ReadonlyMap<number, OtherPlace>;
  readonly stripComponents: number;
  /** The metadata of the roots is restored, too. */
  readonly restoreRoots: boolean;
  /** The targets are file systems of their own: their default subvolume is the archive's to say. */
  readonly setsDefaultSubvolume?: boolean;
  readonly warn: (warning: Warning) => void;
}

interface OpenDirectory {
  readonly row: CatalogRow;
  readonly branch: Branch | undefined;
  readonly attributes: readonly ExtendedAttribute[];
}

/** Of the position that followRows() takes. */
const pathBytesMax = 4096;
const heldBytesMax = 64 * 1024 * 1024;

type PlacedRows = Omit<PlacedBlock, "isQuiet" | "count" | "displayPath" | "withoutPrefix" | "sections" | "acquire">;

export class Tree {
  readonly #options: TreeOptions;
  readonly #maker: BranchMaker | undefined;
  readonly #subvolumes: SubvolumeMaker;
  #source = -1;
  #path = new MemberPath(noName);
  /** From the root to the directory that enter() is in; undefined: nothing below it is restored. */
  #frames: (Branch | undefined)[] = [];
  #order: RowOrder | undefined;
  readonly #position = {
    path: new Uint8Array(pathBytesMax),
    last: new Uint8Array(limits.nameBytes),
    lengths: new Uint32Array(3),
  };
  /** Of the rows that followRows() has followed. */
  #depths = new Uint32Array(0);
  #directories = new Uint32Array(0);
  /** Directories from the root that leave() has not finished yet. */
  #open: OpenDirectory[] = [];
  /** Bytes of the attributes in them. */
  #heldBytes = 0;
  #restored = 0;
  /** Branches made before their turn, by source and path. */
  readonly #early = new Map<string, Branch>();
  /** Numbers of hard links whose place an object has taken. */
  readonly #taken: ReadonlySet<number>;

  constructor(options: TreeOptions) {
    this.#options = options;
    const { table, policy, warn } = options;
    this.#subvolumes = new SubvolumeMaker(options.setsDefaultSubvolume === true, warn);
    this.#maker = table === undefined ? undefined : new BranchMaker(table, policy, warn, this.#subvolumes);
    this.#taken = new Set([...options.otherPlaces.values()].map(({ linkEntry }) => linkEntry));
  }

  /** The source whose entries come now; −1 before the first. */
  get source(): number {
    return this.#source;
  }

  /** Directories that got their metadata so far. */
  get restored(): number {
    return this.#restored;
  }

  /**
   * Puts the tree where a block begins: `ancestors` are the names from the root to the parent of its first entry. What is missing of them (its own
   * block is lost, or was left out) is made without metadata when something below it is. `gap`: rows are missing, so names may not follow from those before.
   */
  moveTo(source: number, ancestors: readonly Uint8Array[], gap: boolean): void {
    if (gap) this.#order = undefined;
    const depth = ancestors.length;
    if (depth === 0) return;
    if (this.#source !== source) {
      if (!gap || this.#options.roots[source] === undefined) {
        throw new TsfsaError("ARCHIVE_HOSTILE", "a catalog segment goes on in another source than the one before");
      }
      this.#startSource(source);
    }
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
    for (const name of ancestors.slice(same)) {
      this.#checkPath(name);
      this.#enterDirectory(name, this.#branch(name, false));
    }
  }

  /** Makes the directories of a block's rows and says where the others go. Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE for rows out of order. */
  enter(rows: readonly CatalogRow[], firstEntry: number): PlacedBlock {
    const first = rows[0];
    const depth = first?.depth ?? this.#frames.length;
    const source = depth === 0 ? this.#source + 1 : this.#source;
    if (depth > 0) while (this.#frames.length > depth) this.#leaveFrame();
    const parentPath = this.#path.bytes.slice();
    const parents: (DirectoryHandle | undefined)[] = [];
    const directories = new Map<number, CatalogRow>();
    const branches = new Map<number, Branch>();
    const renamed = new Map<number, Uint8Array>();
    const paths = new Map<number, string>();
    const prefixes: { row: number; prefix: Uint8Array }[] = [];
    let careful = false;
    let pathBytes = 0;
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index] as CatalogRow;
      if (row.kind === EntryKind.directory) directories.set(index, row);
      if (row.depth === 0) {
        this.#startSource(this.#source + 1);
        const root = this.#options.roots[this.#source];
        if (root === undefined)
          throw new TsfsaError("ARCHIVE_DAMAGED", "the catalog has more roots than the head has sources");
        prefixes.push({ row: index, prefix: root.prefix });
        const branch = this.#frames[0];
        if (branch !== undefined) branches.set(index, branch);
        parents.push(undefined);
        this.#order = new RowOrder(1, outOfOrder);
        continue;
      }
      this.#order ??= new RowOrder(row.depth, outOfOrder);
      this.#order.check(row);
      while (this.#frames.length > row.depth) this.#leaveFrame();
      if (this.#frames.length < row.depth) throw outOfOrder("an entry has no directory");
      this.#checkPath(row.name);
      if (row.linked || row.kind === EntryKind.hardlink || row.linkEntry !== undefined) {
        const path = this.#path.join(row.name);
        paths.set(index, latin1(path));
        pathBytes += path.length;
        // Most of them stand in the tar bytes of the block, too.
        if (pathBytes > limits.blockBytes) throw hostileName(row.name, "more names than fit its block");
      }
      if (row.kind !== EntryKind.directory) {
        const entry = firstEntry + index;
        const other = this.#options.otherPlaces.get(entry);
        if (other !== undefined) renamed.set(index, other.name);
        const branch = other === undefined ? this.#parentOf(row, entry) : this.#branchAt(other.directory);
        const parent = branch === undefined ? undefined : this.#maker?.make(branch);
        careful ||= parent !== undefined && branch?.careful === true;
        parents.push(parent);
        continue;
      }
      parents.push(undefined);
      const branch = this.#branchOf(row);
      // A stripped directory stands for its parent, whose metadata it does not have.
      if (branch !== undefined && branch !== this.#frames.at(-1)) branches.set(index, branch);
      this.#enterDirectory(row.name, branch);
    }
    const place = { source, firstEntry, parentPath, firstDepth: depth, prefixes, parents };
    return this.#place({ rows, ...place, careful, directories, branches, renamed, paths });
  }

  /** As enter(), for rows that only count, and that are all made where they stand or not at all; undefined: they ask for more than that, or break a rule. */
  pass(outline: BlockOutline, firstEntry: number, digestLength: number): QuietBlock | undefined {
    const names = this.#order?.names;
    const { selection, stripComponents, otherPlaces } = this.#options;
    if (names === undefined || !selection.empty || stripComponents > 0 || otherPlaces.size > 0) return undefined;
    const source = this.#source;
    const prefixLength = this.#options.roots[source]?.prefix.length ?? 0;
    const parentPath = this.#path.bytes.slice();
    const firstDepth = this.#frames.length;
    const last = names[firstDepth] ?? noName;
    if (parentPath.length > pathBytesMax) return undefined;
    this.#position.path.set(parentPath);
    this.#position.last.set(last);
    this.#position.lengths.set([parentPath.length, firstDepth, last.length]);
    const { path, last: lastName, lengths } = this.#position;
    const { rows, count } = outline;
    if (this.#depths.length < count) {
      this.#depths = new Uint32Array(count);
      this.#directories = new Uint32Array(2 * count);
    }
    const found = addon().followRows(rows, count, path, lastName, lengths, this.#depths, this.#directories);
    if (found < 0) return undefined;
    const directories = new Map<number, CatalogRow>();
    for (let i = 0; i < found && this.#maker !== undefined; i++) {
      const [index = 0, start = 0] = this.#directories.subarray(2 * i);
      directories.set(index, decodeDirectoryRow(outline, start));
    }
    const [pathLength = 0, depth = 0, lastLength = 0] = lengths;
    this.#path = MemberPath.of(path.subarray(0, pathLength), depth);
    this.#order = RowOrder.behind(this.#path.components(), lastName.slice(0, lastLength), outOfOrder);
    if (this.#maker === undefined) this.#frames = Array.from({ length: depth }, () => undefined);
    const ways = this.#maker === undefined ? undefined : this.#go(count, directories, this.#maker);
    return new QuietBlock(outline, digestLength, { source, prefixLength, firstEntry, parentPath, firstDepth }, ways);
  }

  /** Goes the way of rows that were followed: makes their directories, and says where the others go. */
  #go(count: number, directories: ReadonlyMap<number, CatalogRow>, maker: BranchMaker): Ways {
    const parents: (DirectoryHandle | undefined)[] = [];
    const branches = new Map<number, Branch>();
    let careful = false;
    let current: Branch | undefined;
    let parent: DirectoryHandle | undefined;
    for (let index = 0; index < count; index++) {
      this.#frames.length = this.#depths[index] as number;
      const directory = directories.get(index);
      if (directory !== undefined) {
        const branch = this.#branchOf(directory);
        if (branch !== undefined) branches.set(index, branch);
        this.#frames.push(branch);
        parents.push(undefined);
        continue;
      }
      const branch = this.#frames.at(-1);
      if (branch !== current) {
        current = branch;
        parent = branch === undefined ? undefined : maker.make(branch);
        careful ||= parent !== undefined && branch?.careful === true;
      }
      parents.push(parent);
    }
    return { parents, careful, directories, branches };
  }

  /** Follows the rows of a block that has been unpacked: finishes the directories that nothing more comes to. */
  leave(block: PlacedBlock, attributes: ReadonlyMap<number, readonly ExtendedAttribute[]>): void {
    for (const [index, row] of block.directories) {
      while (this.#open.length > row.depth) this.#finishLast();
      // A directory whose parents' rows are lost still has its place.
      const held = this.#hold(attributes.get(index) ?? []);
      this.#open[row.depth] = { row, branch: block.branches.get(index), attributes: held };
    }
  }

  /** Attributes that wait for the end of their directory: of some open directories only, but a hostile archive has 48 MiB for each of 65,535. */
  #hold(attributes: readonly ExtendedAttribute[]): readonly ExtendedAttribute[] {
    this.#heldBytes += bytesOf(attributes);
    if (this.#heldBytes <= heldBytesMax) return attributes;
    throw new TsfsaError("ARCHIVE_HOSTILE", "directories one in the other have more attributes than can be held");
  }

  /** Finishes all directories that are left. */
  finish(): void {
    while (this.#open.length > 0) this.#finishLast();
  }

  /** Nothing more is written: sets what forbids that. */
  seal(): void {
    this.#subvolumes.finish();
  }

  /** Says that the next row is the root of this source, whatever was lost before. */
  beforeRoot(source: number): void {
    this.#source = source - 1;
  }

  #startSource(source: number): void {
    const root = this.#options.roots[source];
    this.#source = source;
    this.#path = new MemberPath(root?.prefix ?? noName);
    const { restoreRoots, stripComponents } = this.#options;
    const restored = restoreRoots && stripComponents === 0;
    this.#frames = [root?.handle === undefined ? undefined : rootBranch(root.handle, restored)];
  }

  /** The directory an entry that is none itself is made in, or undefined when it is left out. */
  #parentOf(row: CatalogRow, entry: number): Branch | undefined {
    const branch = this.#frames.at(-1);
    if (branch === undefined || row.depth <= this.#options.stripComponents || this.#taken.has(entry)) return undefined;
    const { selection } = this.#options;
    return selection.empty || selection.selects(this.#pathOf(row.name), false) ? branch : undefined;
  }

  /** The branch of a directory's row: made, waiting, or undefined when nothing of it is restored. */
  #branchOf(row: CatalogRow): Branch | undefined {
    const parent = this.#frames.at(-1);
    if (parent === undefined) return undefined;
    const { selection, stripComponents } = this.#options;
    const selected = selection.empty || selection.selects(this.#pathOf(row.name), true);
    if (!selected && !selection.mayHold(this.#pathOf(row.name))) return undefined;
    if (row.depth <= stripComponents) return parent;
    const branch = this.#branch(row.name, selected);
    if (branch !== undefined && selected) {
      branch.subvolume = row.subvolume;
      this.#maker?.make(branch);
    }
    return branch;
  }

  /** A directory in the current one, not made yet. */
  #branch(name: Uint8Array, selected: boolean): Branch | undefined {
    const parent = this.#frames.at(-1);
    if (parent === undefined) return undefined;
    const early = this.#early.size === 0 ? undefined : this.#early.get(this.#earlyKey(this.#pathOf(name)));
    if (early === undefined) return waitingBranch(parent, name, selected);
    early.restored ||= selected;
    return early;
  }

  /** A directory of the present source, anywhere in it. */
  #branchAt(directory: readonly Uint8Array[]): Branch | undefined {
    const { stripComponents } = this.#options;
    if (directory.length < stripComponents) return undefined;
    const current = this.#path.components().slice(1);
    let branch = this.#frames[0];
    let path: Uint8Array = noName;
    for (const [index, name] of directory.entries()) {
      if (branch === undefined) return undefined;
      path = index === 0 ? name : Buffer.concat([path, Buffer.of(0x2f), name]);
      const isCurrent =
        index < current.length &&
        directory.slice(0, index + 1).every((each, i) => Buffer.compare(each, current[i] as Uint8Array) === 0);
      if (isCurrent) {
        branch = this.#frames[index + 1];
        continue;
      }
      if (index < stripComponents) continue; // the root stands for it
      const key = this.#earlyKey(path);
      const next = this.#early.get(key) ?? waitingBranch(branch, name, false);
      this.#early.set(key, next);
      branch = next;
    }
    return branch;
  }

  #earlyKey(path: Uint8Array): string {
    return `${this.#source}/${latin1(path)}`;
  }

  /** The limit of docs/FORMAT.md, section 10, before anything of that length is made. */
  #checkPath(name: Uint8Array): void {
    if (this.#path.length + name.length + 1 > limits.pathBytes) throw hostileName(name, "a name over 1 MiB");
  }

  #enterDirectory(name: Uint8Array, branch: Branch | undefined): void {
    this.#path.enter(name);
    this.#frames.push(branch);
  }

  #leaveFrame(): void {
    this.#frames.pop();
    this.#path.leave();
  }

  /** Path below the source's root of an entry of the current directory. */
  #pathOf(name: Uint8Array): Uint8Array {
    return this.#path.join(name).subarray((this.#options.roots[this.#source] as TreeRoot).prefix.length);
  }

  #place(block: PlacedRows): PlacedBlock {
    const { rows, parents } = block;
    const prefixLength = this.#options.roots[this.#source]?.prefix.length ?? 0;
    const withoutPrefix = (path: Uint8Array): Uint8Array => path.subarray(prefixLength);
    const memberPathOf = memberPaths(rows, block);
    const displayPath = (index: number): Uint8Array => withoutPrefix(memberPathOf(index));
    return {
      ...block,
      isQuiet: false,
      count: rows.length,
      displayPath,
      withoutPrefix,
      sections: (directories) => sectionsOf(parents, directories),
      acquire: (from, to) => holdDirectories(parents, [from, to]),
    };
  }

  #finishLast(): void {
    const directory = this.#open.pop();
    if (directory === undefined) return;
    const { row, branch, attributes } = directory;
    this.#heldBytes -= bytesOf(attributes);
    const handle = branch?.handle;
    if (branch === undefined || handle === undefined || !branch.restored) return;
    // What was there before may have an owner and an ACL of its own.
    const isPlain = branch.isNew && !branch.careful;
    const policy = isPlain ? this.#options.policy : carefulPolicy(this.#options.policy);
    const metadata = new MetadataWriter(policy, (warning) => this.#options.warn({ ...warning, path: pathOf(branch) }));
    const fd = handle.acquire();
    try {
      metadata.apply({ fd, name: noName }, row, attributes);
      if (!isPlain || hasSettableFlags(row)) metadata.flags(fd, row.inodeFlags, attributes);
      this.#restored++;
    } finally {
      handle.release();
    }
  }
}

function bytesOf(attributes: readonly ExtendedAttribute[]): number {
  return attributes.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
}

function outOfOrder(reason: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `the catalog is out of order: ${reason}`);
}
