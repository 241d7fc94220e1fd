// Puts packed blocks into the archive in the order of the plan, while later ones are still being packed. It is where large files come together
// again: their leaves make the digest, their damage and changes one completion.

import { EntryPaths } from "../archive/entry-paths.ts";
import type { ArchiveWriter } from "../archive/writer.ts";
import type { Digest, FileDigest } from "../codec/digest.ts";
import { type BlockOutline, decodeBlockRows } from "../format/segmentDecoder.ts";
import type { SourceTotals } from "../model/archive.ts";
import type { Completion } from "../model/catalog.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import type { Reporter, Warning } from "../model/events.ts";
import type { SlotPool } from "../pipeline/slots.ts";
import type { LinkTarget } from "./links.ts";
import type { LostObjects, PackOutput } from "./protocol.ts";

/** A job that runs, in its place in the order. */
export interface SubmittedJob {
  readonly source: number;
  readonly slot: number;
  /** Names from the source's root to the directory with this index in the job; none for −1. */
  readonly ancestorsOf: (directory: number) => readonly Uint8Array[];
  readonly result: Promise<PackOutput>;
  /** Slices of a large file, or the block it starts in. */
  readonly part?: LargePart;
  /** Links to objects of jobs before it. */
  readonly links?: JobLinks;
}

export interface JobLinks {
  readonly objects: readonly number[];
  /** Packs the job once more, now that these objects are known to be lost. */
  readonly packAgain: (lost: LostObjects) => Promise<PackOutput>;
  /** Called when the job is written, or never will be. */
  readonly release: () => void;
}

export interface LargePart {
  readonly entry: number;
  readonly size: number;
  /** Path below the source root, for messages. */
  readonly path: Uint8Array;
  /** Logical offset of the slice's first byte: 0 in the block where the file starts. */
  readonly fileOffset: number;
  readonly isLast: boolean;
}

/** The large file whose slices are coming in. */
interface LargeFile {
  readonly digest: FileDigest;
  readonly damagedRanges: Extent[];
  changed: boolean;
}

export class Sequencer {
  readonly #writer: ArchiveWriter;
  readonly #digest: Digest;
  readonly #slots: SlotPool;
  readonly #reporter: Reporter;
  readonly #totals: SourceTotals[];
  /** Undefined: nobody wants to hear of each entry. */
  readonly #paths: EntryPaths | undefined;
  #members = 0;
  #bytesDone = 0;
  #large: LargeFile | undefined;
  readonly #lost = new Map<number, LinkTarget | undefined>();
  /** The end of the chain of writes: each job waits for the one before. */
  #tail: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  constructor(writer: ArchiveWriter, digest: Digest, slots: SlotPool, reporter: Reporter, totals: SourceTotals[]) {
    this.#writer = writer;
    this.#digest = digest;
    this.#slots = slots;
    this.#reporter = reporter;
    this.#totals = totals;
    this.#paths = reporter.entry === undefined ? undefined : new EntryPaths(totals.length);
  }

  /** Members written so far. */
  get members(): number {
    return this.#members;
  }

  /** Takes a slot, or throws what made the sequencer fail. */
  acquireSlot(): Promise<number> {
    return this.#slots.acquire();
  }

  slotBuffer(slot: number): SharedArrayBuffer {
    return this.#slots.buffer(slot);
  }

  /** Appends a job to the order. */
  push(job: SubmittedJob): void {
    job.result.catch(() => {}); // Handled in its turn.
    this.#tail = this.#tail.then(() => this.#write(job));
  }

  /** Waits until all is written; throws the first failure. */
  async drain(): Promise<void> {
    await this.#tail;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #write(job: SubmittedJob): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#writeResult(job, await this.#packed(job));
    } catch (error) {
      this.#failure = { error };
      this.#slots.fail(error);
    } finally {
      const { links, result } = job;
      if (links !== undefined) result.then(links.release, links.release);
    }
  }

  /** The job's result, which knows what became of the objects of its links. */
  async #packed({ result, links }: SubmittedJob): Promise<PackOutput> {
    let output = await result;
    const lost = links?.objects.filter((object) => this.#lost.has(object)) ?? [];
    if (links !== undefined && lost.length > 0) {
      output = await links.packAgain(new Map(lost.map((object) => [object, this.#lost.get(object)])));
    }
    for (const [object, target] of output.lost ?? []) this.#lost.set(object, target);
    return output;
  }

  async #writeResult(job: SubmittedJob, output: PackOutput): Promise<void> {
    const { part, ancestorsOf, source } = job;
    const completes = part === undefined ? undefined : this.#takePart(source, part, output);
    for (const [i, block] of output.blocks.entries()) {
      const isLast = i === output.blocks.length - 1;
      const frame = block.frame ?? new Uint8Array(this.#slots.buffer(job.slot), 0, block.compressedLength);
      await this.#writer.writeBlock({
        frame,
        uncompressedLength: block.uncompressedLength,
        sourceId: source,
        rows: { count: block.entryCount, rows: block.rows, digests: block.digests },
        digest: block.digest,
        ancestors: ancestorsOf(block.directory),
        ...(part !== undefined && part.fileOffset > 0
          ? { continuation: { entry: part.entry, fileOffset: part.fileOffset } }
          : {}),
        ...(isLast && completes !== undefined ? { completes } : {}),
      });
      this.#bytesDone += block.uncompressedLength;
      this.#tellEntries({ count: block.entryCount, rows: block.rows, digests: block.digests });
    }
    this.#tellEntries(output.carried);
    this.#writer.carry(output.carried, source, ancestorsOf(output.carried.directory));
    this.#slots.release(job.slot);
    this.#count(source, output);
  }

  /** Tells of each entry that is in the archive now. */
  #tellEntries(outline: BlockOutline): void {
    if (this.#paths === undefined) return;
    for (const row of decodeBlockRows(outline, this.#digest.length)) {
      const path = this.#paths.next(row);
      if (row.kind !== EntryKind.absent) this.#reporter.entry?.(path);
    }
  }

  /** Adds a part of a large file; the last one gives the completion. */
  #takePart(source: number, part: LargePart, output: PackOutput): Completion | undefined {
    if (part.fileOffset === 0) this.#large = { digest: this.#digest.file(), damagedRanges: [], changed: false };
    const large = this.#large as LargeFile;
    const { leaves } = output;
    if (leaves !== undefined) {
      for (const [i, number] of leaves.numbers.entries()) {
        large.digest.addLeaf(number, leaves.digests.subarray(i * this.#digest.length, (i + 1) * this.#digest.length));
      }
    }
    large.damagedRanges.push(...output.damagedRanges);
    large.changed ||= output.changed;
    if (!part.isLast) return undefined;
    const { damagedRanges, changed } = large;
    const totals = this.#totals[source] as SourceTotals;
    if (changed) {
      totals.changed++;
      this.#warn({ code: "ENTRY_CHANGED", path: part.path, message: "it changed while it was read" });
    }
    if (damagedRanges.length > 0) {
      totals.damaged++;
      const bytes = damagedRanges.reduce((sum, { length }) => sum + length, 0);
      const message = `${bytes} bytes of it could not be read: zeros stand for them`;
      this.#warn({ code: "ENTRY_DAMAGED", path: part.path, message });
    }
    const damaged = damagedRanges.length > 0;
    return { entry: part.entry, damaged, changed, digest: large.digest.finish(part.size), damagedRanges };
  }

  #count(source: number, output: PackOutput): void {
    if (output.totals !== undefined) {
      const { members, ...totals } = output.totals;
      this.#members += members;
      const sum = this.#totals[source] as SourceTotals;
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
        sum[key] = Math.min(sum[key] + totals[key], Number.MAX_SAFE_INTEGER); // sparse files of petabytes
      }
    }
    for (const warning of output.warnings) this.#warn(warning);
    this.#reporter.progress({
      bytesDone: this.#bytesDone,
      bytesTotal: 0,
      entriesDone: this.#writer.entries,
      archiveBytes: this.#writer.offset,
    });
  }

  #warn(warning: Warning): void {
    this.#reporter.warning(warning);
  }
}
