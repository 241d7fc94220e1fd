// Reading one catalog row (grammar in row.ts): every field against its limits, extras by ascending tag. skipRow() finds the end of a row
// without making values. Illegal values are ARCHIVE_DAMAGED, illegal names ARCHIVE_HOSTILE.

import { type ByteReader, decodeUtf8, ByteReader as Reader } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { CatalogRow } from "../model/catalog.ts";
import {
  type Device,
  EntryKind,
  type ExtendedAttribute,
  type Extent,
  nanosecondsMax,
  type SharedExtent,
  type Subvolume,
  type Timestamp,
} from "../model/entry.ts";
import { checkComponent } from "./path.ts";
import { extraTags, rowFlags, subvolumeFlags, uuidLength } from "./row.ts";

const idMax = 0xffff_fffe;
const attributeNameMax = 255;
const addressMax = 2 ** 52;
/** A shared extent may reach beyond the end of its file, to the end of its last block. */
const fileBlockMax = 65_536;
/** A tag with this bit asks readers that do not know it to call the entry incomplete. */
const criticalTag = 0x80;

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Fields of a row that only its extras hold. */
type Extras = {
  -readonly [Key in
    | "symlinkTarget"
    | "linkEntry"
    | "damagedRanges"
    | "unwrittenExtents"
    | "dataMap"
    | "attributes"
    | "absentReason"
    | "sharedExtents"
    | "subvolume"
    | "absentKind"
    | "unknownCriticalTags"]?: NonNullable<CatalogRow[Key]>;
};

/** Reads one row; `takeDigest` gives the next digest of the segment where the row has one. */
export function decodeRow(reader: ByteReader, takeDigest: () => Uint8Array): CatalogRow {
  const kind = reader.u8();
  const flags = reader.u8();
  if (!isKind(kind)) throw reader.damage(`unknown kind ${kind}`);
  if (flags > 0x7f) throw reader.damage("reserved flags are set");
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const depth = reader.varint();
  const name = reader.byteString(limits.nameBytes);
  if (depth > limits.depth) throw reader.damage(`depth ${depth}`);
  if (depth > 0) checkComponent(name);
  else if (name.length > 0 || kind !== EntryKind.directory) throw reader.damage("a root is a directory without name");
  const offset = reader.varint() * 512;
  if (offset >= limits.blockBytes) throw reader.damage("an offset outside of its block");
  const mode = bounded(reader, 0o7777, "mode");
  const uid = bounded(reader, idMax, "uid");
  const gid = bounded(reader, idMax, "gid");
  const isDevice = kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
  const device = isDevice ? decodeDevice(reader) : undefined;
  const size = isDevice ? 0 : reader.varint();
  if (size !== 0 && !isSized(kind)) throw reader.damage("a size where there is none");
  const mtime = decodeTime(reader, 0);
  const atime = decodeTime(reader, mtime.seconds);
  const btimeKnown = bounded(reader, 1, "birth time mark") === 1;
  const btime = btimeKnown ? decodeTime(reader, mtime.seconds) : undefined;
  const inodeFlags = bounded(reader, 0xffff_ffff, "inode flags");
  const projectId = bounded(reader, 0xffff_ffff, "project id");
  const extras = decodeExtras(reader, kind);
  if (kind !== EntryKind.file && (flags & (rowFlags.digest | rowFlags.continued | rowFlags.sparse)) !== 0) {
    throw reader.damage("flags of a file on another kind");
  }
  const shared = extras?.sharedExtents?.at(-1);
  const sharedMax = Math.ceil(size / fileBlockMax) * fileBlockMax;
  if (shared !== undefined && (shared.offset >= size || shared.offset + shared.length > sharedMax)) {
    throw reader.damage("a shared extent outside of its file");
  }
  if (extras?.subvolume !== undefined && depth === 0) throw reader.damage("a root that is a subvolume of another");
  if (has(rowFlags.digest) && has(rowFlags.continued)) throw reader.damage("a digest of a file that goes on");
  const row: Writable<CatalogRow> = {
    kind,
    depth,
    name,
    offset,
    mode,
    uid,
    gid,
    size,
    mtime,
    atime,
    inodeFlags,
    projectId,
    linked: has(rowFlags.linked),
    changed: has(rowFlags.changed),
    damaged: has(rowFlags.damaged),
    sparse: has(rowFlags.sparse),
    attributesLost: has(rowFlags.attributesLost),
    continued: has(rowFlags.continued),
  };
  if (device !== undefined) row.device = device;
  if (btime !== undefined) row.btime = btime;
  if (has(rowFlags.digest)) row.digest = takeDigest();
  return extras === undefined ? row : Object.assign(row, extras);
}

/** What a walk needs to know of rows it passes over. One object serves for all of them. */
export class RowGlance {
  kind = 0;
  flags = 0;
  depth = 0;
  name: Uint8Array = new Uint8Array(0);
  /** Where the row begins: decodeRow() from there reads all of it. */
  start = 0;

  /** Passes over one row, checking only that it ends in time. */
  read(reader: ByteReader): void {
    this.start = reader.position;
    this.kind = reader.u8();
    this.flags = reader.u8();
    this.depth = reader.varint();
    this.name = reader.byteString(limits.nameBytes);
    skipFields(reader, this.kind);
  }
}

/** Passes over one row, checking only that it ends in time; returns its flags. */
export function skipRow(reader: ByteReader): number {
  const kind = reader.u8();
  const flags = reader.u8();
  reader.varint();
  reader.byteString(limits.nameBytes);
  skipFields(reader, kind);
  return flags;
}

/** All that follows the name. */
function skipFields(reader: ByteReader, kind: number): void {
  for (let count = 0; count < 4; count++) reader.varint(); // offset, mode, uid, gid
  if (kind === EntryKind.charDevice || kind === EntryKind.blockDevice) reader.varint64();
  else reader.varint();
  for (let count = 0; count < 2; count++) {
    reader.zigzagAdded(0);
    reader.varint();
  }
  if (reader.varint() !== 0) {
    reader.zigzagAdded(0);
    reader.varint();
  }
  reader.varint();
  reader.varint();
  const extras = reader.varint();
  if (extras > 0xff) throw reader.damage("too many extras");
  for (let index = 0; index < extras; index++) {
    reader.u8();
    reader.byteString(limits.segmentContentBytes);
  }
}

function isKind(kind: number): kind is EntryKind {
  return kind <= EntryKind.absent;
}

function isSized(kind: EntryKind): boolean {
  return kind === EntryKind.file || kind === EntryKind.symlink || kind === EntryKind.absent;
}

function bounded(reader: ByteReader, maximum: number, what: string): number {
  const value = reader.varint();
  if (value > maximum) throw reader.damage(`illegal ${what} ${value}`);
  return value;
}

function decodeDevice(reader: ByteReader): Device {
  const value = reader.varint64();
  return { major: Number(value >> 32n), minor: Number(value & 0xffff_ffffn) };
}

function decodeTime(reader: ByteReader, origin: number): Timestamp {
  const seconds = reader.zigzagAdded(origin);
  if (!Number.isSafeInteger(seconds)) throw reader.damage("a time over 2^53 seconds");
  return { seconds, nanoseconds: bounded(reader, nanosecondsMax, "nanoseconds") };
}

function decodeExtras(reader: ByteReader, kind: EntryKind): Extras | undefined {
  const count = bounded(reader, 0xff, "number of extras");
  const needed = kind === EntryKind.symlink || kind === EntryKind.hardlink;
  if (count === 0 && !needed) return undefined;
  const extras: Extras = {};
  for (let index = 0, last = -1; index < count; index++) {
    const tag = reader.u8();
    if (tag <= last) throw reader.damage("extras are not in order");
    last = tag;
    const value = reader.byteString(reader.remaining);
    decodeExtra(extras, kind, tag, new Reader(value, `catalog row, tag ${tag}`));
  }
  if ((kind === EntryKind.symlink) !== (extras.symlinkTarget !== undefined)) {
    throw reader.damage("symlinks have a target, and only they");
  }
  if (extras.linkEntry !== undefined && kind !== EntryKind.hardlink && kind !== EntryKind.socket) {
    throw reader.damage("a link target on an entry that is no link");
  }
  return extras;
}

function decodeExtra(extras: Extras, kind: EntryKind, tag: number, value: ByteReader): void {
  switch (tag) {
    case extraTags.symlinkTarget:
      extras.symlinkTarget = value.raw(value.remaining);
      if (extras.symlinkTarget.length === 0 || extras.symlinkTarget.length > limits.symlinkTargetBytes) {
        throw value.damage("illegal length of a symlink target");
      }
      return;
    case extraTags.linkEntry:
      extras.linkEntry = value.varint();
      return value.finish();
    case extraTags.damagedRanges:
      extras.damagedRanges = readExtents(value);
      return;
    case extraTags.unwrittenExtents:
      extras.unwrittenExtents = readExtents(value);
      return;
    case extraTags.dataMap:
      extras.dataMap = readExtents(value);
      return;
    case extraTags.attributes:
      extras.attributes = decodeAttributes(value);
      return;
    case extraTags.absentReason:
      extras.absentReason = decodeUtf8(value.raw(value.remaining)) ?? "";
      return;
    case extraTags.sharedExtents:
      if (kind !== EntryKind.file) throw value.damage("shared extents of what is no file");
      extras.sharedExtents = readShared(value);
      return;
    case extraTags.subvolume:
      if (kind !== EntryKind.directory) throw value.damage("a subvolume that is no directory");
      extras.subvolume = readSubvolume(value);
      return value.finish();
    case extraTags.absentKind:
      extras.absentKind = decodeAbsentKind(value, kind);
      return value.finish();
    default:
      if (tag & criticalTag) extras.unknownCriticalTags = [...(extras.unknownCriticalTags ?? []), tag];
  }
}

function decodeAbsentKind(value: ByteReader, kind: EntryKind): EntryKind {
  const absentKind = value.u8();
  if (kind !== EntryKind.absent || !isKind(absentKind) || absentKind === EntryKind.absent) {
    throw value.damage("illegal kind of an absent entry");
  }
  return absentKind;
}

/** Pairs of varint offset and length, `count` of them or all that is left: ascending, not empty, not overlapping. */
export function readExtents(value: ByteReader, count: number = Number.POSITIVE_INFINITY): Extent[] {
  const extents: Extent[] = [];
  let end = 0;
  while (extents.length < count && (count !== Number.POSITIVE_INFINITY || value.remaining > 0)) {
    const offset = value.varint();
    const length = value.varint();
    if (offset < end || length === 0 || !Number.isSafeInteger(offset + length)) throw value.damage("illegal extent");
    end = offset + length;
    extents.push({ offset, length });
  }
  return extents;
}

/** Triples of varint offset, length and place in units of 512: ascending, not empty, not overlapping. */
function readShared(value: ByteReader): SharedExtent[] {
  const extents: SharedExtent[] = [];
  let end = 0;
  while (value.remaining > 0) {
    if (extents.length === limits.sharedExtents) throw value.damage("too many shared extents");
    const offset = value.varint() * 512;
    const length = value.varint() * 512;
    const place = value.varint();
    const encoded = place % 2 === 1;
    const address = ((place - (encoded ? 1 : 0)) / 2) * 512;
    if (offset < end || length === 0 || !Number.isSafeInteger(offset + length) || address >= addressMax) {
      throw value.damage("illegal shared extent");
    }
    end = offset + length;
    extents.push({ offset, length, address, encoded });
  }
  return extents;
}

function readSubvolume(value: ByteReader): Subvolume {
  const flags = value.u8();
  if (flags > (subvolumeFlags.readOnly | subvolumeFlags.isDefault)) throw value.damage("unknown flags of a subvolume");
  const uuid = (): Uint8Array | undefined => {
    const bytes = value.raw(uuidLength);
    return bytes.every((byte) => byte === 0) ? undefined : bytes;
  };
  return {
    readOnly: (flags & subvolumeFlags.readOnly) !== 0,
    isDefault: (flags & subvolumeFlags.isDefault) !== 0,
    uuid: uuid(),
    parentUuid: uuid(),
    receivedUuid: uuid(),
  };
}

function decodeAttributes(value: ByteReader): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  while (value.remaining > 0) {
    const name = value.byteString(attributeNameMax);
    if (name.length === 0 || name.includes(0)) throw value.damage("illegal name of an attribute");
    attributes.push({ name, value: value.byteString(value.remaining) });
  }
  return attributes;
}
