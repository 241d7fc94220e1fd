// list: the entries of an archive, from its catalog: no data is decompressed.

import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { compileSelection } from "../base/pattern.ts";
import { prefixBytes } from "../format/head.ts";
import { MemberPath } from "../format/member-path.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { CommandContext, ListedEntry, ListOptions, Outcome } from "../model/options.ts";
import { throwIfDamaged } from "./outcome.ts";

/** Calls `onEntry` for each selected entry, in order. Throws ARCHIVE_DAMAGED afterwards when a part of the catalog is lost. */
export async function list(
  options: ListOptions,
  context: CommandContext,
  onEntry: (entry: ListedEntry) => void | Promise<void>,
): Promise<Outcome<{ readonly entries: number }>> {
  const selection = compileSelection(options.patterns);
  const reader = await ArchiveReader.open(options.archive, context.signal);
  let entries = 0;
  try {
    const paths = new ListedPaths(reader.head.sources.map(prefixBytes));
    for await (const { catalog } of reader.groups(false)) {
      context.signal.throwIfAborted();
      if (catalog === undefined) {
        reader.damages.push({
          offset: reader.input.position,
          message: "a catalog segment is lost: its entries cannot be listed",
        });
        paths.lose();
        continue;
      }
      paths.moveTo(catalog.ancestors);
      let number = catalog.header.firstEntry;
      for (const block of catalog.blocks) {
        for (const row of decodeBlockRows(block, reader.digest.length)) {
          const entry = paths.next(row, number++);
          if (!selection.empty && !selection.selects(entry.path, row.kind === EntryKind.directory)) continue;
          entries++;
          const done = onEntry(entry);
          if (done !== undefined) await done;
        }
      }
    }
    for (const { offset, message } of reader.damages) {
      context.reporter.warning({
        code: "ARCHIVE_PART_LOST",
        path: new Uint8Array(0),
        message: `at byte ${offset} of the archive: ${message}`,
      });
    }
    throwIfDamaged(
      options.archive,
      { damagedBlocks: [], hostile: reader.damages.find(({ hostile }) => hostile)?.message },
      reader.damages.length,
      "the rest is listed",
    );
    return { status: 0, warnings: 0, details: { entries } };
  } finally {
    await reader.close();
  }
}

/** Paths of rows in order, below the root of their source. */
class ListedPaths {
  readonly #prefixes: readonly Uint8Array[];
  #source = -1;
  #path = new MemberPath(new Uint8Array(0));
  /** Linked entries by number, for the targets of hard links. */
  readonly #linked = new Map<number, Uint8Array>();

  constructor(prefixes: readonly Uint8Array[]) {
    this.#prefixes = prefixes;
  }

  /** A segment is lost: where the next one starts is only known by its ancestors. */
  lose(): void {
    this.#path = new MemberPath(new Uint8Array(0));
  }

  moveTo(ancestors: readonly Uint8Array[]): void {
    if (ancestors.length === 0) return;
    if (this.#source < 0) this.#source = 0;
    this.#path = new MemberPath(new Uint8Array(0));
    for (const name of ancestors.slice(1)) this.#path.enter(name);
  }

  next(row: CatalogRow, number: number): ListedEntry {
    if (row.depth === 0) {
      this.#source++;
      if (this.#source >= this.#prefixes.length) {
        throw new TsfsaError("ARCHIVE_DAMAGED", "the catalog has more roots than the head has sources");
      }
      this.#path = new MemberPath(new Uint8Array(0));
      return { source: this.#source, number, path: new Uint8Array(0), row };
    }
    while (this.#path.depth >= row.depth) this.#path.leave();
    const path = this.#path.join(row.name);
    if (row.kind === EntryKind.directory) this.#path.enter(row.name);
    if (row.linked) this.#linked.set(number, path);
    const linkPath = row.linkEntry === undefined ? undefined : this.#linked.get(row.linkEntry);
    return { source: this.#source, number, path, row, ...(linkPath === undefined ? {} : { linkPath }) };
  }
}
