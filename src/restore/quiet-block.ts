// A block of which nothing is needed but the number of its entries and, in a restore, their directories, as long as nothing is wrong with it: its rows are
// decoded when somebody asks.

import { type BlockOutline, decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { memberPaths } from "./row-path.ts";
import { type HeldDirectories, holdDirectories, type Section, sectionsOf } from "./parents.ts";
import type { PlacedBlock } from "./placed.ts";

/** Where the entries of a block go. */
export type Ways = Pick<PlacedBlock, "parents" | "careful" | "directories" | "branches">;

/** Where the block begins: `parentPath` and `firstDepth` as in a RowPlace. */
interface Beginning {
  readonly source: number;
  readonly prefixLength: number;
  readonly firstEntry: number;
  readonly parentPath: Uint8Array;
  readonly firstDepth: number;
}

export class QuietBlock implements PlacedBlock {
  readonly isQuiet = true;
  readonly count: number;
  readonly source: number;
  readonly firstEntry: number;
  readonly parentPath: Uint8Array;
  readonly firstDepth: number;
  readonly prefixes: PlacedBlock["prefixes"] = [];
  readonly renamed: PlacedBlock["renamed"] = new Map();
  readonly paths: PlacedBlock["paths"] = new Map();
  readonly #outline: BlockOutline;
  readonly #digestLength: number;
  readonly #prefixLength: number;
  readonly #ways: Ways | undefined;
  #rows: readonly CatalogRow[] | undefined;
  #pathOf: ((index: number) => Uint8Array) | undefined;

  /** `ways`: undefined where nothing is made. */
  constructor(outline: BlockOutline, digestLength: number, beginning: Beginning, ways: Ways | undefined) {
    this.#outline = outline;
    this.#digestLength = digestLength;
    this.count = outline.count;
    this.source = beginning.source;
    this.firstEntry = beginning.firstEntry;
    this.parentPath = beginning.parentPath;
    this.firstDepth = beginning.firstDepth;
    this.#prefixLength = beginning.prefixLength;
    this.#ways = ways;
  }

  get rows(): readonly CatalogRow[] {
    this.#rows ??= decodeBlockRows(this.#outline, this.#digestLength);
    return this.#rows;
  }

  get parents(): PlacedBlock["parents"] {
    return this.#ways?.parents ?? Array.from({ length: this.count }, () => undefined);
  }

  get careful(): boolean {
    return this.#ways?.careful === true;
  }

  get directories(): PlacedBlock["directories"] {
    return this.#ways?.directories ?? new Map();
  }

  get branches(): PlacedBlock["branches"] {
    return this.#ways?.branches ?? new Map();
  }

  displayPath(index: number): Uint8Array {
    this.#pathOf ??= memberPaths(this.rows, this);
    return this.withoutPrefix(this.#pathOf(index));
  }

  withoutPrefix(path: Uint8Array): Uint8Array {
    return path.subarray(this.#prefixLength);
  }

  sections(directories: number): Section[] {
    return sectionsOf(this.parents, directories);
  }

  acquire(from: number, to: number): HeldDirectories {
    return holdDirectories(this.parents, [from, to]);
  }
}
