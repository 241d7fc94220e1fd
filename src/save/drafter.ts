// Makes drafts: from what the plan knew of an entry (batch record) and what opening it told (gather record). How it is told in the archive is in
// describe.ts.

import { limits } from "../base/limits.ts";
import { EntryKind, type Extent, type SharedExtent, type Subvolume } from "../model/entry.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY } from "../sys/constants.ts";
import { dataSegments, sumOfSegments } from "../sys/data-runs.ts";
import { ESTALE } from "../sys/errors.ts";
import { fileExtents, type Gathered } from "../sys/gathered.ts";
import { entryFlags, readInt64, statLayout } from "../sys/layout.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import { settlePlaceholder, subvolumeOf } from "../sys/subvolume.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { EntryBatch, ReadEntry } from "./batch.ts";
import { memberFields } from "./describe.ts";
import type { EntryDraft } from "./draft.ts";
import { absentWarning, attributeLosses, attributeWarning, directoryWarnings, type DraftWarning } from "./loss.ts";
import { PlannedStats } from "./planned-stats.ts";
import type { PackInput, SourceConfig } from "./protocol.ts";

/** Most segments a sparse file within one block may have. */
const smallMapLimit = limits.blockSizeMax / 512;

/** A shared extent may reach beyond the end of its file, to the end of its last block (docs/FORMAT.md, section 6.1). */
const fileBlockMax = 65_536;

const noBytes = new Uint8Array(0);

export class Drafter {
  readonly #input: PackInput;
  readonly #entries: EntryBatch;
  readonly #view: DataView;
  readonly #stats: PlannedStats;
  /** Entries that turned out to be unreadable: index → errno. */
  readonly #failed = new Map<number, number>();
  /** Entries of which a read failed: what can be read of them is to be found out. */
  readonly #inParts = new Set<number>();
  readonly #largeBytes: number;
  readonly #live: boolean;
  readonly #tree: TreeSource;
  readonly #source: SourceConfig;

  /** `live`: the source may be written meanwhile. */
  constructor(
    input: PackInput,
    entries: EntryBatch,
    largeBytes: number,
    live: boolean,
    tree: TreeSource,
    source: SourceConfig,
  ) {
    this.#tree = tree;
    this.#live = live;
    this.#source = source;
    this.#input = input;
    this.#entries = entries;
    this.#view = entries.view;
    this.#stats = new PlannedStats(entries.view);
    this.#largeBytes = largeBytes;
  }

  /** Entry `index` is left out of the archive from now on. */
  fail(index: number, errno: number): void {
    this.#failed.set(index, errno);
  }

  /** The content of entry `index` is read run by run from now on, past what cannot be read. */
  readInParts(index: number): void {
    this.#inParts.add(index);
  }

  draft(index: number, gathered: Gathered | undefined, fd: number): EntryDraft {
    const entry = this.#entries.entry(index);
    const large = index === this.#entries.length - 1 ? this.#input.large : undefined;
    let errno = this.#errnoOf(index, entry, gathered);
    // Its later slices are those of the planned file only.
    if (errno === 0 && large !== undefined && gathered !== undefined && this.#isOther(entry, gathered)) errno = ESTALE;
    // A file of several blocks is in the plan already: what cannot be read of it becomes a damaged range.
    if (errno !== 0 && large === undefined && entry.kind !== EntryKind.directory) return this.#absent(entry, errno, fd);
    const warnings: DraftWarning[] = [];
    const at = entry.statOffset;
    if (entry.kind === EntryKind.directory) this.#settle(entry);
    const view = this.#view;
    let size = 0;
    let changed = false;
    let segments: Float64Array | undefined;
    let unwritten: readonly Extent[] | undefined;
    let shared: readonly SharedExtent[] | undefined;
    if (entry.kind === EntryKind.file) {
      size = readInt64(view, at + statLayout.sizeBytes);
      if (this.#live && fd >= 0 && gathered !== undefined && !this.#isAsPlanned(entry, gathered)) {
        changed = large !== undefined || !this.#renew(entry, gathered, fd);
        if (large === undefined) size = gathered.size;
      }
      if (large === undefined && size > this.#largeBytes) {
        // It grew over what one block holds: its beginning is kept.
        size = this.#largeBytes;
        changed = true;
      }
      if (fd >= 0 && gathered !== undefined) {
        const holes = gathered.firstHole >= 0 && gathered.firstHole < size;
        if (gathered.unwritten || gathered.shared || holes) {
          ({ unwritten, shared } = fileExtents(fd, this.#live, this.#tree));
        }
        if (large === undefined && (holes || unwritten !== undefined)) {
          segments = dataSegments(fd, size, smallMapLimit, unwritten, this.#tree);
        }
      }
    }
    const wholeMap = large === undefined ? segments : large.segments;
    const sparse = wholeMap !== undefined && !isDense(wholeMap, size);
    if (entry.kind === EntryKind.directory) warnings.push(...directoryWarnings(entry.errno, errno));
    const lost = this.#attributesLost(at, gathered, warnings) || errno !== 0;
    const sliceEnd = large?.sliceEnd ?? size;
    const slice = wholeMap === undefined ? undefined : clip(wholeMap, sliceEnd);
    const stored = entry.kind === EntryKind.file ? (slice === undefined ? size : sumOfSegments(slice)) : 0;
    const ends = large === undefined || sliceEnd >= size;
    return {
      entry,
      gathered,
      kind: entry.kind,
      fields: memberFields(this.#input, this.#stats, index, entry, gathered, size, sparse ? wholeMap : undefined),
      size,
      stored,
      padding: ends ? -stored & 511 : 0,
      dataBytes: wholeMap === undefined ? stored : sumOfSegments(wholeMap),
      segments: segments ?? (this.#inParts.has(index) ? Float64Array.of(0, size) : undefined),
      unwritten,
      shared: this.#sharedIn(shared, entry.statOffset, size),
      large: large === undefined ? undefined : { segments: slice as Float64Array, sliceEnd },
      exactMap: large?.exactMap,
      subvolume: this.#subvolume(entry),
      attributesLost: lost,
      absentErrno: 0,
      warnings,
      fd,
      offset: 0,
      dataOffset: 0,
      changed,
      readErrno: large !== undefined ? errno : 0,
      damagedRanges: [],
      digest: undefined,
    };
  }

  /** A directory whose times are none of its own gets those of the one above. */
  #settle({ directory, name, statOffset }: ReadEntry): void {
    if (name.length === 0 || this.#source.block !== undefined) return;
    const stat = this.#input.entries.subarray(statOffset, statOffset + statLayout.size);
    settlePlaceholder(stat, this.#input.dirFds[directory] as number);
  }

  #subvolume(entry: ReadEntry): Subvolume | undefined {
    if ((entry.flags & entryFlags.subvolume) === 0 || this.#source.block !== undefined) return undefined;
    const fd = openQuietly(this.#input.dirFds[entry.directory] as number, entry.name, O_DIRECTORY);
    if (fd < 0) return undefined; // told as an attribute that is lost
    const found = subvolumeOf(fd);
    addon().close(fd);
    if (found === undefined) return undefined;
    const { id, ...subvolume } = found;
    return { ...subvolume, isDefault: id === this.#source.defaultSubvolume };
  }

  /** The shared extents that begin in the first `size` bytes; none on other mounts than the source's, whose addresses are others. */
  #sharedIn(
    extents: readonly SharedExtent[] | undefined,
    statOffset: number,
    size: number,
  ): readonly SharedExtent[] | undefined {
    if (extents === undefined) return undefined;
    if (this.#view.getBigUint64(statOffset + statLayout.mountId, true) !== this.#source.mountId) return undefined;
    const end = Math.ceil(size / fileBlockMax) * fileBlockMax;
    const inside = extents
      .filter(({ offset }) => offset < size)
      .map((extent) => ({ ...extent, length: Math.min(extent.length, end - extent.offset) }));
    return inside.length === 0 ? undefined : inside;
  }

  /** Why the entry cannot be opened; 0: it can. A hard link has nothing to be opened. */
  #errnoOf(index: number, entry: ReadEntry, gathered: Gathered | undefined): number {
    if (entry.kind === EntryKind.absent) return entry.errno;
    if (entry.kind === EntryKind.hardlink) return 0;
    return this.#failed.get(index) ?? gathered?.errno ?? Math.max(0, -(this.#input.dirFds[entry.directory] as number));
  }

  /** Another file has taken the place of the one the plan saw. */
  #isOther(entry: ReadEntry, { ino }: Gathered): boolean {
    return this.#view.getBigUint64(entry.statOffset + statLayout.ino, true) !== ino;
  }

  /** The opened file is the one the plan saw, and as it was then. */
  #isAsPlanned(entry: ReadEntry, gathered: Gathered): boolean {
    const view = this.#view;
    const at = entry.statOffset;
    const { size, mtime, mtimeNs } = gathered;
    return (
      !this.#isOther(entry, gathered) &&
      readInt64(view, at + statLayout.sizeBytes) === size &&
      readInt64(view, at + statLayout.mtime) === mtime &&
      view.getUint32(at + statLayout.mtimeNs, true) === mtimeNs
    );
  }

  /**
   * Takes the stat of the opened file in place of the planned one, so that content, owner and mode belong together. False: it is another file, and
   * later entries are links to the planned one.
   */
  #renew(entry: ReadEntry, gathered: Gathered, fd: number): boolean {
    if ((entry.flags & entryFlags.linked) !== 0 && this.#isOther(entry, gathered)) return false;
    const { statOffset } = entry;
    return this.#tree.statAt(fd, noBytes, this.#input.entries.subarray(statOffset, statOffset + statLayout.size)) >= 0;
  }

  #absent(entry: ReadEntry, errno: number, fd: number): EntryDraft {
    return {
      entry,
      gathered: undefined,
      kind: EntryKind.absent,
      fields: undefined,
      size: 0,
      stored: 0,
      padding: 0,
      dataBytes: 0,
      segments: undefined,
      unwritten: undefined,
      shared: undefined,
      large: undefined,
      exactMap: undefined,
      subvolume: undefined,
      attributesLost: false,
      absentErrno: errno,
      warnings: [absentWarning(errno)],
      fd,
      offset: 0,
      dataOffset: 0,
      changed: false,
      readErrno: 0,
      damagedRanges: [],
      digest: undefined,
    };
  }

  #attributesLost(at: number, gathered: Gathered | undefined, warnings: DraftWarning[]): boolean {
    if (gathered === undefined || gathered.errno !== 0) return false;
    if (this.#stats.hasStrangeTime(at)) {
      warnings.push(attributeWarning("one of its times is out of the range of archives, and was cut"));
    }
    warnings.push(...attributeLosses(gathered));
    return warnings.some(({ code }) => code === "ATTRIBUTE_LOST");
  }
}

function isDense(segments: Float64Array, size: number): boolean {
  return segments.length === 2 && segments[0] === 0 && segments[1] === size;
}

/** The runs below `end`. */
function clip(segments: Float64Array, end: number): Float64Array {
  const clipped: number[] = [];
  for (let i = 0; i < segments.length && (segments[i] as number) < end; i += 2) {
    const offset = segments[i] as number;
    clipped.push(offset, Math.min(segments[i + 1] as number, end - offset));
  }
  return Float64Array.from(clipped);
}
