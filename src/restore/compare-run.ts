// Comparing an archive with a live tree: groups in order, blocks in parallel, what differs told in the archive's order. Blocks are decoded for the
// attributes, which stand there only; blocks that go on with a file are not, since its digest stands in the catalog.

import type { BlockLocation, Group, GroupCatalog, GroupSource } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { type BlockOutline, decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import type { CompareOptions, Difference, FieldDifference } from "../model/difference.ts";
import type { Reporter, WarningCode } from "../model/events.ts";
import { errnoName } from "../sys/errors.ts";
import { LiveFile } from "./live-file.ts";
import { LiveLinks } from "./live-links.ts";
import type { EnteredRows, LiveTree, OneSided } from "./live-tree.ts";
import { OrderedJobs } from "./ordered.ts";
import { holdDirectories, type Section, sectionsOf } from "./parents.ts";
import { type CompareOutput, plainBlock } from "./protocol.ts";
import type { RestorePool } from "./run-options.ts";

export interface CompareRunOptions {
  readonly reader: GroupSource;
  readonly pool: RestorePool;
  readonly tree: LiveTree;
  /** Nothing is left out by a selection. */
  readonly isWhole: boolean;
  readonly compare: CompareOptions;
  readonly onDifference: (difference: Difference) => void | Promise<void>;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

export interface CompareResult {
  /** Entries that both have. */
  readonly compared: number;
  readonly removed: number;
  readonly added: number;
  readonly changed: number;
  readonly damagedBlocks: readonly number[];
  readonly hostile: string | undefined;
}

/** A block whose live entries are looked at. */
interface BlockInWork {
  readonly number: number;
  readonly location: BlockLocation;
  readonly rows: readonly CatalogRow[];
  readonly firstEntry: number;
  readonly entered: EnteredRows;
  /** Of the file that goes on behind the block. */
  readonly file: LiveFile | undefined;
}

const blocksPerWorker = 3;
/** Directories that a job holds open at most. */
const directoriesPerJob = 64;
const noPath = new Uint8Array(0);

export class CompareRun {
  readonly #options: CompareRunOptions;
  readonly #jobs: OrderedJobs;
  readonly #links: LiveLinks;
  readonly #damagedBlocks = new Set<number>();
  #hostile: string | undefined;
  #damagesTold = 0;
  #compared = 0;
  readonly #counts = { removed: 0, added: 0, changed: 0 };
  #bytes = 0;
  #archiveBytes = 0;
  /** The file of several blocks whose digest is still to come. */
  #file: LiveFile | undefined;
  readonly #openFiles = new Set<LiveFile>();

  constructor(options: CompareRunOptions) {
    this.#options = options;
    this.#jobs = new OrderedJobs(blocksPerWorker * options.pool.workers);
    this.#links = new LiveLinks(options.isWhole);
  }

  /** Compares everything. What is damaged in the archive is warned of and in the result. */
  async run(): Promise<CompareResult> {
    const { reader, tree, signal } = this.#options;
    try {
      let gap = false;
      for await (const group of reader.groups(true)) {
        signal.throwIfAborted();
        gap = this.#tellDamage() || gap;
        if (gap || group.catalog === undefined) tree.lose();
        gap = group.catalog === undefined || !(await this.#group(group, group.catalog, gap));
      }
      this.#tellDamage();
      this.#endFile(undefined);
      await this.#jobs.drain();
      await this.#tellOneSided(tree.finish());
      const damagedBlocks = [...this.#damagedBlocks].toSorted((a, b) => a - b);
      return { compared: this.#compared, ...this.#counts, damagedBlocks, hostile: this.#hostile };
    } catch (error) {
      this.#jobs.stop(error);
      throw error;
    }
  }

  /** After the pool was closed: closes what a failure left open. */
  abandon(): void {
    for (const file of this.#openFiles) file.close();
  }

  /** Warns of what the reader found since the last time; true if something was lost. */
  #tellDamage(): boolean {
    const { damages } = this.#options.reader;
    const news = damages.slice(this.#damagesTold);
    this.#damagesTold = damages.length;
    for (const { offset, message, block } of news) {
      if (block !== undefined) this.#damagedBlocks.add(block);
      this.#warn("ARCHIVE_PART_LOST", noPath, `at byte ${offset} of the archive: ${message}`);
    }
    return news.length > 0;
  }

  /** False when something is wrong with the catalog: the rest of the group is passed over. */
  async #group({ blocks }: Group, catalog: GroupCatalog, gap: boolean): Promise<boolean> {
    const { tree, reader, signal } = this.#options;
    const places = new Map(blocks.map((location) => [location.record.number, location]));
    if (gap) {
      const record = blocks.find((location) => !location.record.end)?.record;
      tree.moveTo(record?.sourceId ?? Math.max(0, tree.source), catalog.ancestors);
    }
    let firstEntry = catalog.header.firstEntry;
    for (const [i, outline] of catalog.blocks.entries()) {
      signal.throwIfAborted();
      const number = catalog.header.firstBlock + i;
      try {
        const rows = decodeBlockRows(outline, reader.digest.length);
        await this.#block(number, places.get(number), rows, outline, firstEntry);
      } catch (error) {
        if (!(error instanceof TsfsaError) || (error.code !== "ARCHIVE_DAMAGED" && error.code !== "ARCHIVE_HOSTILE"))
          throw error;
        this.#blockDamage(number, error.message, error.code === "ARCHIVE_HOSTILE");
        return false;
      }
      firstEntry += outline.count;
      const entry = this.#file?.entry;
      const completion = catalog.completions.find((candidate) => candidate.entry === entry);
      const goesOn = places.get(number + 1)?.record.continuation?.entry === entry;
      if (completion !== undefined && !goesOn) this.#endFile(completion);
    }
    return true;
  }

  async #block(
    number: number,
    location: BlockLocation | undefined,
    rows: readonly CatalogRow[],
    outline: BlockOutline,
    firstEntry: number,
  ): Promise<void> {
    const entered = this.#options.tree.enter(rows);
    if (location?.record.continuation !== undefined) return;
    if (location === undefined) {
      this.#blockDamage(number, "it is lost: its entries are not compared", false);
      this.#jobs.afterwards(() => this.#tellOneSided(entered.oneSided));
      return;
    }
    const file = this.#openFile(rows, firstEntry, entered);
    const block = { number, location, rows, firstEntry, entered, file };
    const outputs: CompareOutput[] = [];
    for (const section of sectionsOf(entered.parents, directoriesPerJob)) {
      await this.#jobs.start(
        () => this.#compare(location, outline, entered, section),
        (output) => {
          outputs.push(output);
          this.#bytes += output.bytes;
        },
      );
    }
    this.#jobs.afterwards(() => this.#report(block, outputs));
    if (file !== undefined) await this.#readFile(file);
  }

  async #compare(
    location: BlockLocation,
    outline: BlockOutline,
    entered: EnteredRows,
    section: Section,
  ): Promise<CompareOutput> {
    const { pool, reader, compare } = this.#options;
    const held = holdDirectories(entered.parents, section);
    try {
      return await pool.run("compare", {
        ...plainBlock(location, outline, entered, reader.input.fd),
        dirFds: held.dirFds,
        options: compare,
      });
    } finally {
      held.release();
    }
  }

  /** The live twin of the file that goes on behind a block. */
  #openFile(rows: readonly CatalogRow[], firstEntry: number, entered: EnteredRows): LiveFile | undefined {
    const index = rows.length - 1;
    const row = rows[index];
    const parent = entered.parents[index];
    if (row?.continued !== true) return undefined;
    this.#endFile(undefined);
    if (parent === undefined) return undefined;
    const place = {
      entry: firstEntry + index,
      row,
      source: entered.sources[index] as number,
      path: entered.paths[index] as Uint8Array,
    };
    const file = LiveFile.open(parent.acquire(), place, this.#options.reader.digest);
    parent.release();
    if (file !== undefined) this.#openFiles.add(file);
    this.#file = file;
    return file;
  }

  async #readFile(file: LiveFile): Promise<void> {
    for (const range of file.ranges()) {
      await this.#jobs.start(
        () => this.#options.pool.run("leaves", range),
        (output) => {
          file.add(output);
          for (let i = 1; i < range.segments.length; i += 2) this.#bytes += range.segments[i] as number;
          this.#progress();
        },
      );
    }
  }

  /** All of the file has been read, or will be: what differs of it is told with its content. */
  #endFile(completion: Completion | undefined): void {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    this.#jobs.afterwards(async () => {
      this.#openFiles.delete(file);
      const isSame = completion !== undefined && file.finish(completion.digest);
      if (completion === undefined) file.close();
      const { source, path, errno } = file;
      if (errno !== 0) this.#unreadable(path, errno);
      const isKnown = completion !== undefined && errno === 0;
      const fields: FieldDifference[] = [
        ...file.fields,
        ...(isKnown && !isSame ? [{ field: "content" } as const] : []),
      ];
      if (fields.length > 0) await this.#tell({ change: "changed", source, path, fields });
    });
  }

  /** A block's results, in the order of the archive. */
  async #report(block: BlockInWork, outputs: readonly CompareOutput[]): Promise<void> {
    const { number, location, rows, firstEntry, entered, file } = block;
    const { sources, paths, oneSided } = entered;
    this.#archiveBytes += location.record.compressedLength;
    this.#progress();
    const damaged = outputs.find(({ damage }) => damage !== undefined);
    if (damaged !== undefined) {
      this.#blockDamage(number, `${damaged.damage}; its entries are not compared`, damaged.hostile);
      return this.#tellOneSided(oneSided);
    }
    const found = new Map<number, readonly FieldDifference[] | undefined>();
    for (const each of outputs.flatMap(({ differences }) => differences)) found.set(each.row, each.fields);
    for (const inode of outputs.flatMap(({ inodes }) => inodes)) {
      const { row: index } = inode;
      const row = rows[index] as CatalogRow;
      const link = this.#links.compare(firstEntry + index, row, inode, paths[index] as Uint8Array);
      if (link !== undefined) found.set(index, [...(found.get(index) ?? []), link]);
    }
    for (const { row, errno } of outputs.flatMap(({ unreadable }) => unreadable)) {
      this.#unreadable(paths[row] as Uint8Array, errno);
    }
    for (const parent of entered.parents) if (parent !== undefined) this.#compared++;
    let told = 0;
    for (const [index, fields] of [...found].toSorted(([a], [b]) => a - b)) {
      const next = oneSided.findIndex(({ before }, i) => i >= told && before > index);
      const end = next < 0 ? oneSided.length : next;
      await this.#tellOneSided(oneSided.slice(told, end));
      told = end;
      const place = { source: sources[index] as number, path: paths[index] as Uint8Array };
      if (fields === undefined) await this.#tell({ change: "removed", ...place, fields: [] });
      else if (file !== undefined && index === rows.length - 1) file.fields = fields;
      else await this.#tell({ change: "changed", ...place, fields });
    }
    await this.#tellOneSided(oneSided.slice(told));
  }

  async #tellOneSided(items: readonly OneSided[]): Promise<void> {
    for (const { change, source, path } of items) await this.#tell({ change, source, path, fields: [] });
  }

  async #tell(difference: Difference): Promise<void> {
    this.#counts[difference.change]++;
    await this.#options.onDifference(difference);
  }

  #unreadable(path: Uint8Array, errno: number): void {
    const name = errnoName(errno);
    const { reporter } = this.#options;
    reporter.warning({ code: "ENTRY_UNREADABLE", path, message: `it could not be compared: ${name}`, errno: name });
  }

  #blockDamage(number: number, message: string, hostile: boolean): void {
    if (hostile) this.#hostile ??= `block ${number}: ${message}`;
    this.#damagedBlocks.add(number);
    this.#warn("ARCHIVE_PART_LOST", noPath, `block ${number}: ${message}`);
  }

  #progress(): void {
    const { reporter, reader } = this.#options;
    const { summary, input } = reader;
    reporter.progress({
      bytesDone: this.#bytes,
      bytesTotal: summary?.sources.reduce((sum, source) => sum + source.dataBytes, 0) ?? 0,
      entriesDone: this.#compared,
      archiveBytes: this.#archiveBytes,
      archiveTotal: input.length ?? 0,
    });
  }

  #warn(code: WarningCode, path: Uint8Array, message: string): void {
    this.#options.reporter.warning({ code, path, message });
  }
}
