// The pack job: from entry records to sealed, compressed blocks. Entries are opened and read in batches by the addon; the tar bytes of a block are put
// together in one reused buffer, which is compressed straight into the job's slot.
// Invariant: the bytes made depend on the job's input and on the files only, never on which worker ran it or when.

import { latin1 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { createEncoder, type FrameEncoder } from "../codec/codec.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { MemberEncoder } from "../format/member.ts";
import { RowEncoder } from "../format/segment.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { addon } from "../sys/addon.ts";
import { E2BIG, ENOSPC, systemError } from "../sys/errors.ts";
import { EntryBatch } from "./batch.ts";
import { ContentReader } from "./content.ts";
import type { EntryDraft } from "./draft.ts";
import { Drafter } from "./drafter.ts";
import { noDirectory, PackJob } from "./job.ts";
import { readGathered } from "../sys/gathered.ts";
import { entryLayout, gatherLayout, statLayout } from "../sys/layout.ts";
import { EntryKind } from "../model/entry.ts";
import { type OpenedEntries, PlainEntries } from "./plain.ts";
import { Relinker } from "./relink.ts";
import { type SealedTar, sealTar } from "./seal.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { Trees } from "./source-trees.ts";
import type { LostEntry, PackInput, PackOutput, SaveWorkerData, SliceInput, SourceConfig } from "./protocol.ts";

/** Times entries are read again because a file among them changed or failed, before they are kept as they are and marked. */
const attemptsMax = 3;
/** Entries opened at a time, and room for what the addon tells of them. */
const gatherCountMax = 512;
const gatherBytes = 1024 * 1024;
const gatherBytesMax = limits.blockBytes;

/** Entries placed in the block; `full`: the next one wants a new block. */
interface Run {
  /** Undefined: a plain entry. */
  readonly drafts: readonly (EntryDraft | undefined)[];
  readonly length: number;
  readonly full: boolean;
}

export class Packer {
  readonly #data: SaveWorkerData;
  readonly #encoder: FrameEncoder;
  readonly #digest: Digest;
  readonly #content: ContentReader;
  readonly #gatherCount: number;
  readonly #trees: Trees;
  /** Of the job in hand. */
  #tree: TreeSource = addon();
  readonly #members = new MemberEncoder();
  readonly #rows = new RowEncoder();
  readonly #plain: PlainEntries;
  #tar: Uint8Array;
  #gathered = new Uint8Array(gatherBytes);
  #gatheredView = new DataView(this.#gathered.buffer);
  /** Of the entries opened together: gather record (−1: none) and descriptor (−1: none, for hard links and absent ones). */
  readonly #records: Int32Array;
  readonly #fds: Int32Array;
  /** What gather() takes of those it opens, and which they are. */
  readonly #names: Uint8Array;
  readonly #dirFds: Int32Array;
  readonly #positions: Int32Array;
  readonly #openedFds: Int32Array;

  private constructor(data: SaveWorkerData, trees: Trees, encoder: FrameEncoder, digest: Digest) {
    this.#trees = trees;
    this.#data = data;
    this.#encoder = encoder;
    this.#digest = digest;
    this.#content = new ContentReader(digest, data.recheck);
    // All workers together open a quarter of what the process may; how many at a time does not show in the archive.
    const share = Math.floor(addon().openFileLimit() / (4 * data.workers));
    this.#gatherCount = Math.max(8, Math.min(gatherCountMax, share));
    this.#plain = new PlainEntries(digest, this.#gatherCount);
    this.#records = new Int32Array(this.#gatherCount);
    this.#fds = new Int32Array(this.#gatherCount);
    this.#names = new Uint8Array(this.#gatherCount * (2 + limits.nameBytes));
    this.#dirFds = new Int32Array(this.#gatherCount);
    this.#positions = new Int32Array(this.#gatherCount);
    this.#openedFds = new Int32Array(this.#gatherCount);
    this.#tar = new Uint8Array(data.compression.blockSize + 1024 * 1024);
  }

  static async create(data: SaveWorkerData, trees: Trees): Promise<Packer> {
    const { codec, level } = data.compression;
    return new Packer(data, trees, await createEncoder(codec, level), await createDigest(data.digest));
  }

  /** Packs whole entries into one block, or into several where their attributes are large. */
  pack(input: PackInput): JobResult<PackOutput> {
    this.#tree = this.#trees.of(input.source);
    const links = new Relinker(input, this.#tree);
    for (;;) {
      const { lost, result } = this.#pack(links.input());
      if (links.lose(lost)) continue;
      return links.lost.size === 0 ? result : { ...result, output: { ...result.output, lost: links.lost } };
    }
  }

  #pack(input: PackInput): { readonly lost: readonly LostEntry[]; readonly result: JobResult<PackOutput> } {
    const entries = new EntryBatch(input.entries, input.count);
    const { compression, recheck, sources } = this.#data;
    const { blockSize } = compression;
    const source = sources[input.source] as SourceConfig;
    const drafter = new Drafter(input, entries, blockSize, recheck, this.#tree, source);
    const job = new PackJob(input, entries, drafter, source.prefixLength);
    this.#plain.startJob(input, entries, blockSize);
    let length = 0;
    let next = 0;
    let attempt = 1;
    while (next < entries.length) {
      const count = this.#open(job, input, next);
      const run = this.#place(drafter, next, count, length);
      this.#content.read(this.#tree, this.#tar, run.drafts);
      if (!this.#plain.read(this.#tree, this.#tar)) continue;
      if (attempt < attemptsMax && job.hasTrouble(next, run.drafts)) {
        attempt++;
        continue;
      }
      attempt = 1;
      for (let i = 0; i < run.drafts.length; ) {
        const draft = run.drafts[i];
        if (draft === undefined) i += this.#plain.accept(job, this.#rows);
        else {
          job.accept(draft, this.#rows);
          i++;
        }
      }
      next += run.drafts.length;
      length = run.length;
      if (run.full) {
        job.addBlock(this.#seal(job.blocks.length, length, input.slot));
        length = 0;
      }
    }
    if (length > 0) job.addBlock(this.#seal(job.blocks.length, length, input.slot));
    return { lost: job.lost, result: job.finish(this.#rows) };
  }

  /** Packs one slice of a large file. */
  slice(input: SliceInput): JobResult<PackOutput> {
    let length = input.padding;
    for (let i = 1; i < input.segments.length; i += 2) length += input.segments[i] as number;
    this.#reserve(length, 0);
    const slice = this.#content.readSlice(this.#trees.of(input.source), this.#tar, input);
    this.#tar.fill(0, length - input.padding, length);
    const block = { ...this.#seal(0, length, input.slot), directory: noDirectory };
    const { numbers, digests } = slice.leaves;
    const output: PackOutput = {
      blocks: [block],
      carried: { rows: block.rows, digests: block.digests, count: 0, directory: noDirectory },
      leaves: slice.leaves,
      damagedRanges: slice.damagedRanges,
      changed: slice.changed,
      warnings: [],
      totals: undefined,
    };
    return { output, transfer: [numbers.buffer as ArrayBuffer, digests.buffer as ArrayBuffer] };
  }

  /** Opens entries from `start` on and takes their metadata; returns how many, which is as many as fitted. */
  #open(job: PackJob, input: PackInput, start: number): number {
    const wanted = Math.min(this.#gatherCount, job.entries.length - start);
    this.#records.fill(-1);
    this.#fds.fill(-1);
    const count = this.#gatherInput(job.entries, input.dirFds, start, wanted);
    if (count === 0) return wanted;
    let done = this.#gather(count);
    while (done === -ENOSPC && this.#gathered.length < gatherBytesMax) {
      this.#gathered = new Uint8Array(this.#gathered.length * 4);
      this.#gatheredView = new DataView(this.#gathered.buffer);
      done = this.#gather(count);
    }
    if (done === -ENOSPC) {
      const first = this.#positions[0] as number;
      job.giveUp(start + first, E2BIG); // more bytes of attributes than any member can hold
      return first + 1;
    }
    if (done < 0) throw systemError(-done, "open", job.pathOf(start));
    let at = 0;
    for (let i = 0; i < done; i++) {
      const position = this.#positions[i] as number;
      this.#records[position] = at;
      this.#fds[position] = this.#openedFds[i] as number;
      at += this.#gatheredView.getUint32(at + gatherLayout.length, true);
    }
    return done < count ? (this.#positions[done] as number) : wanted;
  }

  #gather(count: number): number {
    return this.#tree.gather(this.#dirFds, this.#names, 0, count, this.#gathered, this.#openedFds);
  }

  /** Puts together what gather() wants of `count` entries from `start`; returns how many of them it is to open. */
  #gatherInput(entries: EntryBatch, dirFds: Int32Array, start: number, count: number): number {
    const { bytes, view } = entries;
    const names = this.#names;
    const byInode = this.#tree.opensInodes === true;
    let opened = 0;
    let to = 0;
    for (let i = 0; i < count; i++) {
      const record = entries.offsetOf(start + i);
      const kind = bytes[record + entryLayout.kind] as EntryKind;
      if (kind === EntryKind.hardlink || kind === EntryKind.absent) continue;
      const dirFd = dirFds[view.getUint32(record + entryLayout.directory, true)] as number;
      if (dirFd < 0) continue;
      const length = byInode ? 0 : (bytes[record + entryLayout.nameLength] as number);
      const from = record + entryLayout.size;
      names[to++] = kind;
      names[to++] = length;
      for (let at = from; at < from + length; at++) names[to++] = bytes[at] as number;
      this.#dirFds[opened] = byInode ? view.getUint32(record + entryLayout.stat + statLayout.ino, true) : dirFd;
      this.#positions[opened] = i;
      opened++;
    }
    return opened;
  }

  /** Writes the headers of opened entries into the block and says where their data goes, until the block is over-full. */
  #place(drafter: Drafter, start: number, count: number, startLength: number): Run {
    const drafts: (EntryDraft | undefined)[] = [];
    const splitBytes = Math.min(2 * this.#data.compression.blockSize, limits.blockBytes / 2);
    const opened = { start, count, gathered: this.#gathered, records: this.#records, fds: this.#fds };
    let length = startLength;
    this.#plain.startRuns(opened);
    while (drafts.length < count) {
      if (!this.#data.recheck) length = this.#placePlain(opened, drafts, length, splitBytes);
      const i = drafts.length;
      if (i === count) break;
      const fd = this.#fds[i] as number;
      const record = this.#records[i] as number;
      const gathered = record < 0 ? undefined : readGathered(this.#gathered, this.#gatheredView, record);
      const draft = drafter.draft(start + i, gathered, fd);
      const end = this.#placeOne(draft, length);
      if (end > splitBytes && length > 0) {
        for (let j = i; j < count; j++) if ((this.#fds[j] as number) >= 0) this.#tree.close(this.#fds[j] as number);
        return { drafts, length, full: true };
      }
      length = end;
      drafts.push(draft);
    }
    return { drafts, length, full: false };
  }

  /** Places the next entries as long as they are plain; returns where they end in the block. */
  #placePlain(opened: OpenedEntries, drafts: (EntryDraft | undefined)[], length: number, splitBytes: number): number {
    for (;;) {
      const [placed, end, room] = this.#plain.place(opened, drafts.length, this.#tar, length, splitBytes);
      for (let i = 0; i < placed; i++) drafts.push(undefined);
      if (room === 0) return end;
      this.#reserve(room, end);
      length = end;
    }
  }

  /** Returns where the entry ends in the block. */
  #placeOne(draft: EntryDraft, length: number): number {
    if (draft.fields === undefined) return length;
    let dataOffset = this.#members.encode(this.#tar, length, draft.fields);
    if (dataOffset < 0) {
      this.#reserve(length + this.#members.size(draft.fields) + draft.stored + draft.padding, length);
      dataOffset = this.#members.encode(this.#tar, length, draft.fields);
    }
    for (const { name, reason } of this.#members.lost) {
      draft.attributesLost = true;
      draft.warnings.push({
        code: "ATTRIBUTE_LOST",
        message: `attribute ${latin1(name)}: ${reason}`,
      });
    }
    draft.offset = length;
    draft.dataOffset = dataOffset;
    const end = dataOffset + draft.stored + draft.padding;
    if (end - length > limits.blockBytes && draft.fields.attributes !== undefined) {
      draft.fields = { ...draft.fields, attributes: undefined };
      draft.attributesLost = true;
      draft.warnings.push({ code: "ATTRIBUTE_LOST", message: "its attributes and its content do not fit one block" });
      return this.#placeOne(draft, length);
    }
    this.#reserve(end, dataOffset);
    this.#tar.fill(0, end - draft.padding, end);
    return end;
  }

  /** The first block of a job goes into its slot. */
  #seal(index: number, length: number, slot: SharedArrayBuffer): SealedTar {
    return sealTar(this.#encoder, this.#digest, this.#rows, this.#tar, length, index === 0 ? slot : undefined);
  }

  /** Makes room for `length` tar bytes, keeping the first `keep`. */
  #reserve(length: number, keep: number): void {
    if (length <= this.#tar.length) return;
    const grown = new Uint8Array(Math.max(length, Math.min(this.#tar.length * 2, limits.blockBytes)));
    grown.set(this.#tar.subarray(0, keep));
    this.#tar = grown;
  }
}
