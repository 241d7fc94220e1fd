// Reading a whole archive, to restore it or to verify it: groups in order, each block with its rows put in its place in the tree, then handed on
// (run-blocks.ts). What the catalog and the records say of each other is checked here.

import { framePlace } from "../archive/frames.ts";
import type { BlockLocation, Group, GroupCatalog } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import { type BlockOutline, decodeBlockRows, firstDepthOf } from "../format/segmentDecoder.ts";
import { Findings } from "./findings.ts";
import { componentsBelow } from "./index-block.ts";
import type { PlacedBlock } from "./placed.ts";
import { BlockRun } from "./run-blocks.ts";
import type { RunOptions, RunResult } from "./run-options.ts";

const noPath = new Uint8Array(0);

export class ReadRun {
  readonly #options: RunOptions;
  readonly #findings: Findings;
  readonly #blocks: BlockRun;
  readonly #prefixes: readonly Uint8Array[];

  constructor(options: RunOptions) {
    this.#options = options;
    this.#findings = new Findings(options.reader, options.reporter);
    this.#blocks = new BlockRun(options, this.#findings);
    this.#prefixes = options.reader.head.sources.map(prefixBytes);
  }

  /** Rejects as soon as the signal says so; what the workers are at goes on until the pool is closed. */
  async run(): Promise<RunResult> {
    const { signal } = this.#options;
    let onAbort: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort);
    });
    try {
      signal.throwIfAborted();
      return await Promise.race([this.#run(), aborted]);
    } catch (error) {
      this.#blocks.stop(error);
      throw error;
    } finally {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
    }
  }

  /** After a failure, when no worker writes any more: takes back files that are not whole. */
  abandon(): void {
    this.#blocks.abandon();
  }

  async #run(): Promise<RunResult> {
    const { reader, tree, signal } = this.#options;
    let gap = false;
    for await (const group of reader.groups(true)) {
      signal.throwIfAborted();
      gap = this.#findings.tellDamages() || gap;
      if (group.catalog === undefined) await this.#rebuild(group);
      gap = group.catalog === undefined || !(await this.#group(group, group.catalog, gap));
    }
    this.#findings.tellDamages();
    await this.#blocks.finish();
    const { entries, bytes, images } = this.#blocks;
    const damagedBlocks = [...this.#findings.damagedBlocks].toSorted((a, b) => a - b);
    return { entries: entries + tree.restored, bytes, images, damagedBlocks, hostile: this.#findings.hostile };
  }

  /** A group with its catalog segment; false when something is wrong with the catalog, and the rest of the group was passed over. */
  async #group({ blocks, apart }: Group, catalog: GroupCatalog, afterLoss: boolean): Promise<boolean> {
    const { tree, signal } = this.#options;
    const places = new Map(blocks.map((location) => [location.record.number, location]));
    const gap = afterLoss || apart !== undefined;
    const source =
      apart === undefined
        ? gap
          ? this.#sourceBefore(catalog, places)
          : tree.source
        : apart.source - (catalog.ancestors.length === 0 ? 1 : 0);
    let firstEntry = catalog.header.firstEntry;
    let started = false;
    for (const [i, outline] of catalog.blocks.entries()) {
      const number = catalog.header.firstBlock + i;
      const location = places.get(number);
      const { record } = location ?? {};
      if (record !== undefined && (record.firstEntry !== firstEntry || record.entryCount !== outline.count)) {
        this.#findings.catalogFlawed(
          number,
          new TsfsaError("ARCHIVE_HOSTILE", "block record and catalog count its entries differently"),
        );
        return false;
      }
      signal.throwIfAborted();
      let placed: PlacedBlock;
      try {
        const hasRows = outline.count > 0;
        if (hasRows && !started) this.#startGroup(source, catalog.ancestors, firstDepthOf(outline), gap);
        started ||= hasRows;
        placed = this.#passed(location, outline, firstEntry) ?? this.#enter(outline, firstEntry);
        if (hasRows) this.#checkSource(location, placed);
      } catch (error) {
        this.#findings.catalogFlawed(number, error);
        return false;
      }
      firstEntry += outline.count;
      await this.#blocks.block(number, location, placed, outline);
      this.#endLargeAt(number, catalog, places);
    }
    return true;
  }

  #enter(outline: BlockOutline, firstEntry: number): PlacedBlock {
    const { tree, reader } = this.#options;
    return tree.enter(decodeBlockRows(outline, reader.digest.length), firstEntry);
  }

  /** A block whose entries only count. */
  #passed(location: BlockLocation | undefined, outline: BlockOutline, firstEntry: number): PlacedBlock | undefined {
    const { observer, reporter, tree, reader } = this.#options;
    if (observer !== undefined || reporter.entry !== undefined || outline.count === 0) return undefined;
    if (location === undefined || location.record.end || location.record.continuation !== undefined) return undefined;
    return tree.pass(outline, firstEntry, reader.digest.length);
  }

  /** Puts the tree where the first rows of a segment are. */
  #startGroup(source: number, ancestors: readonly Uint8Array[], firstDepth: number, gap: boolean): void {
    const { tree } = this.#options;
    if (firstDepth !== ancestors.length) {
      throw new TsfsaError("ARCHIVE_HOSTILE", "a catalog segment starts at another depth than its ancestors tell");
    }
    tree.moveTo(source, ancestors, gap);
    if (gap && ancestors.length === 0) tree.beforeRoot(source + 1);
  }

  /** The source in which a group starts after a gap (before the root it starts with), as its blocks tell: roots may have been lost. */
  #sourceBefore(catalog: GroupCatalog, places: ReadonlyMap<number, BlockLocation>): number {
    let roots = 0;
    for (const [i, outline] of catalog.blocks.entries()) {
      const record = places.get(catalog.header.firstBlock + i)?.record;
      const rows = outline.count === 0 ? [] : decodeBlockRows(outline, this.#options.reader.digest.length);
      if (record !== undefined && !record.end && (rows.length > 0 || record.continuation !== undefined)) {
        return record.sourceId - roots - (rows[0]?.depth === 0 ? 1 : 0);
      }
      roots += rows.filter(({ depth }) => depth === 0).length;
    }
    return this.#options.tree.source;
  }

  /** A block record names the source of the entries that the catalog counts off. */
  #checkSource(location: BlockLocation | undefined, placed: PlacedBlock): void {
    if (location === undefined || location.record.end) return;
    const last = this.#options.tree.source;
    const first = last - placed.prefixes.length + (placed.firstDepth === 0 ? 1 : 0);
    const { sourceId } = location.record;
    if (sourceId < first || sourceId > last) {
      throw new TsfsaError(
        "ARCHIVE_HOSTILE",
        `block record and catalog name different sources, ${sourceId} and ${first}`,
      );
    }
  }

  /** Ends the large file if its completion is in this group and none of its blocks follows. */
  #endLargeAt(number: number, catalog: GroupCatalog, places: ReadonlyMap<number, BlockLocation>): void {
    const entry = this.#blocks.largeEntry;
    const completion = catalog.completions.find((candidate) => candidate.entry === entry);
    if (completion === undefined) return;
    const end = catalog.header.firstBlock + catalog.blocks.length;
    for (let later = number + 1; later < end; later++) {
      if (places.get(later)?.record.continuation?.entry === entry) return;
    }
    this.#blocks.endLarge(completion);
  }

  /** A group whose segment is lost: what tar alone tells of its blocks. */
  async #rebuild(group: Group): Promise<void> {
    const { pool, tree, reader, signal } = this.#options;
    this.#blocks.loseNumbers();
    const first = group.blocks[0]?.record;
    const isImage = first !== undefined && reader.head.sources[first.sourceId]?.image !== undefined;
    this.#findings.catalogLost(first?.end === false ? first.number : undefined, isImage);
    for (const location of group.blocks) {
      const { record } = location;
      signal.throwIfAborted();
      if (record.end) continue;
      if (record.continuation !== undefined) {
        await this.#blocks.slice(location, record.continuation);
        continue;
      }
      this.#blocks.endLarge(undefined); // its completion is lost with the segment
      const frame = framePlace(location, reader.input.fd);
      const prefix = this.#prefixes[record.sourceId] ?? noPath;
      const index = await pool.run("index", { frame, prefixes: [prefix] });
      if (index.damage !== undefined) {
        this.#findings.blockDamaged(record.number, index.damage, false);
        continue;
      }
      const outline = { count: index.count, rows: index.rows, digests: index.digests };
      try {
        const ancestors = componentsBelow(index.firstPath, prefix).slice(0, -1);
        const isRoot = index.firstPath.length === prefix.length;
        tree.moveTo(record.sourceId, isRoot ? [] : [noPath, ...ancestors], true);
        if (isRoot) tree.beforeRoot(record.sourceId);
        const placed = tree.enter(decodeBlockRows(outline, reader.digest.length), record.firstEntry);
        await this.#blocks.block(record.number, location, placed, outline);
      } catch (error) {
        this.#findings.catalogFlawed(record.number, error);
      }
    }
  }
}
