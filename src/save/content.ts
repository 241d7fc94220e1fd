// Reading file content into tar bytes, and its digest. Ranges that cannot be read become zeros and are named; a file that is shorter than planned is
// filled with zeros, since its size stands in the archive already.

import { equalBytes } from "../base/bytes.ts";
import type { Digest } from "../codec/digest.ts";
import { digestLeaves, digestOfLeaves, type Leaves } from "../codec/leaves.ts";
import { EntryKind, type Extent } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import { statLayout } from "../sys/layout.ts";
import type { EntryDraft } from "./draft.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { SliceInput } from "./protocol.ts";

export interface SliceContent {
  readonly leaves: Leaves;
  readonly damagedRanges: readonly Extent[];
  readonly changed: boolean;
}

/** Fills the data of placed entries into the tar bytes of a block, with digests. One per worker. */
export class ContentReader {
  readonly #digest: Digest;
  readonly #recheck: boolean;

  /** `recheck`: look after reading whether the file is still as it was. */
  constructor(digest: Digest, recheck: boolean) {
    this.#digest = digest;
    this.#recheck = recheck;
  }

  /** Reads the content of all files of a run and closes them. */
  read(tree: TreeSource, tar: Uint8Array, drafts: readonly (EntryDraft | undefined)[]): void {
    const plain: EntryDraft[] = [];
    for (const draft of drafts) {
      if (draft === undefined) continue;
      if (draft.large !== undefined) this.#readLarge(tree, tar, draft);
      else if (draft.kind !== EntryKind.file)
        close(tree, draft); // absent: its content could not be read
      else if (draft.segments !== undefined) this.#readRuns(tree, tar, draft, draft.segments);
      else if (draft.fd >= 0) plain.push(draft);
    }
    if (plain.length > 0) this.#readPlain(tree, tar, plain);
  }

  /** Reads one slice of a large file to the start of the tar bytes. */
  readSlice(tree: TreeSource, tar: Uint8Array, input: SliceInput): SliceContent {
    const outcome: ReadOutcome = { damaged: [], short: false, errno: 0 };
    const stat = new Uint8Array(statLayout.size);
    const fd = openPlanned(tree, input, stat);
    if (fd < 0) outcome.damaged.push({ offset: input.start, length: input.end - input.start });
    readSegments(tree, fd, tar, 0, input.segments, outcome);
    let changed = outcome.short;
    if (fd >= 0) {
      changed ||= this.#recheck && (tree.statAt(fd, noName, stat) < 0 || isChanged(stat, input.stat));
      tree.close(fd);
    }
    const leaves = digestLeaves(this.#digest, tar, 0, input.segments, input.start, input.end);
    return { leaves, damagedRanges: outcome.damaged, changed };
  }

  #readPlain(tree: TreeSource, tar: Uint8Array, drafts: readonly EntryDraft[]): void {
    const count = drafts.length;
    const native = this.#digest.name === "xxh128";
    const fds = Int32Array.from(drafts, (draft) => draft.fd);
    const sizes = Float64Array.from(drafts, (draft) => draft.stored);
    const offsets = Float64Array.from(drafts, (draft) => draft.dataOffset);
    const digests = new Uint8Array(native ? count * this.#digest.length : 0);
    const status = new Float64Array(count);
    const stats = new Uint8Array(this.#recheck ? count * statLayout.size : 0);
    tree.readFiles(fds, sizes, offsets, count, tar, digests, status, stats);
    const view = new DataView(stats.buffer);
    for (let i = 0; i < count; i++) {
      const draft = drafts[i] as EntryDraft;
      const read = status[i] as number;
      draft.fd = -1;
      if (read < 0) draft.readErrno = -read;
      else if (read < draft.stored) draft.changed = true;
      if (this.#recheck) draft.changed ||= isWritten(view, i * statLayout.size, draft);
      draft.digest = native
        ? digests.subarray(i * 16, i * 16 + 16)
        : this.#digestOf(tar, draft, Float64Array.of(0, draft.stored));
    }
  }

  #readRuns(tree: TreeSource, tar: Uint8Array, draft: EntryDraft, segments: Float64Array): void {
    this.#readOpen(tree, tar, draft, segments);
    draft.digest = this.#digestOf(tar, draft, segments);
  }

  /** Reads data runs of a draft's file, and closes it. */
  #readOpen(tree: TreeSource, tar: Uint8Array, draft: EntryDraft, segments: Float64Array): void {
    const outcome: ReadOutcome = { damaged: [], short: false, errno: 0 };
    readSegments(tree, draft.fd, tar, draft.dataOffset, segments, outcome);
    draft.damagedRanges = outcome.damaged;
    if (outcome.damaged.length > 0) draft.readErrno = outcome.errno;
    draft.changed ||= outcome.short;
    if (this.#recheck && draft.fd >= 0) {
      const stat = new Uint8Array(statLayout.size);
      tree.statAt(draft.fd, noName, stat);
      draft.changed ||= isWritten(new DataView(stat.buffer), 0, draft);
    }
    close(tree, draft);
  }

  #digestOf(tar: Uint8Array, draft: EntryDraft, segments: Float64Array): Uint8Array {
    const leaves = digestLeaves(this.#digest, tar, draft.dataOffset, segments, 0, draft.size);
    return digestOfLeaves(this.#digest, leaves, draft.size);
  }

  /** The first slice of a file of several blocks. */
  #readLarge(tree: TreeSource, tar: Uint8Array, draft: EntryDraft): void {
    const large = draft.large as NonNullable<EntryDraft["large"]>;
    if (draft.readErrno !== 0) close(tree, draft);
    const opened = draft.fd >= 0;
    this.#readOpen(tree, tar, draft, large.segments);
    if (!opened) draft.damagedRanges = [{ offset: 0, length: large.sliceEnd }];
    large.leaves = digestLeaves(this.#digest, tar, draft.dataOffset, large.segments, 0, large.sliceEnd);
  }
}

const noName = new Uint8Array(0);

function close(tree: TreeSource, draft: EntryDraft): void {
  if (draft.fd >= 0) tree.close(draft.fd);
  draft.fd = -1;
}

/** Opens the file of a slice if it is still the one the plan saw; −1 if not. */
function openPlanned(tree: TreeSource, input: SliceInput, stat: Uint8Array): number {
  const fd = openQuietly(input.dirFd, input.name, 0, tree);
  if (fd < 0) return -1;
  if (tree.statAt(fd, noName, stat) >= 0 && isSameField(stat, input.stat, statLayout.ino, 8)) return fd;
  tree.close(fd);
  return -1;
}

/** Size or times are others than the plan saw. */
function isChanged(found: Uint8Array, planned: Uint8Array): boolean {
  const { sizeBytes, mtime, mtimeNs, ctime, ctimeNs } = statLayout;
  return (
    [sizeBytes, mtime, ctime].some((field) => !isSameField(found, planned, field, 8)) ||
    [mtimeNs, ctimeNs].some((field) => !isSameField(found, planned, field, 4))
  );
}

function isSameField(left: Uint8Array, right: Uint8Array, field: number, length: number): boolean {
  return equalBytes(left.subarray(field, field + length), right.subarray(field, field + length));
}

/** Size or modification time are others than when the file was opened. */
function isWritten(stats: DataView, at: number, { gathered }: EntryDraft): boolean {
  return (
    gathered !== undefined &&
    (Number(stats.getBigInt64(at + statLayout.sizeBytes, true)) !== gathered.size ||
      Number(stats.getBigInt64(at + statLayout.mtime, true)) !== gathered.mtime ||
      stats.getUint32(at + statLayout.mtimeNs, true) !== gathered.mtimeNs)
  );
}

/** Reads data runs one after the other into tar bytes; without a descriptor they are zeros. */
function readSegments(
  tree: TreeSource,
  fd: number,
  tar: Uint8Array,
  offset: number,
  runs: Float64Array,
  outcome: ReadOutcome,
): void {
  let at = offset;
  for (let i = 0; i < runs.length; i += 2) {
    const length = runs[i + 1] as number;
    if (fd < 0) tar.fill(0, at, at + length);
    else readRange(fd, tar, at, length, runs[i] as number, outcome, tree);
    at += length;
  }
}

export interface ReadOutcome {
  /** Ranges of the file (logical) that gave an error. */
  readonly damaged: Extent[];
  /** The file ended before the range did. */
  short: boolean;
  errno: number;
}

/** After an error the rest is tried in pieces of this size, so that one bad sector costs 4 KiB and not a block. */
const retryBytes = 4096;

/** Reads [position, position + length) of the file into `target` at `offset`. */
export function readRange(
  fd: number,
  target: Uint8Array,
  offset: number,
  length: number,
  position: number,
  outcome: ReadOutcome,
  tree: Pick<TreeSource, "read"> = addon(),
): void {
  const read = tree.read(fd, target, offset, length, position);
  if (read === length) return;
  if (read >= 0) {
    target.fill(0, offset + read, offset + length);
    outcome.short = true;
    return;
  }
  outcome.errno = -read;
  for (let done = 0; done < length; done += retryBytes) {
    const part = Math.min(retryBytes, length - done);
    const got = tree.read(fd, target, offset + done, part, position + done);
    if (got === part) continue;
    target.fill(0, offset + done + Math.max(got, 0), offset + done + part);
    if (got >= 0) outcome.short = true;
    else addRange(outcome.damaged, position + done, part);
  }
}

function addRange(ranges: Extent[], offset: number, length: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.length === offset) {
    ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length };
  } else ranges.push({ offset, length });
}
