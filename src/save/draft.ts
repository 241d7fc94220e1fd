// A draft: one entry on its way into a block, from what the plan knew (batch record) and what opening it told (gather record) to the fields
// of its tar header and of its catalog row.

import { limits } from "../base/limits.ts";
import type { Leaves } from "../codec/leaves.ts";
import type { MemberFields } from "../format/member.ts";
import type { CatalogRow } from "../model/catalog.ts";
import {
  type Device,
  EntryKind,
  type Extent,
  type SharedExtent,
  type Subvolume,
  type Timestamp,
} from "../model/entry.ts";
import type { WarningCode } from "../model/events.ts";
import { ESTALE, errnoName } from "../sys/errors.ts";
import { readInt64, statLayout } from "../sys/layout.ts";
import { batchFlags, type EntryBatch, type ReadEntry } from "./batch.ts";
import { dataSegments, segmentsToExtents, sumOfSegments } from "../sys/data-runs.ts";
import { fileExtents, type Gathered } from "../sys/gathered.ts";
import { addon } from "../sys/addon.ts";
import { openQuietly } from "../sys/open-quietly.ts";
import { O_DIRECTORY } from "../sys/constants.ts";
import { settlePlaceholder, subvolumeOf } from "../sys/subvolume.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { PackInput, SourceConfig } from "./protocol.ts";

export interface DraftWarning {
  readonly code: WarningCode;
  readonly message: string;
  readonly errno?: string;
}

export interface EntryDraft {
  readonly entry: ReadEntry;
  /** Tar header; undefined for entries without member. */
  fields: MemberFields | undefined;
  readonly gathered: Gathered | undefined;
  /** Kind as it will stand in the catalog (absent when it could not be read). */
  readonly kind: EntryKind;
  /** Logical size of a file. */
  readonly size: number;
  /** Bytes of data that follow the header in this block, and the zeros after them. */
  readonly stored: number;
  readonly padding: number;
  /** Bytes of the file that are data, in all its blocks. */
  readonly dataBytes: number;
  /** Data runs of a file in one block that is read run by run. */
  readonly segments: Float64Array | undefined;
  readonly unwritten: readonly Extent[] | undefined;
  readonly shared: readonly SharedExtent[] | undefined;
  readonly large: { readonly segments: Float64Array; readonly sliceEnd: number; leaves?: Leaves } | undefined;
  readonly exactMap: Float64Array | undefined;
  readonly subvolume: Subvolume | undefined;
  attributesLost: boolean;
  readonly absentErrno: number;
  readonly warnings: DraftWarning[];
  fd: number;
  /** Offset of the first header and of the data in the block. */
  offset: number;
  dataOffset: number;
  changed: boolean;
  readErrno: number;
  damagedRanges: Extent[];
  digest: Uint8Array | undefined;
}

/** Most segments a sparse file within one block may have. */
const smallMapLimit = limits.blockSizeMax / 512;

/** A shared extent may reach beyond the end of its file, to the end of its last block (docs/FORMAT.md, section 6.1). */
const fileBlockMax = 65_536;

const noBytes = new Uint8Array(0);

export class Drafter {
  readonly #input: PackInput;
  readonly #entries: EntryBatch;
  readonly #view: DataView;
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

  /** Member name: directory, name, and a slash for directories. */
  memberName(entry: ReadEntry): Uint8Array {
    const { dirPaths, dirPathEnds } = this.#input;
    const start = entry.directory === 0 ? 0 : (dirPathEnds[entry.directory - 1] as number);
    const end = dirPathEnds[entry.directory] as number;
    const slash = isDirectory(entry.kind) && entry.name.length > 0 ? 1 : 0;
    const name = new Uint8Array(end - start + entry.name.length + slash);
    name.set(dirPaths.subarray(start, end));
    name.set(entry.name, end - start);
    if (slash === 1) name[name.length - 1] = 0x2f;
    return name;
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
    if (entry.kind === EntryKind.directory && entry.errno !== 0) {
      const name = errnoName(entry.errno);
      const vanished = "the directory vanished while the source was read, its content is missing";
      warnings.push(
        name === "ENOENT"
          ? { code: "ENTRY_VANISHED", message: vanished, errno: name }
          : {
              code: "ENTRY_UNREADABLE",
              message: `the directory could not be read, its content is missing: ${name}`,
              errno: name,
            },
      );
    }
    if (entry.kind === EntryKind.directory && entry.errno === 0 && errno !== 0) {
      const name = errnoName(errno);
      warnings.push(
        name === "ENOENT"
          ? { code: "ENTRY_VANISHED", message: "the directory vanished while the source was read", errno: name }
          : { code: "ATTRIBUTE_LOST", message: `its attributes could not be read: ${name}`, errno: name },
      );
    }
    const lost = this.#lostAttributes(at, gathered, warnings) || errno !== 0;
    const sliceEnd = large?.sliceEnd ?? size;
    const slice = wholeMap === undefined ? undefined : clip(wholeMap, sliceEnd);
    const stored = entry.kind === EntryKind.file ? (slice === undefined ? size : sumOfSegments(slice)) : 0;
    const ends = large === undefined || sliceEnd >= size;
    return {
      entry,
      gathered,
      kind: entry.kind,
      fields: this.#fields(index, entry, gathered, size, sparse ? wholeMap : undefined),
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
    if ((entry.flags & batchFlags.subvolume) === 0 || this.#source.block !== undefined) return undefined;
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
    if ((entry.flags & batchFlags.linked) !== 0 && this.#isOther(entry, gathered)) return false;
    const { statOffset } = entry;
    return this.#tree.statAt(fd, noBytes, this.#input.entries.subarray(statOffset, statOffset + statLayout.size)) >= 0;
  }

  #absent(entry: ReadEntry, errno: number, fd: number): EntryDraft {
    const name = errnoName(errno);
    const vanished = name === "ENOENT";
    const warning: DraftWarning = vanished
      ? {
          code: "ENTRY_VANISHED",
          message: "it vanished while the source was read",
          errno: name,
        }
      : {
          code: "ENTRY_UNREADABLE",
          message: `it could not be read and is not in the archive: ${name}`,
          errno: name,
        };
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
      warnings: [warning],
      fd,
      offset: 0,
      dataOffset: 0,
      changed: false,
      readErrno: 0,
      damagedRanges: [],
      digest: undefined,
    };
  }

  #lostAttributes(at: number, gathered: Gathered | undefined, warnings: DraftWarning[]): boolean {
    if (gathered === undefined || gathered.errno !== 0) return false;
    if (this.#hasStrangeTime(at)) {
      warnings.push({
        code: "ATTRIBUTE_LOST",
        message: "one of its times is out of the range of archives, and was cut",
      });
    }
    warnOfLoss(warnings, "extended attributes", gathered.attributeError);
    warnOfLoss(warnings, "inode flags", gathered.flagsError);
    return warnings.some(({ code }) => code === "ATTRIBUTE_LOST");
  }

  /** A time that no archive holds: its seconds over 2^53, or nanoseconds that no clock has (damaged inodes). */
  #hasStrangeTime(at: number): boolean {
    return (
      this.#isStrange(at + statLayout.mtime, at + statLayout.mtimeNs) ||
      this.#isStrange(at + statLayout.atime, at + statLayout.atimeNs) ||
      this.#isStrange(at + statLayout.btime, at + statLayout.btimeNs)
    );
  }

  #isStrange(secondsAt: number, nanosecondsAt: number): boolean {
    const high = this.#view.getInt32(secondsAt + 4, true);
    return high > 0x1f_ffff || high <= -0x20_0000 || this.#view.getUint32(nanosecondsAt, true) > nanosecondsMax;
  }

  #fields(
    index: number,
    entry: ReadEntry,
    gathered: Gathered | undefined,
    size: number,
    segments: Float64Array | undefined,
  ): MemberFields | undefined {
    if (entry.kind === EntryKind.socket) return undefined;
    const view = this.#view;
    const at = entry.statOffset;
    const isFile = entry.kind === EntryKind.file;
    const fresh = isFile && gathered !== undefined && gathered.errno === 0 && this.#input.large === undefined;
    const linkPath =
      entry.kind === EntryKind.hardlink
        ? entry.linkPath
        : entry.kind === EntryKind.symlink
          ? gathered?.link
          : undefined;
    const { seconds, nanoseconds } = fresh
      ? legalTime(gathered.mtime, gathered.mtimeNs)
      : this.#time(at + statLayout.mtime, at + statLayout.mtimeNs);
    return {
      kind: entry.kind,
      path: this.memberName(entry),
      mode: view.getUint32(at + statLayout.mode, true) & 0o7777,
      uid: this.#id(at + statLayout.uid),
      gid: this.#id(at + statLayout.gid),
      size: isFile ? size : 0,
      mtimeSeconds: seconds,
      mtimeNanoseconds: nanoseconds,
      entryNumber: this.#input.firstEntry + index,
      linkPath,
      device: isDevice(entry.kind) ? this.#device(at) : undefined,
      attributes: gathered?.attributes,
      sparse: segments === undefined ? undefined : { realSize: size, segments: segmentsToExtents(segments) },
    };
  }

  #device(at: number): Device {
    return {
      major: this.#view.getUint32(at + statLayout.rdevMajor, true),
      minor: this.#view.getUint32(at + statLayout.rdevMinor, true),
    };
  }

  /** The catalog row of a draft whose content has been read. */
  row(draft: EntryDraft): CatalogRow {
    const { entry, gathered, kind } = draft;
    const view = this.#view;
    const at = entry.statOffset;
    const fields = draft.fields;
    const mtime =
      fields === undefined
        ? this.#time(at + statLayout.mtime, at + statLayout.mtimeNs)
        : { seconds: fields.mtimeSeconds, nanoseconds: fields.mtimeNanoseconds };
    const hasBirth = (view.getUint32(at + statLayout.mask, true) & 0x800) !== 0;
    const isLink = kind === EntryKind.symlink;
    const damaged = draft.damagedRanges.length > 0 || (kind === EntryKind.directory && entry.errno !== 0);
    return {
      kind,
      depth: entry.depth,
      name: entry.name,
      offset: draft.offset,
      mode: view.getUint32(at + statLayout.mode, true) & 0o7777,
      uid: this.#id(at + statLayout.uid),
      gid: this.#id(at + statLayout.gid),
      size: isLink ? (fields?.linkPath ?? noBytes).length : draft.size,
      mtime,
      atime: this.#time(at + statLayout.atime, at + statLayout.atimeNs),
      inodeFlags: gathered?.inodeFlags ?? 0,
      projectId: gathered?.projectId ?? 0,
      linked: (entry.flags & batchFlags.linked) !== 0 && kind !== EntryKind.absent,
      changed: draft.changed,
      damaged,
      sparse: fields?.sparse !== undefined,
      attributesLost: draft.attributesLost,
      continued: draft.large !== undefined,
      device: isDevice(kind) ? this.#device(at) : undefined,
      btime: hasBirth ? this.#time(at + statLayout.btime, at + statLayout.btimeNs) : undefined,
      digest: draft.digest,
      symlinkTarget: isLink ? fields?.linkPath : undefined,
      linkEntry: entry.linkEntry >= 0 ? entry.linkEntry : undefined,
      damagedRanges: draft.damagedRanges.length > 0 ? draft.damagedRanges : undefined,
      unwrittenExtents: draft.unwritten,
      sharedExtents: draft.shared,
      subvolume: draft.subvolume,
      dataMap: draft.exactMap === undefined ? undefined : segmentsToExtents(draft.exactMap),
      attributes: kind === EntryKind.socket && gathered?.attributes.length ? gathered.attributes : undefined,
      absentReason: kind === EntryKind.absent ? errnoName(draft.absentErrno) : undefined,
      absentKind: kind === EntryKind.absent && entry.kind !== EntryKind.absent ? entry.kind : undefined,
    };
  }

  #time(secondsAt: number, nanosecondsAt: number): Timestamp {
    return legalTime(readInt64(this.#view, secondsAt), this.#view.getUint32(nanosecondsAt, true));
  }

  /** A uid or gid; −1, which no chown takes, becomes the id before it. */
  #id(at: number): number {
    return Math.min(this.#view.getUint32(at, true), 0xffff_fffe);
  }
}

function warnOfLoss(warnings: DraftWarning[], what: string, errno: number): void {
  if (errno === 0) return;
  const name = errnoName(errno);
  warnings.push({ code: "ATTRIBUTE_LOST", message: `its ${what} could not be read: ${name}`, errno: name });
}

const nanosecondsMax = 999_999_999;

/** The nearest time that archives hold. */
function legalTime(seconds: number, nanoseconds: number): Timestamp {
  const limit = Number.MAX_SAFE_INTEGER;
  return {
    seconds: Math.min(Math.max(seconds, -limit), limit),
    nanoseconds: Math.min(nanoseconds, nanosecondsMax),
  };
}

function isDevice(kind: EntryKind): boolean {
  return kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
}

function isDirectory(kind: EntryKind): boolean {
  return kind === EntryKind.directory;
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
