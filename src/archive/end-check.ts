// What the end of an archive must say, gathered while its records are read: where blocks, segments and other records stand, and the totals. Compared
// with what table, summary and footer do say: readers that start at the end and readers that start at the front must see one archive.

import type { BlockRecord, Footer, Summary, Table, TableBlock, TableSegment } from "../model/archive.ts";

/** Offsets and lengths as the footer and the summary state them. */
type Places = Pick<Footer, "tableOffset" | "summaryOffset"> & Pick<Summary, "headLength" | "headOffset2">;
type Known<Type> = { -readonly [Key in keyof Type]?: Type[Key] };

export class EndCheck {
  readonly #blocks: TableBlock[] = [];
  readonly #segments: TableSegment[] = [];
  readonly #places: Known<Places> = {};
  #tarBytes = 0;

  addBlock(offset: number, record: BlockRecord): void {
    const { compressedLength, uncompressedLength, firstEntry, tarOffset, entryCount, sourceId, end } = record;
    const numbers = { compressedLength, uncompressedLength, firstEntry, tarOffset, entryCount, sourceId };
    this.#blocks.push({ offset, ...numbers, continuation: record.continuation !== undefined, end });
    this.#tarBytes = tarOffset + uncompressedLength;
  }

  addSegment(segment: TableSegment): void {
    this.#segments.push(segment);
  }

  /** Notes where something was found; the first place counts. */
  place(what: keyof Places, value: number): void {
    this.#places[what] ??= value;
  }

  /** In what the end differs from what was read, one clause; undefined: in nothing. Of use only where nothing is damaged. */
  flaw(tables: readonly Table[], summary: Summary, footer: Footer, entries: number): string | undefined {
    const counts: readonly [what: string, found: number, stated: readonly number[]][] = [
      ["entries", entries, [footer.entries, summary.entries]],
      ["blocks", this.#blocks.length, [footer.blocks, summary.blocks]],
      ["catalog segments", this.#segments.length, [summary.segments]],
      ["tables", tables.length, [summary.tables]],
      ["bytes of tar", this.#tarBytes, [summary.tarBytes]],
    ];
    for (const [what, found, stated] of counts) {
      const wrong = stated.find((count) => count !== found);
      if (wrong !== undefined) return `the end of the archive tells of ${wrong} ${what}, found ${found}`;
    }
    const { tableOffset, summaryOffset, headLength, headOffset2 } = { ...footer, ...summary };
    if (!isSame({ tableOffset, summaryOffset, headLength, headOffset2 }, this.#places)) {
      return "the end of the archive has other places for its records than they were found at";
    }
    const blocks = tables.flatMap((table) => table.blocks);
    const segments = tables.flatMap((table) => table.segments);
    if (blocks.length !== this.#blocks.length || !blocks.every((block, i) => isSame(block, this.#blocks[i]))) {
      return "the table tells of other blocks than were found";
    }
    if (segments.length !== this.#segments.length || !segments.every((item, i) => isSame(item, this.#segments[i]))) {
      return "the table tells of other catalog segments than were found";
    }
    return undefined;
  }
}

function isSame<Item extends object>(stated: Item, found: Partial<Item> | undefined): boolean {
  return found !== undefined && (Object.keys(stated) as (keyof Item)[]).every((key) => stated[key] === found[key]);
}
