// Finds the blocks in which chosen entries stand, from the catalog alone: the entries' own, those of the directories above them (their attributes stand
// there) and those of the objects of hard links. Segments in which nothing can stand are not read, subtrees in which nothing can are passed over.

import { setImmediate } from "node:timers/promises";
import { ByteReader, compareBytes } from "../base/bytes.ts";
import { MemberPath } from "../format/member-path.ts";
import { checkComponent } from "../format/path.ts";
import { rowFlags } from "../format/row.ts";
import { decodeRow, RowGlance } from "../format/rowDecoder.ts";
import { EntryKind } from "../model/entry.ts";
import type { ArchiveIndex } from "./archive-index.ts";
import { SegmentSearch } from "./segment-search.ts";

/** Which entries are wanted, by path below the root of their source. */
export interface Choice {
  selects(path: Uint8Array, isDirectory: boolean): boolean;
  /** Whether anything below the directory may be selected. */
  mayHold(path: Uint8Array): boolean;
  /** Paths at or below which all of it stands; undefined: anywhere. */
  readonly roots?: readonly Uint8Array[] | undefined;
}

/** One block to be read. */
export interface Part {
  readonly block: number;
  /** Source of its first row. */
  readonly source: number;
  /** Names from the root of that source to the directory of the first row; empty for a root. */
  readonly ancestors: readonly Uint8Array[];
}

/** Another place for an entry than its own: the first wanted name of an object that is not wanted itself. */
export interface OtherPlace {
  /** Names from the source's root (without it) down to the directory. */
  readonly directory: readonly Uint8Array[];
  readonly name: Uint8Array;
  /** Number of the hard link that stands there in the archive. */
  readonly linkEntry: number;
}

export interface Located {
  /** In the archive's order. */
  readonly parts: readonly Part[];
  /** Entries that are selected. */
  readonly entries: number;
  /** By number of the object. */
  readonly otherPlaces: ReadonlyMap<number, OtherPlace>;
}

interface OpenDirectory {
  readonly name: Uint8Array;
  /** The block it stands in; undefined: it stands before what was read, so nothing below it is wanted. */
  readonly part: Part | undefined;
  /** Nothing below it can be wanted. */
  readonly pruned: boolean;
  wanted: boolean;
}

interface WantedLink {
  readonly entry: number;
  readonly object: number;
  readonly directory: readonly Uint8Array[];
  readonly name: Uint8Array;
}

const noPath = new Uint8Array(0);

/** `sources`: ids of those that are looked at. Throws ARCHIVE_DAMAGED. */
export function locate(
  index: ArchiveIndex,
  sources: readonly number[],
  choice: Choice,
  signal: AbortSignal,
): Promise<Located> {
  return new Locator(index, new Set(sources), choice).run(signal);
}

class Locator {
  readonly #index: ArchiveIndex;
  readonly #sources: ReadonlySet<number>;
  readonly #choice: Choice;
  readonly #search: SegmentSearch;
  readonly #parts = new Map<number, Part>();
  /** Numbers of wanted entries that links may point to. */
  readonly #objects = new Set<number>();
  readonly #links: WantedLink[] = [];
  readonly #glance = new RowGlance();
  #entries = 0;
  #source = -1;
  #stack: OpenDirectory[] = [];
  #path = new MemberPath(noPath);

  constructor(index: ArchiveIndex, sources: ReadonlySet<number>, choice: Choice) {
    this.#index = index;
    this.#sources = sources;
    this.#choice = choice;
    this.#search = new SegmentSearch(index);
  }

  async run(signal: AbortSignal): Promise<Located> {
    for (const segment of this.#search.segmentsFor(this.#sources, this.#choice.roots)) {
      await setImmediate(); // or no signal would be heard
      signal.throwIfAborted();
      this.#read(segment);
    }
    const otherPlaces = this.#placeObjects();
    const parts = [...this.#parts.values()].toSorted((a, b) => a.block - b.block);
    return { parts, entries: this.#entries, otherPlaces };
  }

  #read(segment: number): void {
    const catalog = this.#index.segment(segment);
    this.#moveTo(this.#search.sourceOf(segment), catalog.ancestors);
    let entry = catalog.header.firstEntry;
    for (const [i, { rows, count }] of catalog.blocks.entries()) {
      if (count === 0) continue;
      const reader = new ByteReader(rows, "catalog segment");
      let part: Part | undefined;
      for (let row = 0; row < count; row++, entry++) {
        const glance = this.#glance;
        glance.read(reader);
        if (part === undefined) {
          this.#leaveTo(glance.depth);
          part = {
            block: catalog.header.firstBlock + i,
            source: glance.depth === 0 ? this.#source + 1 : this.#source,
            ancestors: this.#stack.map(({ name }) => name),
          };
        }
        this.#visit(reader, part, entry);
      }
    }
  }

  /** Looks at the row in #glance. */
  #visit(reader: ByteReader, part: Part, entry: number): void {
    const { kind, depth, name } = this.#glance;
    this.#leaveTo(depth);
    const isDirectory = kind === EntryKind.directory;
    if (depth === 0) {
      this.#source++;
      this.#path = new MemberPath(noPath);
      this.#stack = [{ name: noPath, part, pruned: !this.#sources.has(this.#source), wanted: false }];
      return;
    }
    let pruned = this.#stack.at(-1)?.pruned !== false;
    let selected = false;
    if (!pruned) {
      const path = this.#path.join(name);
      selected = this.#choice.selects(path, isDirectory);
      if (selected) this.#take(reader, part, entry);
      pruned = isDirectory && !selected && !this.#choice.mayHold(path);
    }
    if (isDirectory) this.#enter({ name, part, pruned, wanted: selected });
  }

  /** The row in #glance is wanted. */
  #take(reader: ByteReader, part: Part, entry: number): void {
    const { kind, flags, start } = this.#glance;
    this.#entries++;
    this.#want(part);
    for (let i = this.#stack.length - 1; i >= 0; i--) {
      const above = this.#stack[i] as OpenDirectory;
      if (above.wanted) break;
      above.wanted = true;
      if (above.part !== undefined) this.#want(above.part);
    }
    if ((flags & rowFlags.continued) !== 0) this.#wantContinuations(part);
    if ((flags & rowFlags.linked) !== 0) this.#objects.add(entry);
    if (kind === EntryKind.hardlink || kind === EntryKind.socket) this.#noteLink(reader, start, entry);
  }

  #noteLink(reader: ByteReader, start: number, entry: number): void {
    const row = decodeRow(new ByteReader(reader.bytes, reader.what, start, reader.end), () => noPath);
    if (row.linkEntry === undefined) return;
    const directory = this.#stack.slice(1).map(({ name }) => name.slice());
    for (const name of directory) checkComponent(name); // a glance does not, and they may be made before their rows are read
    this.#links.push({ entry, object: row.linkEntry, directory, name: row.name.slice() });
  }

  /** Objects that are not wanted stand in for the first of their names that is. */
  #placeObjects(): Map<number, OtherPlace> {
    const places = new Map<number, OtherPlace>();
    for (const { entry, object, directory, name } of this.#links) {
      if (this.#objects.has(object) || places.has(object) || object >= entry) continue;
      const found = this.#findObject(object);
      if (found === undefined) continue; // no such object: told when the link is restored
      this.#want(found.part);
      if (found.continued) this.#wantContinuations(found.part);
      places.set(object, { directory, name, linkEntry: entry });
    }
    return places;
  }

  #findObject(object: number): { readonly part: Part; readonly continued: boolean } | undefined {
    const block = this.#index.blockOf(object);
    const segment = this.#index.segmentOf(block);
    const catalog = this.#index.segment(segment);
    this.#moveTo(this.#search.sourceOf(segment), catalog.ancestors);
    let entry = catalog.header.firstEntry;
    const glance = this.#glance;
    for (const [i, { rows, count }] of catalog.blocks.entries()) {
      const reader = new ByteReader(rows, "catalog segment");
      let part: Part | undefined;
      for (let row = 0; row < count; row++, entry++) {
        glance.read(reader);
        this.#leaveTo(glance.depth);
        if (glance.depth === 0) this.#source++;
        const number = catalog.header.firstBlock + i;
        part ??= { block: number, source: this.#source, ancestors: this.#stack.map(({ name }) => name) };
        if (entry === object) {
          const legal = (glance.flags & rowFlags.linked) !== 0 && glance.kind !== EntryKind.directory;
          return legal ? { part, continued: (glance.flags & rowFlags.continued) !== 0 } : undefined;
        }
        if (glance.kind === EntryKind.directory) {
          this.#enter({ name: glance.name, part: undefined, pruned: true, wanted: false });
        }
      }
    }
    return undefined;
  }

  #want(part: Part): void {
    if (this.#parts.has(part.block)) return;
    // Copies: a view would keep its whole segment in memory.
    this.#parts.set(part.block, { ...part, ancestors: part.ancestors.map((name) => name.slice()) });
  }

  /** The blocks that go on with the last entry of a block. */
  #wantContinuations({ block, source }: Part): void {
    for (let next = block + 1; this.#index.blocks[next]?.continuation === true; next++) {
      this.#want({ block: next, source, ancestors: [] });
    }
  }

  /** Stands where a segment begins; directories that were read before are kept. */
  #moveTo(source: number, ancestors: readonly Uint8Array[]): void {
    const isRoot = ancestors.length === 0;
    let same = 0;
    if (!isRoot && source === this.#source) {
      while (
        same < ancestors.length &&
        same < this.#stack.length &&
        compareBytes(ancestors[same] as Uint8Array, this.#stack[same]?.name ?? noPath) === 0
      )
        same++;
    }
    this.#source = isRoot ? source - 1 : source;
    this.#stack.length = same;
    this.#path = new MemberPath(noPath);
    for (const { name } of this.#stack.slice(1)) this.#path.enter(name);
    for (const name of ancestors.slice(same)) {
      const path = this.#path.join(name);
      const pruned =
        this.#stack.length === 0
          ? !this.#sources.has(source)
          : this.#stack.at(-1)?.pruned === true || !(this.#choice.selects(path, true) || this.#choice.mayHold(path));
      this.#enter({ name, part: undefined, pruned, wanted: false });
    }
  }

  #enter(directory: OpenDirectory): void {
    if (this.#stack.length > 0) this.#path.enter(directory.name);
    this.#stack.push(directory);
  }

  #leaveTo(depth: number): void {
    while (this.#stack.length > depth) {
      this.#stack.pop();
      this.#path.leave();
    }
  }
}
