// The fast lane of packing, for what nearly every entry is: a regular file within one block, or a directory, without attributes, holes or anything
// to tell of it. The addon writes header and catalog row from the entry record (what the plan saw) and the gather record (what opening it told); all
// other entries become drafts (drafter.ts). Invariant: both ways give the same bytes.

import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../codec/leaves.ts";
import type { RowEncoder } from "../format/segment.ts";
import { EntryKind } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import { placeLayout, plainRowMax } from "../sys/layout.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { EntryBatch } from "./batch.ts";
import type { PackJob, PlainRun } from "./job.ts";
import type { PackInput } from "./protocol.ts";

const noStats = new Uint8Array(0);

/** Entries that were opened together. */
export interface OpenedEntries {
  readonly start: number;
  readonly count: number;
  /** Gather records, and where each entry's begins; −1: it has none. */
  readonly gathered: Uint8Array;
  readonly records: Int32Array;
  /** Descriptors of files; −1: none. */
  readonly fds: Int32Array;
}

interface PlacedRun extends PlainRun {
  /** Where its rows end. */
  readonly rowsEnd: number;
}

/** The plain entries among those opened together: placed, then their content read in one call, then taken into the catalog. One per worker. */
export class PlainEntries {
  readonly #digest: Digest;
  readonly #rows: Uint8Array;
  readonly #digests: Uint8Array;
  readonly #left: Uint8Array;
  readonly #fds: Int32Array;
  readonly #sizes: Float64Array;
  readonly #offsets: Float64Array;
  readonly #status: Float64Array;
  readonly #state = new Float64Array(placeLayout.length);
  readonly #runs: PlacedRun[] = [];
  /** Entries of the job that were in trouble: they take the other way from then on. */
  readonly #troubled = new Set<number>();
  #input: PackInput | undefined;
  #entries: EntryBatch | undefined;
  #limit = 0;
  /** Of what accept() has taken: runs, bytes of rows, files. */
  #taken = 0;
  #takenRows = 0;
  #takenFiles = 0;

  /** `openedMax`: entries that are opened together, at most. */
  constructor(digest: Digest, openedMax: number) {
    this.#digest = digest;
    this.#rows = new Uint8Array(openedMax * plainRowMax);
    this.#digests = new Uint8Array(openedMax * digest.length);
    this.#left = new Uint8Array(openedMax);
    this.#fds = new Int32Array(openedMax);
    this.#sizes = new Float64Array(openedMax);
    this.#offsets = new Float64Array(openedMax);
    this.#status = new Float64Array(openedMax);
  }

  /** Starts a job; `limit`: size of the largest file that is plain. */
  startJob(input: PackInput, entries: EntryBatch, limit: number): void {
    this.#input = input;
    this.#entries = entries;
    this.#limit = limit;
    this.#troubled.clear();
  }

  /** Forgets what was placed before. */
  startRuns({ start, count }: OpenedEntries): void {
    const { large, count: all } = this.#input as PackInput;
    this.#runs.length = 0;
    this.#taken = 0;
    this.#takenRows = 0;
    this.#takenFiles = 0;
    this.#state.fill(0);
    this.#left.fill(0);
    if (large !== undefined && start + count === all) this.#left[count - 1] = 1;
    for (const index of this.#troubled) if (index >= start && index < start + count) this.#left[index - start] = 1;
  }

  /**
   * Places entries from the `at`-th opened one on, as long as they are plain, at `offset` of `tar`; a block that is not empty ends before `full`. Returns how many, and
   * where they end, or how many bytes `tar` should have for the next.
   */
  place(opened: OpenedEntries, at: number, tar: Uint8Array, offset: number, full: number): [number, number, number] {
    const { start, count, gathered, records, fds } = opened;
    const { firstEntry, dirPaths, dirPathEnds } = this.#input as PackInput;
    const entries = this.#entries as EntryBatch;
    const state = this.#state;
    const files = state[placeLayout.files] as number;
    state[placeLayout.at] = at;
    state[placeLayout.end] = offset;
    addon().placePlain(
      entries.bytes,
      entries.starts(start, count),
      count,
      firstEntry + start,
      gathered,
      records,
      fds,
      this.#left,
      dirPaths,
      dirPathEnds,
      tar,
      this.#limit,
      full,
      this.#rows,
      this.#fds,
      this.#sizes,
      this.#offsets,
      state,
    );
    const placed = (state[placeLayout.at] as number) - at;
    if (placed > 0) {
      this.#runs.push({
        start: start + at,
        count: placed,
        files: (state[placeLayout.files] as number) - files,
        bytes: state[placeLayout.bytes] as number,
        rowsEnd: state[placeLayout.rows] as number,
      });
    }
    return [placed, state[placeLayout.end] as number, state[placeLayout.room] as number];
  }

  /** Reads the content of all placed files into the block and closes them. False: one is not as planned, and all are to be placed again. */
  read(tree: TreeSource, tar: Uint8Array): boolean {
    const count = this.#state[placeLayout.files] as number;
    if (count === 0) return true;
    const native = this.#digest.name === "xxh128";
    const digests = native ? this.#digests : noStats;
    tree.readFiles(this.#fds, this.#sizes, this.#offsets, count, tar, digests, this.#status, noStats);
    let isAsPlanned = true;
    for (let k = 0; k < count; k++) if (this.#status[k] !== this.#sizes[k]) isAsPlanned = false;
    if (!isAsPlanned) this.#noteTroubled();
    else if (!native) {
      for (let k = 0; k < count; k++) this.#digests.set(this.#digestOf(tar, k), k * this.#digest.length);
    }
    return isAsPlanned;
  }

  /** Takes the next run into the catalog: its rows and its numbers. Returns how many entries it has. */
  accept(job: PackJob, rows: RowEncoder): number {
    const run = this.#runs[this.#taken++] as PlacedRun;
    const { length } = this.#digest;
    const filesEnd = this.#takenFiles + run.files;
    job.acceptPlain(run, rows.count === 0);
    rows.addEncoded({
      count: run.count,
      rows: this.#rows.subarray(this.#takenRows, run.rowsEnd),
      digests: this.#digests.subarray(this.#takenFiles * length, filesEnd * length),
    });
    this.#takenRows = run.rowsEnd;
    this.#takenFiles = filesEnd;
    return run.count;
  }

  #noteTroubled(): void {
    const entries = this.#entries as EntryBatch;
    let k = 0;
    for (const { start, count } of this.#runs) {
      for (let index = start; index < start + count; index++) {
        if (entries.entry(index).kind !== EntryKind.file) continue;
        if (this.#status[k] !== this.#sizes[k]) this.#troubled.add(index);
        k++;
      }
    }
  }

  #digestOf(tar: Uint8Array, k: number): Uint8Array {
    const size = this.#sizes[k] as number;
    const leaves = digestLeaves(this.#digest, tar, this.#offsets[k] as number, Float64Array.of(0, size), 0, size);
    return digestOfLeaves(this.#digest, leaves, size);
  }
}
