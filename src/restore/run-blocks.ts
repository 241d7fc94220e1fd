// The blocks of a run: handed to the workers, their results taken in the order of the archive. What workers cannot know is dealt with here: links,
// files of several blocks, what is lost with a block.

import { framePlace } from "../archive/frames.ts";
import type { BlockLocation } from "../archive/reader.ts";
import { formatRanges } from "../base/units.ts";
import type { BlockOutline } from "../format/segmentDecoder.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import type { Findings } from "./findings.ts";
import { LargeRestore } from "./large.ts";
import { LinkMaker, type LinkObject } from "./links.ts";
import { keptMessage } from "./marked.ts";
import { isRemembered } from "./metadata.ts";
import { OrderedJobs } from "./ordered.ts";
import { isTaken, type PlacedBlock } from "./placed.ts";
import { type KeptFile, plainBlock, renamedRow, type UnpackOutput } from "./protocol.ts";
import type { ImageSink, RunOptions } from "./run-options.ts";
import { Sharing } from "./sharing.ts";
import { tellEntries, tellIncomplete } from "./tell.ts";

/** Blocks being worked on, for each worker. */
const blocksPerWorker = 3;
/** Of the names of a lost block: a few kilobytes of catalog can tell of gigabytes, where directories are deep. */
const lostPathBytesMax = 64 * 1024 * 1024;
/** Of the descriptors the process may open, how many the directories of running jobs may take: one in so many. */
const directoriesShare = 4;

export class BlockRun {
  readonly #options: RunOptions;
  readonly #findings: Findings;
  readonly #jobs: OrderedJobs;
  readonly #links: LinkMaker;
  readonly #sharing: Sharing;
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
  readonly #directoriesPerJob: number;

  constructor(options: RunOptions, findings: Findings) {
    this.#options = options;
    this.#findings = findings;
    const jobs = blocksPerWorker * options.pool.workers;
    this.#jobs = new OrderedJobs(jobs);
    this.#directoriesPerJob = Math.max(1, Math.min(256, Math.floor(addon().openFileLimit() / directoriesShare / jobs)));
    const { digest } = options.reader;
    const { pool } = options;
    this.#sharing = new Sharing((input) => pool.run("share", input), pool.workers);
    const warn = (warning: Warning): void => findings.warn(warning);
    this.#links = new LinkMaker(options.write, options.policy, warn, (bytes) => digest.hash(bytes));
  }

  /** Entries that are whole, without directories that are restored. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes of file content. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Images that were written whole. */
  get images(): number {
    return this.#images;
  }

  /** Number of the file of several blocks whose slices come now. */
  get largeEntry(): number | undefined {
    return this.#large?.entry;
  }

  /** From now on the archive's numbers of entries are not all known. */
  loseNumbers(): void {
    this.#links.numbersLost = true;
  }

  /** No more results are taken. */
  stop(error: unknown): void {
    this.#jobs.stop(error);
  }

  /** After all blocks: waits for what is under way, and makes what must come last. */
  async finish(): Promise<void> {
    const { tree, reporter } = this.#options;
    this.endLarge(undefined);
    await this.#jobs.drain();
    tree.finish();
    const shared = await this.#sharing.finish();
    if (shared !== undefined) reporter.step(shared);
    this.#links.finish();
    tree.seal();
  }

  /** After a failure, when no worker writes any more: takes back files that are not whole. */
  abandon(): void {
    for (const large of this.#unfinished) large.abandon();
  }

  /** Hands a block to the workers, or notes what is lost with it. */
  async block(
    number: number,
    location: BlockLocation | undefined,
    placed: PlacedBlock,
    outline: BlockOutline,
  ): Promise<void> {
    // A file whose end was not told of goes no further than to the next entry with a member.
    if (location?.record.continuation === undefined && placed.count > 0) this.endLarge(undefined);
    if (location === undefined) {
      this.#missing(number, placed);
      return;
    }
    const { record } = location;
    if (record.continuation !== undefined) {
      await this.slice(location, record.continuation);
      return;
    }
    const last = placed.count - 1;
    const isLarge = !placed.isQuiet && placed.rows[last]?.continued === true;
    const sink = isLarge ? this.#imageSink(placed.rows[last] as CatalogRow) : undefined;
    const isLeftOut = isLarge && this.#options.write && placed.parents[last] === undefined && sink === undefined;
    if (isLeftOut) this.#leftOut = placed.firstEntry + last;
    const large = isLarge && !isLeftOut ? this.#openLarge(number, placed, sink) : undefined;
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

  /** Hands a continuation to the workers. */
  async slice(
    location: BlockLocation,
    continuation: { readonly entry: number; readonly fileOffset: number },
  ): Promise<void> {
    const { record } = location;
    const large = this.#large;
    if (continuation.entry === this.#leftOut) return;
    if (large?.entry !== continuation.entry) {
      this.#findings.damagedBlocks.add(record.number);
      this.#findings.partLost(`block ${record.number} continues a file whose beginning is lost`);
      return;
    }
    const segments = await large.nextRuns(continuation.fileOffset, record.uncompressedLength);
    if (segments === undefined) return;
    const { fileOffset } = continuation;
    const shared = large.sharedIn(segments);
    const input = {
      frame: framePlace(location, this.#options.reader.input.fd),
      fd: large.fd,
      fileOffset,
      size: large.row.size,
      segments,
      shared,
    };
    await this.#jobs.start(
      () => this.#options.pool.run("slice", input),
      (output) => {
        this.#progress(output.bytes, record.compressedLength);
        if (output.damage === undefined) {
          if (output.leaves !== undefined) large.add(output.leaves, segments);
          this.#options.observer?.slice(location, output.bytes);
          return;
        }
        large.losePart(`block ${record.number}, which holds a part of it, is damaged: ${output.damage}`);
        this.#findings.blockDamaged(record.number, output.damage, output.hostile);
      },
    );
  }

  /** All slices of the large file have been handed out: it ends when they are done. */
  endLarge(completion: Completion | undefined): void {
    const large = this.#large;
    this.#large = undefined;
    if (large === undefined) return;
    this.#jobs.afterwards(async () => {
      const { policy, observer, keepDamaged = false } = this.#options;
      const ino = large.finish(completion, { policy, keepDamaged, warn: (warning) => this.#findings.warn(warning) });
      this.#unfinished.delete(large);
      if (completion === undefined && !this.#findings.isDamaged)
        this.#findings.accuse("a file of several blocks without its digest");
      const { damagedBlocks } = this.#findings;
      if (large.damage === undefined) this.#images += large.isImage ? 1 : 0;
      // What is whole of an image stands for itself: only the blocks that are lost are damaged.
      else if (!large.isPartLost && (!large.isImage || damagedBlocks.size === 0)) damagedBlocks.add(large.block);
      if (large.isImage && completion?.damaged === true) {
        this.#findings.tell(
          "ENTRY_DAMAGED",
          large.path,
          `${formatRanges(pairsOf(completion.damagedRanges))} of it could not be read when it was saved, and are zeros`,
        );
      }
      const object = large.row.linked ? this.#links.add(large.placed, large.index, ino) : undefined;
      if (ino !== undefined) this.#remember(large.placed, large.index, ino);
      observer?.largeEnded(large.damage === undefined ? large.completion(completion) : undefined, object);
      await observer?.settled();
    });
  }

  /** A block that is not in the archive any more: its catalog names what is lost. */
  #missing(number: number, placed: PlacedBlock): void {
    const { keepDamaged = false, observer, write } = this.#options;
    this.#findings.damagedBlocks.add(number);
    if (placed.count === 0) this.#large?.losePart(`block ${number}, a part of it, is lost`);
    const why = `block ${number}, in which it stands, is lost`;
    const last = placed.rows.length - 1;
    const goesOn =
      keepDamaged && placed.rows[last]?.continued === true && !(write && placed.parents[last] === undefined);
    const large = goesOn ? this.#openLarge(number, placed, undefined) : undefined;
    large?.losePart(why);
    this.#jobs.afterwards(async () => {
      this.#lost(placed, why, large);
      await observer?.settled();
    });
  }

  /** One job: the block, of which the rows of the section are written. */
  async #unpack(
    location: BlockLocation,
    placed: PlacedBlock,
    outline: BlockOutline,
    [from, to]: readonly [number, number],
    largeFd: number | undefined,
  ): Promise<UnpackOutput> {
    const { pool, reader, write, keepDamaged = false } = this.#options;
    const held = placed.acquire(from, to);
    try {
      return await pool.run("unpack", {
        ...plainBlock(location, outline, placed, reader.input.fd),
        write,
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

  /** The row, of the source at hand, is that of its image. */
  #isImage({ depth, size }: CatalogRow): boolean {
    const { reader, tree } = this.#options;
    return depth === 1 && size === reader.head.sources[tree.source]?.image?.sizeBytes;
  }

  /** Where the content of a file goes if it is the image of its source. */
  #imageSink(row: CatalogRow): ImageSink | undefined {
    const { images, tree } = this.#options;
    const sink = images.get(tree.source);
    if (sink === undefined || this.#imagesBegun.has(tree.source) || !this.#isImage(row)) return undefined;
    this.#imagesBegun.add(tree.source);
    return sink;
  }

  #openLarge(block: number, placed: PlacedBlock, sink: ImageSink | undefined): LargeRestore {
    this.endLarge(undefined);
    const { reader, policy } = this.#options;
    const index = placed.rows.length - 1;
    const row = renamedRow(placed.rows[index] as CatalogRow, placed.renamed.get(index));
    const entry = placed.firstEntry + index;
    const path = placed.displayPath(index);
    const warn = (warning: Warning): void => this.#findings.warn(warning);
    const place = { entry, row, path, placed, index, block, isImage: this.#isImage(row) };
    const large =
      sink === undefined
        ? LargeRestore.open(place, reader.digest, policy, warn)
        : LargeRestore.over(place, reader.digest, sink);
    this.#large = large;
    this.#unfinished.add(large);
    return large;
  }

  /** A block's results, in the order of the archive. */
  #unpacked(location: BlockLocation, placed: PlacedBlock, output: UnpackOutput, large: LargeRestore | undefined): void {
    const { number, compressedLength } = location.record;
    this.#progress(output.bytes, compressedLength);
    if (output.damage !== undefined) {
      large?.losePart(`block ${number}, in which it starts, is damaged: ${output.damage}`);
      this.#findings.blockDamaged(number, output.damage, output.hostile);
      for (const { row, ino } of output.inodes) this.#links.add(placed, row, BigInt(ino));
      this.#lost(placed, `block ${number}, in which it stands, is damaged`, large, output.kept);
      return;
    }
    const { write } = this.#options;
    const failed = new Set(output.failed);
    for (let index = 0; index < placed.count; index++) {
      // Directories count when they are finished.
      if (!write || (placed.parents[index] !== undefined && !failed.has(index))) this.#entries++;
    }
    tellEntries(placed, failed, write, this.#options.reporter);
    for (const warning of output.warnings) {
      // Whole blocks whose content is not what was saved.
      if (warning.code === "ENTRY_DAMAGED") this.#findings.damagedBlocks.add(number);
      this.#findings.warn({ ...warning, path: placed.withoutPrefix(warning.path) });
    }
    if (!placed.isQuiet) this.#settle(location, placed, output, large);
    this.#options.tree.leave(placed, new Map(output.directories.map(({ row, attributes }) => [row, attributes])));
  }

  /** Of a whole block that is not quiet: what its rows tell, and what comes after its entries were made. */
  #settle(location: BlockLocation, placed: PlacedBlock, output: UnpackOutput, large: LargeRestore | undefined): void {
    const { write, untold, observer } = this.#options;
    if (large !== undefined && output.large !== undefined) large.addFirst(output.large);
    if (write && untold !== true) tellIncomplete(placed, write, this.#findings);
    const lost = new Set<number>(write ? [] : output.failed);
    const linked = new Map<number, LinkObject>();
    const objects = new Map<number, LinkObject>();
    const inodes = new Map(output.inodes.map(({ row, ino }) => [row, BigInt(ino)]));
    const targets = new Map(output.links.map(({ row, target }) => [row, target]));
    for (const [index, row] of placed.rows.entries()) {
      if (row.depth === 0) {
        this.#links.startSource();
        this.#sharing.startSource();
      }
      const ino = inodes.get(index);
      if (ino !== undefined) this.#remember(placed, index, ino);
      if (!placed.paths.has(index)) continue;
      if (row.kind === EntryKind.hardlink || row.linkEntry !== undefined) {
        if (!isTaken(placed, index, write)) continue; // nor need its object be here
        const { object, flaw } = this.#links.link(placed, index, targets.get(index));
        // Where something is lost, so may be what it links to.
        if (flaw !== undefined && !(flaw.missing && this.#findings.isDamaged)) this.#findings.accuse(flaw.message);
        if (flaw !== undefined) lost.add(index);
        else if (object !== undefined && observer !== undefined) linked.set(index, object);
      } else if (!row.continued || large === undefined) {
        const object = this.#links.add(placed, index, ino);
        if (object !== undefined && observer !== undefined) objects.set(index, object);
      }
    }
    const pendingBytes = large === undefined ? undefined : (output.large?.dataInBlock ?? 0);
    observer?.block(location, placed, { lost, links: linked, objects, bytes: output.bytes, pendingBytes });
  }

  /** What comes later for a file that was made. */
  #remember(placed: PlacedBlock, index: number, ino: bigint): void {
    const row = placed.rows[index] as CatalogRow;
    const { sharedExtents, name, size } = row;
    if (isRemembered(row)) this.#links.deferFlags(placed, index, ino);
    const directory = placed.parents[index];
    if (sharedExtents === undefined || directory === undefined) return;
    const file = { directory, name: Uint8Array.from(placed.renamed.get(index) ?? name), ino, size };
    const share = this.#sharing.add(file, sharedExtents);
    if (share !== undefined) this.#jobs.afterwards(share);
  }

  /** Names every entry of a block that is gone; its directories stay, with what the catalog knows of them. `large`: names itself when it ends. */
  #lost(
    placed: PlacedBlock,
    why: string,
    large: LargeRestore | undefined,
    kept: ReadonlyMap<number, KeptFile> = new Map(),
  ): void {
    const { observer, tree, write } = this.#options;
    observer?.lost(placed);
    let told = 0;
    for (const [index, row] of placed.rows.entries()) {
      if ((row.continued && large !== undefined) || !isTaken(placed, index, write)) continue;
      const path = placed.displayPath(index);
      told += path.length;
      if (told > lostPathBytesMax) {
        this.#findings.tell("ENTRY_DAMAGED", path, `it and all behind it in the block were not restored: ${why}`);
        break;
      }
      const found = kept.get(index);
      if (found !== undefined) {
        this.#entries++;
        if (found.whole && !found.hadAttributes) continue;
        if (found.whole)
          this.#findings.tell("ATTRIBUTE_NOT_RESTORED", path, `its extended attributes are lost: ${why}`);
        else this.#findings.tell("ENTRY_DAMAGED", path, `${keptMessage(found.name, found.bytes, row.size)}: ${why}`);
      } else if (row.kind === EntryKind.directory) {
        this.#findings.tell("ATTRIBUTE_NOT_RESTORED", path, `its attributes are lost: ${why}`);
      } else this.#findings.tell("ENTRY_DAMAGED", path, write ? `it was not restored: ${why}` : why);
    }
    tree.leave(placed, new Map());
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
}

function pairsOf(ranges: readonly Extent[]): number[] {
  return ranges.flatMap(({ offset, length }) => [offset, length]);
}

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
    bytes: outputs.reduce((sum, { bytes }) => sum + bytes, 0),
    failed: outputs.flatMap(({ failed }) => failed),
    kept: new Map(outputs.flatMap(({ kept }) => [...(kept ?? [])])),
  };
}
