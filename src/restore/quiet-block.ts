// A block of which nothing is needed but the number of its entries, as long as nothing is wrong with it: its rows are decoded when somebody asks.

import { type BlockOutline, decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { memberPaths } from "./row-path.ts";
import type { PlacedBlock } from "./placed.ts";

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
  readonly careful = false;
  readonly branches: PlacedBlock["branches"] = new Map();
  readonly renamed: PlacedBlock["renamed"] = new Map();
  readonly paths: PlacedBlock["paths"] = new Map();
  readonly #outline: BlockOutline;
  readonly #digestLength: number;
  readonly #prefixLength: number;
  #rows: readonly CatalogRow[] | undefined;
  #pathOf: ((index: number) => Uint8Array) | undefined;

  constructor(outline: BlockOutline, digestLength: number, beginning: Beginning) {
    this.#outline = outline;
    this.#digestLength = digestLength;
    this.count = outline.count;
    this.source = beginning.source;
    this.firstEntry = beginning.firstEntry;
    this.parentPath = beginning.parentPath;
    this.firstDepth = beginning.firstDepth;
    this.#prefixLength = beginning.prefixLength;
  }

  get rows(): readonly CatalogRow[] {
    this.#rows ??= decodeBlockRows(this.#outline, this.#digestLength);
    return this.#rows;
  }

  get parents(): PlacedBlock["parents"] {
    return Array.from({ length: this.count }, () => undefined);
  }

  displayPath(index: number): Uint8Array {
    this.#pathOf ??= memberPaths(this.rows, this);
    return this.withoutPrefix(this.#pathOf(index));
  }

  withoutPrefix(path: Uint8Array): Uint8Array {
    return path.subarray(this.#prefixLength);
  }

  sections(): ReturnType<PlacedBlock["sections"]> {
    return [[0, this.count]];
  }

  acquire(): ReturnType<PlacedBlock["acquire"]> {
    return { dirFds: new Int32Array(this.count).fill(-1), release: () => undefined };
  }
}
