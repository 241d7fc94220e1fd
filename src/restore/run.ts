// Reading a whole archive, to restore it or to verify it: groups in order, blocks in parallel, results in order again. What the workers cannot
// know (directories, links, files of several blocks, what is lost) is dealt with here.

import type { BlockLocation, Group, GroupCatalog, GroupSource } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import { type BlockOutline, decodeBlockRows, firstDepthOf } from "../format/segmentDecoder.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { Reporter, Warning, WarningCode } from "../model/events.ts";
import type { WorkerPool } from "../pipeline/pool.ts";
import { addon } from "../sys/addon.ts";
import { componentsBelow } from "./index-block.ts";
import { LargeRestore } from "./large.ts";
import { LinkMaker, type LinkObject } from "./links.ts";
import { keptMessage } from "./marked.ts";
import { isRemembered } from "./metadata.ts";
import { OrderedJobs } from "./ordered.ts";
import { Sharing } from "./sharing.ts";
import {
  type FramePlace,
  framePlace,
  type KeptFile,
  renamedRow,
  type RestoreJobs,
  type UnpackOutput,
  type WritePolicy,
} from "./protocol.ts";
import type { PlacedBlock } from "./placed.ts";
import type { Tree } from "./tree.ts";

export type RestorePool = Pick<WorkerPool<RestoreJobs>, "workers" | "run" | "close">;

/** An open descriptor that takes an image of this logical size. */
export interface ImageSink {
  readonly fd: number;
  readonly sizeBytes: number;
}

export interface RunOptions {
  readonly reader: GroupSource;
  readonly pool: RestorePool;
  readonly tree: Tree;
  readonly policy: WritePolicy;
  /** False: verify. */
  readonly write: boolean;
  /** What can be had of a damaged file stays, under a marked name. */
  readonly keepDamaged?: boolean | undefined;
  /** What was not whole when it was saved was told then. */
  readonly untold?: boolean | undefined;
  readonly observer?: RunObserver | undefined;
  /** By source id: where the image of this source goes. */
  readonly images: ReadonlyMap<number, ImageSink>;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** Hears what was found whole, in the order of the archive. Between two calls of `settled` only one block's worth is told. */
export interface RunObserver {
  /** A plain block whose rows are in order. `lost`: rows that are not whole; a large file in its last row is pending until largeEnded(). */
  block(location: BlockLocation, placed: PlacedBlock, found: FoundRows): void;
  /** Of a lost block only the directories are known. */
  lost(placed: PlacedBlock): void;
  /** A whole block that goes on with the pending file. */
  slice(location: BlockLocation, bytes: number): void;
  /** Undefined: it is not whole. */
  largeEnded(completion: Completion | undefined, object: LinkObject | undefined): void;
  /** Called after each of the above, and waited for. */
  settled(): Promise<void>;
}

export interface FoundRows {
  readonly lost: ReadonlySet<number>;
  /** Objects of hard links, by the row of the link. */
  readonly links: ReadonlyMap<number, LinkObject>;
  /** What links of later blocks may point to, by row. */
  readonly objects: ReadonlyMap<number, LinkObject>;
  /** Bytes of file content in the block, and those of them that are the pending file's. */
  readonly bytes: number;
  readonly pendingBytes: number | undefined;
}

export interface RunResult {
  readonly entries: number;
  readonly bytes: number;
  readonly damagedBlocks: readonly number[];
  /** Images that were written whole. */
  readonly images: number;
  /** The first thing found that no writer of ours makes: an attack, or a defect. */
  readonly hostile: string | undefined;
}

/** Blocks being worked on, for each worker. */
const blocksPerWorker = 3;
const noPath = new Uint8Array(0);
const slash = 0x2f;
/** Of the names of a lost block: a few kilobytes of catalog can tell of gigabytes, where directories are deep. */
const lostPathBytesMax = 64 * 1024 * 1024;
/** Of the descriptors the process may open, how many the directories of running jobs may take: one in so many. */
const directoriesShare = 4;

function wholeBlock(placed: PlacedBlock): readonly [number, number] {
  return [0, placed.count];
}

/** Jobs of one block tell the same of it, but for what each has written. */
function mergeOutputs(outputs: readonly UnpackOutput[]): UnpackOutput {
  const last = outputs.at(-1) as UnpackOutput;
  if (outputs.length === 1) return last;
  return {
    ...last,
    damage: outputs.find(({ damage }) => damage !== undefined)?.damage,
    warnings: outputs.flatMap(({ warnings }) => warnings),
    inodes: outputs.flatMap(({ inodes }) => inodes),
    failed: outputs.flatMap(({ failed }) => failed),
    kept: new Map(outputs.flatMap(({ kept }) => [...(kept ?? [])])),
  };
}

export class ReadRun {
  readonly #options: RunOptions;
  readonly #prefixes: readonly Uint8Array[];
  readonly #jobs: OrderedJobs;
  readonly #links: LinkMaker;
  readonly #sharing: Sharing;
  readonly #damagedBlocks = new Set<number>();
  #hostile: string | undefined;
  #entries = 0;
  #bytes = 0;
  #archiveBytes = 0;
  /** The file of several blocks whose slices come now. */
  #large: LargeRestore | undefined;
  /** Number of the last file of several blocks that is not restored. */
  #leftOut: number | undefined;
  /** Sources whose image has begun; how many came whole. */
  readonly #imagesBegun = new Set<number>();
  #images = 0;
  /** Files of several blocks that are not finished yet. */
  readonly #unfinished = new Set<LargeRestore>();
  #damagesTold = 0;
  /** Of some blocks. */
  #catalogLost = false;
  readonly #directoriesPerJob: number;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#prefixes = options.reader.head.sources.map(prefixBytes);
    const jobs = blocksPerWorker * options.pool.workers;
    this.#jobs = new OrderedJobs(jobs);
    this.#directoriesPerJob = Math.max(1, Math.min(256, Math.floor(addon().openFileLimit() / directoriesShare / jobs)));
    const { digest } = options.reader;
    const warn = (warning: Warning): void => this.#warn(warning);
    const { pool } = options;
    this.#sharing = new Sharing((input) => pool.run("share", input), pool.workers);
    this.#links = new LinkMaker(options.write, options.policy, warn, (bytes) => digest.hash(bytes));
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
      this.#jobs.stop(error);
      throw error;
    } finally {
      if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
    }
  }

  /** After a failure, when no worker writes any more: takes back files that are not whole. */
  abandon(): void {
    for (const large of this.#unfinished) large.abandon();
  }

  async #run(): Promise<RunResult> {
    const { reader, tree, signal } = this.#options;
    let gap = false;
    for await (const group of reader.groups(true)) {
      signal.throwIfAborted();
      gap = this.#tellDamage() || gap;
      if (group.catalog === undefined) await this.#rebuild(group);
      gap = group.catalog === undefined || !(await this.#group(group, group.catalog, gap));
    }
    this.#tellDamage();
    this.#endLarge(undefined);
    await this.#jobs.drain();
    tree.finish();
    const shared = await this.#sharing.finish();
    if (shared !== undefined) this.#options.reporter.step(shared);
    this.#links.finish();
    tree.seal();
    const damagedBlocks = [...this.#damagedBlocks].toSorted((a, b) => a - b);
    const entries = this.#entries + tree.restored;
    return { entries, bytes: this.#bytes, images: this.#images, damagedBlocks, hostile: this.#hostile };
  }

  /** Tells of what the reader found since the last time; true if something was lost. */
  #tellDamage(): boolean {
    const { damages } = this.#options.reader;
    const first = this.#damagesTold;
    this.#damagesTold = damages.length;
    for (const { offset, message, block, hostile } of damages.slice(first)) {
      if (hostile === true) this.#hostile ??= message;
      if (block !== undefined) this.#damagedBlocks.add(block);
      this.#tell("ARCHIVE_PART_LOST", noPath, `at byte ${offset} of the archive: ${message}`);
    }
    return damages.length > first;
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
        this.#flaw(number, new TsfsaError("ARCHIVE_HOSTILE", "block record and catalog count its entries differently"));
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
        this.#flaw(number, error);
        return false;
      }
      firstEntry += outline.count;
      await this.#block(number, location, placed, outline);
      this.#endLargeAt(number, catalog, places);
    }
    return true;
  }

  #enter(outline: BlockOutline, firstEntry: number): PlacedBlock {
    const { tree, reader } = this.#options;
    return tree.enter(decodeBlockRows(outline, reader.digest.length), firstEntry);
  }

  /** A block to be verified, whose entries only count. */
  #passed(location: BlockLocation | undefined, outline: BlockOutline, firstEntry: number): PlacedBlock | undefined {
    const { write, observer, reporter, tree, reader } = this.#options;
    if (write || observer !== undefined || reporter.entry !== undefined || outline.count === 0) return undefined;
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
    const entry = this.#large?.entry;
    const completion = catalog.completions.find((candidate) => candidate.entry === entry);
    if (completion === undefined) return;
    const end = catalog.header.firstBlock + catalog.blocks.length;
    for (let later = number + 1; later < end; later++) {
      if (places.get(later)?.record.continuation?.entry === entry) return;
    }
    this.#endLarge(completion);
  }

  /** A group whose segment is lost: what tar alone tells of its blocks. */
  async #rebuild(group: Group): Promise<void> {
    const { pool, tree, reader, signal } = this.#options;
    this.#catalogLost = true;
    this.#links.numbersLost = true;
    const [first] = group.blocks;
    if (first !== undefined && !first.record.end) {
      const lost = "sockets, inode flags, project ids and access times are lost";
      const message = `the catalog of the blocks from ${first.record.number} on is lost: of their entries, ${lost}`;
      this.#tell("ARCHIVE_PART_LOST", noPath, message);
    }
    for (const location of group.blocks) {
      const { record } = location;
      signal.throwIfAborted();
      if (record.end) continue;
      if (record.continuation !== undefined) {
        await this.#slice(location, record.continuation);
        continue;
      }
      this.#endLarge(undefined); // its completion is lost with the segment
      const frame = this.#frame(location);
      const prefix = this.#prefixes[record.sourceId] ?? noPath;
      const index = await pool.run("index", { frame, prefixes: [prefix] });
      if (index.damage !== undefined) {
        this.#blockDamage(record.number, index.damage, false);
        continue;
      }
      const outline = { count: index.count, rows: index.rows, digests: index.digests };
      try {
        const ancestors = componentsBelow(index.firstPath, prefix).slice(0, -1);
        const isRoot = index.firstPath.length === prefix.length;
        tree.moveTo(record.sourceId, isRoot ? [] : [noPath, ...ancestors], true);
        if (isRoot) tree.beforeRoot(record.sourceId);
        const placed = tree.enter(decodeBlockRows(outline, reader.digest.length), record.firstEntry);
        await this.#block(record.number, location, placed, outline);
      } catch (error) {
        this.#flaw(record.number, error);
      }
    }
  }

  /** Hands a block to the workers, or notes what is lost with it. */
  async #block(
    number: number,
    location: BlockLocation | undefined,
    placed: PlacedBlock,
    outline: BlockOutline,
  ): Promise<void> {
    // A file whose end was not told of goes no further than to the next entry with a member.
    if (location?.record.continuation === undefined && placed.count > 0) this.#endLarge(undefined);
    if (location === undefined) {
      this.#damagedBlocks.add(number);
      if (placed.count === 0 && this.#large !== undefined)
        this.#large.damage ??= `block ${number}, a part of it, is lost`;
      const why = `block ${number}, in which it stands, is lost`;
      const { keepDamaged = false, write } = this.#options;
      const last = placed.rows.length - 1;
      const goesOn =
        keepDamaged && placed.rows[last]?.continued === true && !(write && placed.parents[last] === undefined);
      const large = goesOn ? this.#openLarge(number, placed, undefined) : undefined;
      if (large !== undefined) large.damage ??= why;
      this.#jobs.afterwards(async () => {
        this.#lost(placed, why, large);
        await this.#options.observer?.settled();
      });
      return;
    }
    const { record } = location;
    if (record.continuation !== undefined) {
      await this.#slice(location, record.continuation);
      return;
    }
    if (placed.isQuiet) {
      await this.#quietBlock(location, placed, outline);
      return;
    }
    const last = placed.rows.length - 1;
    const isLarge = placed.rows[last]?.continued === true;
    const imageFd = isLarge ? this.#imageFd(record.sourceId, placed.rows[last] as CatalogRow) : undefined;
    const isLeftOut = isLarge && this.#options.write && placed.parents[last] === undefined && imageFd === undefined;
    if (isLeftOut) this.#leftOut = placed.firstEntry + last;
    const large = isLarge && !isLeftOut ? this.#openLarge(number, placed, imageFd) : undefined;
    const sections = this.#options.write ? placed.sections(this.#directoriesPerJob) : [wholeBlock(placed)];
    const outputs: UnpackOutput[] = [];
    for (const [i, section] of sections.entries()) {
      const isLast = i === sections.length - 1;
      await this.#jobs.start(
        () => {
          const result = this.#unpack(location, placed, outline, section, isLast ? large?.fd : undefined);
          if (isLast) large?.follow(result);
          return result;
        },
        async (output) => {
          outputs.push(output);
          if (!isLast) return;
          this.#unpacked(location, placed, mergeOutputs(outputs), large);
          await this.#options.observer?.settled();
        },
      );
    }
  }

  async #quietBlock(location: BlockLocation, placed: PlacedBlock, outline: BlockOutline): Promise<void> {
    await this.#jobs.start(
      () => this.#unpack(location, placed, outline, wholeBlock(placed), undefined),
      (output) => {
        if (output.damage !== undefined || output.warnings.length > 0) {
          this.#unpacked(location, placed, output, undefined);
          return;
        }
        this.#progress(output.bytes, location.record.compressedLength);
        this.#entries += placed.count;
      },
    );
  }

  /** One job: the block, of which the rows of the section are written. */
  async #unpack(
    location: BlockLocation,
    placed: PlacedBlock,
    outline: BlockOutline,
    [from, to]: readonly [number, number],
    largeFd: number | undefined,
  ): Promise<UnpackOutput> {
    const { pool, write, keepDamaged = false } = this.#options;
    const held = placed.acquire(from, to);
    try {
      return await pool.run("unpack", {
        frame: this.#frame(location),
        write,
        count: outline.count,
        rows: outline.rows.slice(),
        digests: outline.digests.slice(),
        parentPath: placed.parentPath,
        firstDepth: placed.firstDepth,
        prefixes: placed.prefixes,
        end: location.record.end,
        careful: placed.careful,
        dirFds: held.dirFds,
        renamed: placed.renamed,
        largeFd,
        keepDamaged: write && keepDamaged,
      });
    } finally {
      held.release();
    }
  }

  /** Hands a continuation to the workers. */
  async #slice(
    location: BlockLocation,
    continuation: { readonly entry: number; readonly fileOffset: number },
  ): Promise<void> {
    const { record } = location;
    const large = this.#large;
    if (continuation.entry === this.#leftOut) return;
    if (large?.entry !== continuation.entry) {
      this.#damagedBlocks.add(record.number);
      this.#tell("ARCHIVE_PART_LOST", noPath, `block ${record.number} continues a file whose beginning is lost`);
      return;
    }
    const segments = await large.nextRuns(continuation.fileOffset, record.uncompressedLength);
    if (segments === undefined) return;
    const { fileOffset } = continuation;
    const shared = large.sharedIn(segments);
    const input = { frame: this.#frame(location), fd: large.fd, fileOffset, size: large.row.size, segments, shared };
    await this.#jobs.start(
      () => this.#options.pool.run("slice", input),
      (output) => {
        this.#progress(output.bytes, record.compressedLength);
        if (output.damage === undefined) {
          if (output.leaves !== undefined) large.add(output.leaves, output.bytes);
          this.#options.observer?.slice(location, output.bytes);
          return;
        }
        large.damage ??= `block ${record.number}, which holds a part of it, is damaged: ${output.damage}`;
        this.#blockDamage(record.number, output.damage, output.hostile);
      },
    );
  }

  /** Where the content of a file goes if it is the image of its source. */
  #imageFd(source: number, row: CatalogRow): number | undefined {
    const image = this.#options.images.get(source);
    if (image === undefined || this.#imagesBegun.has(source) || row.depth !== 1 || row.size !== image.sizeBytes) {
      return undefined;
    }
    this.#imagesBegun.add(source);
    return image.fd;
  }

  #openLarge(block: number, placed: PlacedBlock, imageFd: number | undefined): LargeRestore {
    this.#endLarge(undefined);
    const { reader, policy } = this.#options;
    const index = placed.rows.length - 1;
    const row = renamedRow(placed.rows[index] as CatalogRow, placed.renamed.get(index));
    const entry = placed.firstEntry + index;
    const path = placed.displayPath(index);
    const warn = (warning: Warning): void => this.#warn(warning);
    const place = { entry, row, path, placed, index, block };
    const large =
      imageFd === undefined
        ? LargeRestore.open(place, reader.digest, policy, warn)
        : LargeRestore.over(place, reader.digest, imageFd);
    this.#large = large;
    this.#unfinished.add(large);
    return large;
  }

  /** All slices of the large file have been handed out: it ends when they are done. */
  #endLarge(completion: Completion | undefined): void {
    const large = this.#large;
    this.#large = undefined;
    if (large === undefined) return;
    this.#jobs.afterwards(async () => {
      const { policy, observer, keepDamaged = false } = this.#options;
      const ino = large.finish(completion, { policy, keepDamaged, warn: (warning) => this.#warn(warning) });
      this.#unfinished.delete(large);
      if (completion === undefined && !this.#isDamaged())
        this.#hostile ??= "a file of several blocks without its digest";
      if (large.damage !== undefined) this.#damagedBlocks.add(large.block);
      else if (large.isImage) this.#images++;
      if (large.isImage && completion?.damaged === true) {
        this.#tell("ENTRY_DAMAGED", large.path, "parts of it could not be read when it was saved, and are zeros");
      }
      const object = large.row.linked ? this.#links.add(large.placed, large.index, ino) : undefined;
      if (ino !== undefined) this.#remember(large.placed, large.index, ino);
      observer?.largeEnded(large.damage === undefined ? large.completion(completion) : undefined, object);
      await observer?.settled();
    });
  }

  /** A block's results, in the order of the archive. */
  #unpacked(location: BlockLocation, placed: PlacedBlock, output: UnpackOutput, large: LargeRestore | undefined): void {
    const { number, compressedLength } = location.record;
    this.#progress(output.bytes, compressedLength);
    if (output.damage !== undefined) {
      if (large !== undefined) large.damage ??= `block ${number}, in which it starts, is damaged: ${output.damage}`;
      this.#blockDamage(number, output.damage, output.hostile);
      for (const { row, ino } of output.inodes) this.#links.add(placed, row, BigInt(ino));
      this.#lost(placed, `block ${number}, in which it stands, is damaged`, large, output.kept);
      return;
    }
    const { write } = this.#options;
    const failed = new Set(output.failed);
    for (const index of placed.rows.keys()) {
      // Directories count when they are finished.
      if (!write || (placed.parents[index] !== undefined && !failed.has(index))) this.#entries++;
    }
    this.#tellEntries(placed, failed);
    for (const warning of output.warnings) {
      // Whole blocks whose content is not what was saved.
      if (warning.code === "ENTRY_DAMAGED") this.#damagedBlocks.add(number);
      this.#warn({ ...warning, path: placed.withoutPrefix(warning.path) });
    }
    if (large !== undefined && output.large !== undefined) large.add(output.large.leaves, output.large.dataInBlock);
    if (this.#options.write && this.#options.untold !== true) this.#tellIncomplete(placed);
    const { observer } = this.#options;
    const lost = new Set<number>(write ? [] : output.failed);
    const linked = new Map<number, LinkObject>();
    const objects = new Map<number, LinkObject>();
    const inodes = new Map(output.inodes.map(({ row, ino }) => [row, BigInt(ino)]));
    const targets = new Map(output.links.map(({ row, path }) => [row, path]));
    for (const [index, row] of placed.rows.entries()) {
      if (row.depth === 0) {
        this.#links.startSource();
        this.#sharing.startSource();
      }
      const ino = inodes.get(index);
      if (ino !== undefined) this.#remember(placed, index, ino);
      if (!placed.paths.has(index)) continue;
      if (row.kind === EntryKind.hardlink || row.linkEntry !== undefined) {
        if (!this.#isTaken(placed, index)) continue; // nor need its object be here
        const { object, flaw } = this.#links.link(placed, index, targets.get(index));
        // Where something is lost, so may be what it links to.
        if (flaw !== undefined && !(flaw.missing && this.#isDamaged())) this.#hostile ??= flaw.message;
        if (flaw !== undefined) lost.add(index);
        else if (object !== undefined) linked.set(index, object);
      } else if (!row.continued || large === undefined) {
        const object = this.#links.add(placed, index, ino);
        if (object !== undefined) objects.set(index, object);
      }
    }
    const pendingBytes = large === undefined ? undefined : (output.large?.dataInBlock ?? 0);
    observer?.block(location, placed, { lost, links: linked, objects, bytes: output.bytes, pendingBytes });
    this.#options.tree.leave(placed, new Map(output.directories.map(({ row, attributes }) => [row, attributes])));
  }

  /** Tells of each entry that is done, where somebody wants to hear of it. */
  #tellEntries(placed: PlacedBlock, failed: ReadonlySet<number>): void {
    const { reporter } = this.#options;
    if (reporter.entry === undefined) return;
    for (const [index, { kind }] of placed.rows.entries()) {
      if (kind === EntryKind.absent || failed.has(index) || !this.#isTaken(placed, index)) continue;
      const path = placed.displayPath(index);
      reporter.entry(path.at(-1) === slash ? path.subarray(0, -1) : path);
    }
  }

  /** What comes later for a file that was made. */
  #remember(placed: PlacedBlock, index: number, ino: bigint): void {
    const row = placed.rows[index] as CatalogRow;
    const { sharedExtents, name, size } = row;
    if (isRemembered(row)) this.#links.deferFlags(placed, index, ino);
    const directory = placed.parents[index];
    if (sharedExtents === undefined || directory === undefined) return;
    const file = { directory, name: placed.renamed.get(index) ?? name, ino, size };
    const share = this.#sharing.add(file, sharedExtents);
    if (share !== undefined) this.#jobs.afterwards(share);
  }

  /** What the catalog says was not whole when it was saved. */
  #tellIncomplete(placed: PlacedBlock): void {
    for (const [index, row] of placed.rows.entries()) {
      if (!this.#isTaken(placed, index)) continue;
      if (row.kind === EntryKind.absent) {
        const why = row.absentReason ?? "unknown";
        this.#tell(
          "ENTRY_NOT_RESTORED",
          placed.displayPath(index),
          `it is not in the archive: when it was saved it could not be read (${why})`,
        );
      } else if (row.damaged) {
        this.#tell("ENTRY_DAMAGED", placed.displayPath(index), "parts of it could not be read when it was saved");
      } else if (row.unknownCriticalTags !== undefined) {
        this.#tell(
          "ATTRIBUTE_NOT_RESTORED",
          placed.displayPath(index),
          "it has properties that only a newer tsfsa knows",
        );
      }
    }
  }

  /** Names every entry of a block that is gone; its directories stay, with what the catalog knows of them. `large`: names itself when it ends. */
  #lost(
    placed: PlacedBlock,
    why: string,
    large: LargeRestore | undefined,
    kept: ReadonlyMap<number, KeptFile> = new Map(),
  ): void {
    this.#options.observer?.lost(placed);
    let told = 0;
    for (const [index, row] of placed.rows.entries()) {
      if ((row.continued && large !== undefined) || !this.#isTaken(placed, index)) continue;
      const path = placed.displayPath(index);
      told += path.length;
      if (told > lostPathBytesMax) {
        this.#tell("ENTRY_DAMAGED", path, `it and all behind it in the block were not restored: ${why}`);
        break;
      }
      const found = kept.get(index);
      if (found !== undefined) {
        this.#entries++;
        if (found.whole && !found.hadAttributes) continue;
        if (found.whole) this.#tell("ATTRIBUTE_NOT_RESTORED", path, `its extended attributes are lost: ${why}`);
        else this.#tell("ENTRY_DAMAGED", path, `${keptMessage(found.name, found.bytes, row.size)}: ${why}`);
      } else if (row.kind === EntryKind.directory) {
        this.#tell("ATTRIBUTE_NOT_RESTORED", path, `its attributes are lost: ${why}`);
      } else this.#tell("ENTRY_DAMAGED", path, this.#options.write ? `it was not restored: ${why}` : why);
    }
    this.#options.tree.leave(placed, new Map());
  }

  /** It is to be restored, or is verified. Directories that wait for what is below them do not count before they are made. */
  #isTaken(placed: PlacedBlock, index: number): boolean {
    if (!this.#options.write || placed.parents[index] !== undefined) return true;
    const branch = placed.branches.get(index);
    return branch?.handle !== undefined && branch.restored;
  }

  #isDamaged(): boolean {
    return this.#catalogLost || this.#damagedBlocks.size > 0 || this.#options.reader.damages.length > 0;
  }

  #blockDamage(number: number, message: string, hostile: boolean): void {
    if (hostile) this.#hostile ??= `block ${number}: ${message}`;
    this.#damagedBlocks.add(number);
    this.#tell("ARCHIVE_PART_LOST", noPath, `block ${number}: ${message}`);
  }

  /** Something is wrong with the catalog of a block: the rest of its group is passed over. */
  #flaw(number: number, error: unknown): void {
    if (!(error instanceof TsfsaError) || (error.code !== "ARCHIVE_DAMAGED" && error.code !== "ARCHIVE_HOSTILE"))
      throw error;
    this.#blockDamage(number, error.message, error.code === "ARCHIVE_HOSTILE");
  }

  #frame(location: BlockLocation): FramePlace {
    return framePlace(location, this.#options.reader.input.fd);
  }

  #progress(bytes: number, archiveBytes: number): void {
    this.#bytes += bytes;
    this.#archiveBytes += archiveBytes;
    const { summary, input } = this.#options.reader;
    const bytesTotal = summary?.sources.reduce((sum, source) => sum + source.dataBytes, 0) ?? 0;
    const progress = {
      bytesDone: this.#bytes,
      bytesTotal,
      entriesDone: this.#entries,
      archiveBytes: this.#archiveBytes,
    };
    this.#options.reporter.progress({ ...progress, archiveTotal: input.length ?? 0 });
  }

  #tell(code: WarningCode, path: Uint8Array, message: string): void {
    this.#warn({ code, path, message });
  }

  #warn(warning: Warning): void {
    this.#options.reporter.warning(warning);
  }
}
