// Comparing two archives by their catalogs, row by row in the order both have: no data is decompressed. Extended attributes and ACLs stand in the data
// and are not compared.

import { EntryPaths, LinkPaths } from "../archive/entry-paths.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { equalBytes } from "../base/bytes.ts";
import { escapeName } from "../base/units.ts";
import { blockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { Difference, FieldDifference } from "../model/difference.ts";
import { EntryKind } from "../model/entry.ts";
import type { CommandContext, DiffDetails, DiffOptions, Outcome } from "../model/options.ts";
import { compareProperties, compareSubvolume } from "../restore/compare-fields.ts";
import { throwIfDamaged } from "./outcome.ts";
import { nextTurn } from "./parts.ts";
import { entryFilter } from "./selection.ts";

interface Listed {
  readonly source: number;
  readonly path: Uint8Array;
  readonly entry: number;
  readonly row: CatalogRow;
  /** Path of a hard link's object. */
  readonly linkPath: Uint8Array | undefined;
}

/** A changed or unchanged file whose digests are not both known yet. */
interface Waiting {
  readonly difference: Omit<Difference, "change">;
  left: Uint8Array | undefined;
  right: Uint8Array | undefined;
}

type Side = "left" | "right";

const slash = 0x2f;

/** Status 1: something differs. Where the digests are of different kinds, content counts as the same when size and mtime are. */
export async function diffArchives(
  options: DiffOptions,
  context: CommandContext,
  onDifference: (difference: Difference) => void | Promise<void>,
): Promise<Outcome<DiffDetails>> {
  const left = await ArchiveReader.open(options.archive, context.signal);
  try {
    const right = await ArchiveReader.open(options.target, context.signal);
    try {
      const comparison = new Comparison(left, right, options, onDifference);
      const details = await comparison.run(context.signal);
      for (const { input, damages } of [left, right]) {
        for (const { offset, message } of damages) {
          context.reporter.warning({
            code: "ARCHIVE_PART_LOST",
            path: new Uint8Array(0),
            message: `${input.name}, at byte ${offset}: ${message}`,
          });
        }
      }
      for (const { input, damages } of [left, right]) {
        const found = { damagedBlocks: [], hostile: damages.find(({ hostile }) => hostile)?.message };
        throwIfDamaged(input.name, found, damages.length, "the rest was compared");
      }
      return { status: details.removed + details.added + details.changed > 0 ? 1 : 0, warnings: 0, details };
    } finally {
      await right.close();
    }
  } finally {
    await left.close();
  }
}

class Comparison {
  readonly #left: ArchiveReader;
  readonly #right: ArchiveReader;
  readonly #options: DiffOptions;
  readonly #accepts: (path: Uint8Array, isDirectory: boolean) => boolean;
  readonly #onDifference: (difference: Difference) => void | Promise<void>;
  readonly #byDigest: boolean;
  readonly #counts = { compared: 0, removed: 0, added: 0, changed: 0 };
  /** By entry number on each side. */
  readonly #waiting = { left: new Map<number, Waiting>(), right: new Map<number, Waiting>() };
  /** Digests of files of several blocks that came before anybody waited for them. */
  readonly #early = { left: new Map<number, Uint8Array>(), right: new Map<number, Uint8Array>() };

  constructor(
    left: ArchiveReader,
    right: ArchiveReader,
    options: DiffOptions,
    onDifference: (difference: Difference) => void | Promise<void>,
  ) {
    this.#left = left;
    this.#right = right;
    this.#options = options;
    this.#accepts = entryFilter(options);
    this.#onDifference = onDifference;
    this.#byDigest = left.head.digest === right.head.digest;
  }

  async run(signal: AbortSignal): Promise<DiffDetails> {
    const lefts = this.#entries(this.#left, "left");
    const rights = this.#entries(this.#right, "right");
    /** Directories of which only one side has the row: what is below them is not told again. */
    const oneSided: Partial<Record<Side, Listed>> = {};
    let left = await lefts.next();
    let right = await rights.next();
    while (left.done !== true || right.done !== true) {
      signal.throwIfAborted();
      const order = left.done === true ? 1 : right.done === true ? -1 : compareOrder(left.value, right.value);
      if (order < 0 && left.done !== true) {
        await this.#tellOneSided("removed", left.value, oneSided);
        left = await lefts.next();
      } else if (order > 0 && right.done !== true) {
        await this.#tellOneSided("added", right.value, oneSided);
        right = await rights.next();
      } else if (left.done !== true && right.done !== true) {
        await this.#compare(left.value, right.value);
        left = await lefts.next();
        right = await rights.next();
      }
    }
    // Their digests are lost with a part of an archive, which is told.
    const lost = new Set([...this.#waiting.left.values(), ...this.#waiting.right.values()]);
    for (const { difference } of lost) await this.#tellChanged(difference, false);
    return { ...this.#counts, content: this.#byDigest ? "digest" : "size and mtime" };
  }

  /** Selected entries in order; digests of files of several blocks go to whoever waits for them. */
  async *#entries(reader: ArchiveReader, side: Side): AsyncGenerator<Listed, void> {
    const paths = new EntryPaths(reader.head.sources.length);
    const links = new LinkPaths();
    const { source: only } = this.#options;
    for await (const group of reader.groups(false)) {
      await nextTurn();
      const { catalog } = group;
      if (!paths.enter(group) || catalog === undefined) {
        reader.damages.push({ offset: reader.input.position, message: "a catalog segment is lost" });
        continue;
      }
      let entry = catalog.header.firstEntry - 1;
      for (const { entry: file, digest } of catalog.completions) await this.#complete(side, file, digest);
      for (const block of catalog.blocks) {
        for (const row of blockRows(block, reader.digest.length)) {
          entry++;
          const path = paths.next(row);
          const { source } = paths;
          const linkPath = links.next(entry, row, path);
          const isDirectory = row.kind === EntryKind.directory;
          if (only !== undefined && source !== only) continue;
          if (!this.#accepts(path, isDirectory)) continue;
          yield { source, path, entry, row, linkPath };
        }
      }
    }
  }

  async #tellOneSided(
    change: "removed" | "added",
    entry: Listed,
    oneSided: Partial<Record<Side, Listed>>,
  ): Promise<void> {
    const side = change === "removed" ? "left" : "right";
    const above = oneSided[side];
    if (above !== undefined && above.source === entry.source && isBelow(entry.path, above.path)) return;
    if (entry.row.kind === EntryKind.directory) oneSided[side] = entry;
    this.#counts[change]++;
    await this.#onDifference({ change, source: entry.source, path: entry.path, fields: [] });
  }

  async #compare(left: Listed, right: Listed): Promise<void> {
    this.#counts.compared++;
    const { source, path } = left;
    // Which name of a file comes first may have changed, and with it all that the row of a further name does not tell.
    const isRenamed = left.row.kind !== right.row.kind && (isLink(left.row) || isLink(right.row));
    const fields = isRenamed
      ? []
      : [
          ...compareProperties(left.row, right.row, this.#options.compare),
          ...compareSubvolume(left.row, right.row.subvolume),
        ];
    if (!equalBytes(left.linkPath ?? noPath, right.linkPath ?? noPath)) {
      fields.push({ field: "hardlink", archived: linkText(left.linkPath), found: linkText(right.linkPath) });
    }
    const difference = { source, path, fields };
    const isFile = left.row.kind === EntryKind.file && right.row.kind === EntryKind.file;
    if (!isFile || left.row.size !== right.row.size || !this.#byDigest) return this.#tellChanged(difference, false);
    const waiting = {
      difference,
      left: left.row.digest?.slice() ?? this.#takeEarly("left", left),
      right: right.row.digest?.slice() ?? this.#takeEarly("right", right),
    };
    if (waiting.left === undefined) this.#waiting.left.set(left.entry, waiting);
    if (waiting.right === undefined) this.#waiting.right.set(right.entry, waiting);
    await this.#settle(waiting);
  }

  #takeEarly(side: Side, { entry }: Listed): Uint8Array | undefined {
    const digest = this.#early[side].get(entry);
    this.#early[side].delete(entry);
    return digest;
  }

  async #complete(side: Side, entry: number, digest: Uint8Array): Promise<void> {
    const waiting = this.#waiting[side].get(entry);
    if (waiting === undefined) {
      this.#early[side].set(entry, digest.slice());
      return;
    }
    this.#waiting[side].delete(entry);
    waiting[side] = digest.slice();
    await this.#settle(waiting);
  }

  async #settle({ difference, left, right }: Waiting): Promise<void> {
    if (left !== undefined && right !== undefined) await this.#tellChanged(difference, !equalBytes(left, right));
  }

  async #tellChanged(difference: Omit<Difference, "change">, isOther: boolean): Promise<void> {
    const fields: FieldDifference[] = [...difference.fields, ...(isOther ? [{ field: "content" } as const] : [])];
    if (fields.length === 0) return;
    this.#counts.changed++;
    await this.#onDifference({ ...difference, change: "changed", fields });
  }
}

const noPath = new Uint8Array(0);

function isLink({ kind }: CatalogRow): boolean {
  return kind === EntryKind.hardlink;
}

function linkText(path: Uint8Array | undefined): string {
  return path === undefined ? "an object of its own" : `link to ${escapeName(path)}`;
}

function isBelow(path: Uint8Array, directory: Uint8Array): boolean {
  return (
    path.length > directory.length &&
    (directory.length === 0 ||
      (path[directory.length] === slash && equalBytes(path.subarray(0, directory.length), directory)))
  );
}

/** Order of entries: by source, then depth-first, siblings by their bytes: a slash comes before every other byte. */
function compareOrder(left: Listed, right: Listed): number {
  if (left.source !== right.source) return left.source - right.source;
  const [a, b] = [left.path, right.path];
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    if (x !== y) return x === slash ? -1 : y === slash ? 1 : x - y;
  }
  return a.length - b.length;
}
