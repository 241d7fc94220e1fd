// Saving, from frozen roots to a whole archive in a sink: scan → plan → pack → sequence → sink. What the sources are and where the archive goes is
// decided above; nothing here knows of devices or snapshots.

import type { Sink } from "../archive/sink.ts";
import { ArchiveWriter } from "../archive/writer.ts";
import { concatBytes, fromLatin1 } from "../base/bytes.ts";
import { createEncoder } from "../codec/codec.ts";
import { createDigest } from "../codec/digest.ts";
import { prefixBytes } from "../format/head.ts";
import { emptyTotals } from "../format/summary.ts";
import type { Head, Summary } from "../model/archive.ts";
import type { Reporter } from "../model/events.ts";
import type { Compression } from "../model/options.ts";
import type { WorkerPool } from "../pipeline/pool.ts";
import { SlotPool } from "../pipeline/slots.ts";
import { workerPath } from "../pipeline/worker-path.ts";
import { addon } from "../sys/addon.ts";
import { DirectoryTable, directoryCapacity } from "../sys/directory.ts";
import { check } from "../sys/errors.ts";
import { statLayout } from "../sys/layout.ts";
import { ArchiveFiles } from "./archive-files.ts";
import { abortableOutput } from "./abortable.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import { type ImageRoot, submitImage } from "./image.ts";
import { directoriesPerJob, type PlannedJob, type PlannedLarge } from "./job-cutter.ts";
import { acquireIfThere } from "./lost-directory.ts";
import { planSource } from "./plan.ts";
import type {
  LostObjects,
  PackInput,
  PackOutput,
  SaveJobs,
  SavePool,
  SaveWorkerData,
  SliceInput,
  SourceConfig,
} from "./protocol.ts";
import { saveJobs } from "./handlers.ts";
import { InodeHandles } from "./inode-handles.ts";
import { ScanAhead } from "./scan-ahead.ts";
import { type SaveRoot, sourceConfig } from "./roots.ts";
import { SourceTrees, type Trees } from "./source-trees.ts";
import { type LargePart, Sequencer } from "./sequencer.ts";
import { cutSlices, type Slice } from "./slices.ts";
import { SmallSavePool } from "./small-save.ts";

export interface SaveRequest {
  readonly head: Omit<Head, "preamble">;
  /** One for each source of the head, in the same order. */
  readonly roots: readonly (SaveRoot | ImageRoot)[];
  readonly compression: Compression;
  readonly workers: number;
  /** The sources may be written while they are read: check each file after reading. */
  readonly recheck: boolean;
}

export interface SaveContext {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** Asked after the last read and before the archive is ended: whether the view stayed frozen. Throws if it did not. */
  readonly prove?: () => Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Jobs run in worker threads unless this starts something else. */
  readonly startPool?: (data: SaveWorkerData, trees: Trees) => SavePool;
  /** Answers for the roots in this thread; the others open devices and images themselves. */
  readonly trees?: Trees;
}

/** Writes a whole archive to the sink, without committing it. */
export async function saveArchive(
  request: SaveRequest,
  sink: Sink,
  context: SaveContext,
): Promise<{ head: Head; summary: Summary }> {
  const { head, compression } = request;
  const digest = await createDigest(head.digest);
  const workers = Math.max(1, request.workers);
  const data: SaveWorkerData = {
    compression,
    digest: head.digest,
    recheck: request.recheck,
    workers,
    sources: request.roots.map((root, i) =>
      sourceConfig(root, prefixBytes(head.sources[i] as Head["sources"][number]).length),
    ),
  };
  const slotBytes = (await createEncoder(compression.codec, compression.level)).bound(
    compression.blockSize + slotSlack,
  );
  const trees = context.trees ?? (await SourceTrees.open(data.sources));
  const pool = startPool(data, workers, trees, context);
  const table = new DirectoryTable(directoryCapacity());
  const { reporter } = context;
  try {
    const writer = await ArchiveWriter.create(abortableOutput(sink, context.signal), head, digest);
    const totals = request.roots.map(() => emptyTotals());
    const sequencer = new Sequencer(writer, digest, new SlotPool(2 * workers + 2, slotBytes), reporter, totals);
    const archive = new ArchiveFiles(sink.identities);
    const run = new SaveRun(request, data, trees, pool, table, sequencer, archive, context.signal);
    for (const source of request.roots.keys()) await run.source(source);
    await sequencer.drain();
    run.tellNotFound(reporter);
    const snapshot = await context.prove?.();
    context.signal.throwIfAborted();
    const summary = await writer.finish(totals, sequencer.members, snapshot);
    return { head: writer.head, summary };
  } finally {
    await pool.close();
    table.close();
  }
}

function startPool(
  data: SaveWorkerData,
  workers: number,
  trees: Trees,
  { startPool: start, signal }: SaveContext,
): SavePool {
  if (start !== undefined) return start(data, trees);
  const startThreads = async (): Promise<WorkerPool<SaveJobs>> => {
    const { WorkerPool } = await import("../pipeline/pool.ts"); // small trees need no threads
    return new WorkerPool<SaveJobs>({ path: workerPath("save/worker"), workers, workerData: data, signal });
  };
  return new SmallSavePool(saveJobs(data, trees), signal, startThreads);
}

/** Room in a slot for the headers of a block's entries beside its data. */
const slotSlack = 1024 * 1024;

class SaveRun {
  readonly #request: SaveRequest;
  readonly #data: SaveWorkerData;
  readonly #trees: Trees;
  readonly #pool: SavePool;
  readonly #table: DirectoryTable;
  readonly #sequencer: Sequencer;
  readonly #archive: ArchiveFiles;
  readonly #signal: AbortSignal;
  #nextEntry = 0;
  /** Paths of the list that no source so far had, latin1. */
  #notFound: ReadonlySet<string> | undefined;
  /** Directories that submitted jobs hold open, the most there may be, and who waits for fewer. */
  #held = 0;
  readonly #heldMax = Math.floor(addon().openFileLimit() / 4);
  #onRelease: () => void = () => {};

  constructor(
    request: SaveRequest,
    data: SaveWorkerData,
    trees: Trees,
    pool: SavePool,
    table: DirectoryTable,
    sequencer: Sequencer,
    archive: ArchiveFiles,
    signal: AbortSignal,
  ) {
    this.#request = request;
    this.#data = data;
    this.#trees = trees;
    this.#pool = pool;
    this.#table = table;
    this.#sequencer = sequencer;
    this.#archive = archive;
    this.#signal = signal;
  }

  /** Plans one source and hands its jobs to the workers, as fast as slots become free. */
  async source(source: number): Promise<void> {
    const saved = this.#request.roots[source] as SaveRoot | ImageRoot;
    const prefix = prefixBytes(this.#request.head.sources[source] as Head["sources"][number]);
    const { blockSize } = this.#request.compression;
    if ("image" in saved) {
      this.#nextEntry = await submitImage(saved, {
        source,
        prefix,
        firstEntry: this.#nextEntry,
        blockSize,
        pool: this.#pool,
        sequencer: this.#sequencer,
        signal: this.#signal,
      });
      return;
    }
    const { rootFd } = saved;
    const config = this.#data.sources[source] as SourceConfig;
    const inodes = config.block === undefined ? undefined : new InodeHandles();
    const root = inodes?.root(rootFd) ?? this.#table.root(check(addon().duplicate(rootFd), "dup"));
    const rootStat = new Uint8Array(statLayout.size);
    check(this.#trees.of(source).statAt(rootFd, new Uint8Array(0), rootStat), "statx");
    const scan = new ScanAhead(this.#pool, inodes ?? this.#table, source, config);
    const plan = planSource({
      scan,
      root,
      rootStat,
      prefix,
      firstEntry: this.#nextEntry,
      blockSize,
      archive: this.#archive,
      signal: this.#signal,
    });
    let next = await plan.next();
    while (next.done !== true) {
      await this.#submit(source, config.prefixLength, next.value);
      // The plan holds the directories of a job while it makes it.
      while (this.#held > 0 && this.#held + directoriesPerJob > this.#heldMax) await this.#release();
      next = await plan.next();
    }
    this.#nextEntry = next.value;
    const { unseen } = scan.filter;
    this.#notFound = new Set([...unseen].filter((path) => this.#notFound?.has(path) ?? true));
  }

  /** Names what a save was limited to and did not find. */
  tellNotFound(reporter: Reporter): void {
    for (const path of this.#notFound ?? []) {
      const message = "the list of files names it, and it was not found";
      reporter.warning({ code: "ENTRY_NOT_FOUND", path: fromLatin1(path), message });
    }
  }

  /** Waits until a job has let go of its directories. */
  #release(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRelease = resolve;
    });
  }

  async #submit(source: number, prefixLength: number, job: PlannedJob): Promise<void> {
    const { large } = job;
    const slices = large === undefined ? undefined : cutSlices(large.plan, this.#request.compression.blockSize);
    let slice = slices?.next().value as Slice | undefined;
    const slot = await this.#sequencer.acquireSlot();
    const { firstEntry, count, entries, dirFds, dirPaths, dirPathEnds } = job;
    const input: PackInput = {
      source,
      firstEntry,
      count,
      entries,
      dirFds,
      dirPaths,
      dirPathEnds,
      ...(large === undefined || slice === undefined
        ? {}
        : {
            large: {
              segments: large.plan.segments,
              sliceEnd: slice.end,
              ...(large.plan.exactMap === undefined ? {} : { exactMap: large.plan.exactMap }),
            },
          }),
      slot: this.#sequencer.slotBuffer(slot),
    };
    const ancestorsOf = (directory: number): readonly Uint8Array[] => ancestors(input, directory, prefixLength);
    this.#held += dirFds.length;
    const release = (): void => {
      job.release();
      this.#held -= dirFds.length;
      this.#onRelease();
    };
    if (job.objects.length > 0) {
      // Its entries and directories are kept until it is written: it is packed again if one of its links has lost its object.
      const result = this.#pool.run("pack", input);
      const packAgain = (lost: LostObjects): Promise<PackOutput> => this.#pool.run("pack", { ...input, lost });
      this.#sequencer.push({ source, slot, ancestorsOf, result, links: { objects: job.objects, packAgain, release } });
      return;
    }
    const result = this.#pool.run("pack", input, { transfer: [entries.buffer as ArrayBuffer] }).finally(release);
    if (large === undefined || slices === undefined || slice === undefined) {
      this.#sequencer.push({ source, slot, ancestorsOf, result });
      return;
    }
    const { entry, plan } = large;
    const path = concatBytes([job.dirPaths.subarray(prefixLength), large.name]);
    // A large file is the only entry of its job, so its directory is the only one.
    const part = { entry, size: plan.size, path };
    let following = slices.next();
    const first = { ...part, fileOffset: 0, isLast: following.done === true };
    this.#sequencer.push({ source, slot, ancestorsOf, result, part: first });
    const padding = -sumOfSegments(plan.segments) & 511;
    while (following.done !== true) {
      slice = following.value;
      following = slices.next();
      await this.#submitSlice(
        source,
        large,
        slice,
        { ...part, fileOffset: slice.start, isLast: following.done === true },
        padding,
      );
    }
  }

  async #submitSlice(
    source: number,
    large: PlannedLarge,
    slice: Slice,
    part: LargePart,
    padding: number,
  ): Promise<void> {
    this.#signal.throwIfAborted();
    const slot = await this.#sequencer.acquireSlot();
    const { entry, directory, name, stat } = large;
    const dirFd = acquireIfThere(directory);
    const input: SliceInput = {
      source,
      entry,
      dirFd,
      name,
      stat,
      start: slice.start,
      end: slice.end,
      segments: slice.segments,
      padding: part.isLast ? padding : 0,
      slot: this.#sequencer.slotBuffer(slot),
    };
    const result = this.#pool.run("slice", input).finally(() => {
      if (dirFd >= 0) directory.release();
    });
    this.#sequencer.push({ source, slot, ancestorsOf: () => [], result, part });
  }
}

/** Names from the source's root (empty) down to a directory of a job; none for −1. */
function ancestors(input: PackInput, directory: number, prefixLength: number): readonly Uint8Array[] {
  if (directory < 0) return [];
  const { dirPaths, dirPathEnds } = input;
  const end = dirPathEnds[directory] as number;
  const names = [new Uint8Array(0)];
  let start = (directory === 0 ? 0 : (dirPathEnds[directory - 1] as number)) + prefixLength;
  while (start < end) {
    const slash = dirPaths.indexOf(0x2f, start);
    names.push(dirPaths.slice(start, slash));
    start = slash + 1;
  }
  return names;
}
