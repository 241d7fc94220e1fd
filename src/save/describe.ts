// How an entry is told in the archive: the fields of its tar header, and of its catalog row once its content has been read.

import type { MemberFields } from "../format/member.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import { segmentsToExtents } from "../sys/data-runs.ts";
import { errnoName } from "../sys/errors.ts";
import type { Gathered } from "../sys/gathered.ts";
import { entryFlags } from "../sys/layout.ts";
import type { ReadEntry } from "./batch.ts";
import type { EntryDraft } from "./draft.ts";
import { memberName } from "./member-name.ts";
import { legalTime, type PlannedStats } from "./planned-stats.ts";
import type { PackInput } from "./protocol.ts";

/** Undefined: the entry has no member. `segments`: the data runs of a file with holes. */
export function memberFields(
  input: PackInput,
  stats: PlannedStats,
  index: number,
  entry: ReadEntry,
  gathered: Gathered | undefined,
  size: number,
  segments: Float64Array | undefined,
): MemberFields | undefined {
  const { kind, statOffset: at } = entry;
  if (kind === EntryKind.socket) return undefined;
  const isFile = kind === EntryKind.file;
  const isFresh = isFile && gathered !== undefined && gathered.errno === 0 && input.large === undefined;
  const { seconds, nanoseconds } = isFresh ? legalTime(gathered.mtime, gathered.mtimeNs) : stats.mtime(at);
  return {
    kind,
    path: memberName(input, entry),
    mode: stats.mode(at),
    uid: stats.uid(at),
    gid: stats.gid(at),
    size: isFile ? size : 0,
    mtimeSeconds: seconds,
    mtimeNanoseconds: nanoseconds,
    entryNumber: input.firstEntry + index,
    linkPath: kind === EntryKind.hardlink ? entry.linkPath : kind === EntryKind.symlink ? gathered?.link : undefined,
    device: isDevice(kind) ? stats.device(at) : undefined,
    attributes: gathered?.attributes,
    sparse: segments === undefined ? undefined : { realSize: size, segments: segmentsToExtents(segments) },
  };
}

/** The catalog row of a draft whose content has been read. */
export function catalogRow(draft: EntryDraft, stats: PlannedStats): CatalogRow {
  const { entry, fields, gathered, kind } = draft;
  const at = entry.statOffset;
  const isAbsent = kind === EntryKind.absent;
  const symlinkTarget = kind === EntryKind.symlink ? fields?.linkPath : undefined;
  const isDamaged = draft.damagedRanges.length > 0;
  return {
    kind,
    depth: entry.depth,
    name: entry.name,
    offset: draft.offset,
    mode: stats.mode(at),
    uid: stats.uid(at),
    gid: stats.gid(at),
    size: kind === EntryKind.symlink ? (symlinkTarget?.length ?? 0) : draft.size,
    mtime:
      fields === undefined ? stats.mtime(at) : { seconds: fields.mtimeSeconds, nanoseconds: fields.mtimeNanoseconds },
    atime: stats.atime(at),
    inodeFlags: gathered?.inodeFlags ?? 0,
    projectId: gathered?.projectId ?? 0,
    linked: (entry.flags & entryFlags.linked) !== 0 && !isAbsent,
    changed: draft.changed,
    damaged: isDamaged || (kind === EntryKind.directory && entry.errno !== 0),
    sparse: fields?.sparse !== undefined,
    attributesLost: draft.attributesLost,
    continued: draft.large !== undefined,
    device: isDevice(kind) ? stats.device(at) : undefined,
    btime: stats.btime(at),
    digest: draft.digest,
    symlinkTarget,
    linkEntry: entry.linkEntry >= 0 ? entry.linkEntry : undefined,
    damagedRanges: isDamaged ? draft.damagedRanges : undefined,
    unwrittenExtents: draft.unwritten,
    sharedExtents: draft.shared,
    subvolume: draft.subvolume,
    dataMap: draft.exactMap === undefined ? undefined : segmentsToExtents(draft.exactMap),
    attributes: kind === EntryKind.socket && gathered?.attributes.length ? gathered.attributes : undefined,
    absentReason: isAbsent ? errnoName(draft.absentErrno) : undefined,
    absentKind: isAbsent && entry.kind !== EntryKind.absent ? entry.kind : undefined,
  };
}

function isDevice(kind: EntryKind): boolean {
  return kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
}
