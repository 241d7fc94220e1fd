// One pack job in progress: its entries, the blocks sealed so far, its warnings and totals.

import type { Leaves } from "../codec/leaves.ts";
import type { RowEncoder } from "../format/segment.ts";
import { emptyTotals, totalOfKind } from "../format/summary.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import type { JobResult } from "../pipeline/protocol.ts";
import { errnoName } from "../sys/errors.ts";
import { entryFlags } from "../sys/layout.ts";
import type { EntryBatch } from "./batch.ts";
import { catalogRow } from "./describe.ts";
import type { EntryDraft } from "./draft.ts";
import type { Drafter } from "./drafter.ts";
import { memberName } from "./member-name.ts";
import { PlannedStats } from "./planned-stats.ts";
import type { LostEntry, PackedBlock, PackInput, PackOutput, PackTotals, PackWarning } from "./protocol.ts";
import type { SealedTar } from "./seal.ts";

const slash = 0x2f;

/** Directory of a block that starts with the root, or in which no entry starts. */
export const noDirectory = -1;

/** Plain entries that stand one behind the other. */
export interface PlainRun {
  /** Index of the first. */
  readonly start: number;
  readonly count: number;
  readonly files: number;
  /** Of content. */
  readonly bytes: number;
}

export class PackJob {
  readonly entries: EntryBatch;
  readonly blocks: PackedBlock[] = [];
  /** Entries with further names that could not be read. */
  readonly lost: LostEntry[] = [];
  readonly #input: PackInput;
  readonly #drafter: Drafter;
  readonly #stats: PlannedStats;
  readonly #prefixLength: number;
  readonly #warnings: PackWarning[] = [];
  readonly #totals: PackTotals = emptyPackTotals();
  readonly #damagedRanges: Extent[] = [];
  #leaves: Leaves | undefined;
  #changed = false;
  #accepted = 0;
  /** Directory of the first entry accepted since the last block. */
  #directory = noDirectory;

  constructor(input: PackInput, entries: EntryBatch, drafter: Drafter, prefixLength: number) {
    this.#input = input;
    this.entries = entries;
    this.#drafter = drafter;
    this.#stats = new PlannedStats(entries.view);
    this.#prefixLength = prefixLength;
  }

  /** Path below the source root, for messages. */
  pathOf(index: number): Uint8Array {
    const path = memberName(this.#input, this.entries.entry(index)).subarray(this.#prefixLength);
    return path.at(-1) === slash ? path.subarray(0, -1) : path;
  }

  /**
   * True when entries of a run should be read once more: one changed while it was read, or its content could not be read at once. That one is read
   * in parts then, and left out from there on if nothing of it can be read, since its header must not promise what does not follow.
   */
  hasTrouble(start: number, drafts: readonly (EntryDraft | undefined)[]): boolean {
    let trouble = false;
    for (let i = 0; i < drafts.length; i++) {
      const draft = drafts[i];
      if (draft === undefined || draft.large !== undefined) continue;
      if (draft.changed) trouble = true;
      if (draft.readErrno === 0) continue;
      const lost = draft.damagedRanges.reduce((sum, { length }) => sum + length, 0);
      if (lost > 0 && lost < draft.stored) continue;
      if (lost === 0) this.#drafter.readInParts(start + i);
      else this.#drafter.fail(start + i, draft.readErrno);
      trouble = true;
    }
    return trouble;
  }

  /** Leaves an entry out. */
  giveUp(index: number, errno: number): void {
    this.#drafter.fail(index, errno);
  }

  /** Takes an entry as read: its row, its warnings, its numbers. */
  accept(draft: EntryDraft, rows: RowEncoder): void {
    const index = this.#accepted++;
    if (rows.count === 0 && draft.entry.depth > 0) this.#directory = draft.entry.directory;
    if (draft.readErrno !== 0 && draft.damagedRanges.length === 0) {
      draft.damagedRanges.push({ offset: 0, length: draft.large?.sliceEnd ?? draft.size });
    }
    for (const warning of draft.warnings) this.#warn(index, warning);
    if (draft.kind === EntryKind.absent && (draft.entry.flags & entryFlags.linked) !== 0) {
      this.lost.push({ entry: this.#input.firstEntry + index, errno: draft.absentErrno });
    }
    if (draft.large === undefined) this.#warnOfContent(index, draft);
    else {
      this.#leaves = draft.large.leaves;
      this.#damagedRanges.push(...draft.damagedRanges);
      this.#changed = draft.changed;
    }
    rows.add(catalogRow(draft, this.#stats));
    addTo(this.#totals, draft);
  }

  /** Takes plain entries as read, whose rows are with the others already: their numbers. */
  acceptPlain({ start, count, files, bytes }: PlainRun, isFirst: boolean): void {
    this.#accepted += count;
    if (isFirst) this.#directory = this.entries.entry(start).directory;
    const totals = this.#totals;
    totals.entries += count;
    totals.files += files;
    totals.directories += count - files;
    totals.members += count;
    totals.bytes += bytes;
    totals.dataBytes += bytes;
  }

  /** Takes the block of all entries accepted since the one before. */
  addBlock(block: SealedTar): void {
    this.blocks.push({ ...block, directory: this.#directory });
    this.#directory = noDirectory;
  }

  finish(rows: RowEncoder): JobResult<PackOutput> {
    const output: PackOutput = {
      blocks: this.blocks,
      carried: { ...rows.finish(), directory: this.#directory },
      ...(this.#leaves === undefined ? {} : { leaves: this.#leaves }),
      damagedRanges: this.#damagedRanges,
      changed: this.#changed,
      warnings: this.#warnings,
      totals: this.#totals,
    };
    const transfer = new Set<ArrayBuffer>();
    for (const { frame, rows: encoded, digests } of this.blocks) {
      if (frame !== undefined) transfer.add(frame.buffer as ArrayBuffer);
      if (encoded.length > 0) transfer.add(encoded.buffer as ArrayBuffer);
      if (digests.length > 0) transfer.add(digests.buffer as ArrayBuffer);
    }
    return { output, transfer: [...transfer] };
  }

  #warnOfContent(index: number, draft: EntryDraft): void {
    if (draft.changed) {
      this.#warn(index, {
        code: "ENTRY_CHANGED",
        message: "it changed while it was read; the archive holds what was read last",
      });
    }
    if (draft.readErrno !== 0) {
      const errno = errnoName(draft.readErrno);
      this.#warn(index, { code: "ENTRY_DAMAGED", message: `parts could not be read and are zeros: ${errno}`, errno });
    }
  }

  #warn(index: number, warning: Omit<PackWarning, "entry" | "path">): void {
    this.#warnings.push({ ...warning, entry: this.#input.firstEntry + index, path: this.pathOf(index) });
  }
}

export function emptyPackTotals(): PackTotals {
  return { ...emptyTotals(), members: 0 };
}

function addTo(totals: PackTotals, draft: EntryDraft): void {
  totals.entries++;
  totals[totalOfKind[draft.kind]]++;
  if (draft.fields !== undefined) totals.members++;
  if (draft.attributesLost) totals.attributesLost++;
  if (draft.subvolume !== undefined) totals.subvolumes++;
  // What befell a large file is counted once, when its last slice is in.
  if (draft.changed && draft.large === undefined) totals.changed++;
  if (draft.damagedRanges.length > 0 && draft.large === undefined) totals.damaged++;
  if (draft.kind !== EntryKind.file) return;
  totals.bytes += draft.size;
  totals.dataBytes += draft.dataBytes;
}
