// One catalog row (docs/FORMAT.md, section 6). Grammar, in order:
//
//   u8 kind · u8 flags · varint depth · bytes name · varint offset/512 · varint mode · varint uid · varint gid · varint size ·
//   zigzag mtime s, varint ns · zigzag atime s − mtime s, varint ns · varint 0, or 1 and zigzag btime s − mtime s, varint ns ·
//   varint inode flags · varint project id · varint extras, each u8 tag, bytes value (ascending tags)
//
// The digest of a row does not stand in it: segment.ts puts all digests at the end of the content. Rows of plain entries the addon writes (native/src/row.c).

import { ByteWriter, utf8 } from "../base/bytes.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { ExtendedAttribute, Extent, SharedExtent, Subvolume, Timestamp } from "../model/entry.ts";

export const rowFlags = {
  digest: 1,
  continued: 2,
  linked: 4,
  changed: 8,
  damaged: 16,
  sparse: 32,
  attributesLost: 64,
} as const;

export const extraTags = {
  symlinkTarget: 1,
  linkEntry: 2,
  damagedRanges: 3,
  unwrittenExtents: 4,
  dataMap: 5,
  attributes: 6,
  absentReason: 7,
  sharedExtents: 8,
  subvolume: 9,
  absentKind: 10,
} as const;

export const subvolumeFlags = { readOnly: 1, isDefault: 2 } as const;
export const uuidLength = 16;

const noExtras: readonly [number, Uint8Array][] = [];

/** Appends one row; its digest is only marked. Throws INTERNAL for values outside their field. */
export function encodeRow(writer: ByteWriter, row: CatalogRow): void {
  writer.u8(row.kind);
  writer.u8(flagsOf(row));
  writer.varint(row.depth);
  writer.byteString(row.name);
  writer.varint(row.offset / 512);
  writer.varint(row.mode);
  writer.varint(row.uid);
  writer.varint(row.gid);
  if (row.device === undefined) writer.varint(row.size);
  else writer.varint64((BigInt(row.device.major) << 32n) + BigInt(row.device.minor));
  const origin = row.mtime.seconds;
  encodeTime(writer, row.mtime, 0);
  encodeTime(writer, row.atime, origin);
  writer.u8(row.btime === undefined ? 0 : 1);
  if (row.btime !== undefined) encodeTime(writer, row.btime, origin);
  writer.varint(row.inodeFlags);
  writer.varint(row.projectId);
  const extras = extrasOf(row);
  writer.varint(extras.length);
  for (const [tag, value] of extras) {
    writer.u8(tag);
    writer.byteString(value);
  }
}

function flagsOf(row: CatalogRow): number {
  return (
    (row.digest === undefined ? 0 : rowFlags.digest) |
    (row.continued ? rowFlags.continued : 0) |
    (row.linked ? rowFlags.linked : 0) |
    (row.changed ? rowFlags.changed : 0) |
    (row.damaged ? rowFlags.damaged : 0) |
    (row.sparse ? rowFlags.sparse : 0) |
    (row.attributesLost ? rowFlags.attributesLost : 0)
  );
}

/** Two times far apart differ by more than 2^53 seconds: then the difference is a bigint. */
function encodeTime(writer: ByteWriter, time: Timestamp, origin: number): void {
  const difference = time.seconds - origin;
  writer.zigzag(Number.isSafeInteger(difference) ? difference : BigInt(time.seconds) - BigInt(origin));
  writer.varint(time.nanoseconds);
}

/** For one extra after the other: of many hard links, making a writer for each costs more than what it writes. */
const extraWriter = new ByteWriter(64);

function extrasOf(row: CatalogRow): readonly [number, Uint8Array][] {
  const { symlinkTarget, linkEntry, damagedRanges, unwrittenExtents, dataMap, attributes, absentReason } = row;
  const { sharedExtents, subvolume } = row;
  const ranges = damagedRanges ?? unwrittenExtents ?? dataMap ?? sharedExtents;
  const others = symlinkTarget ?? linkEntry ?? attributes ?? absentReason ?? subvolume ?? row.absentKind;
  if (ranges === undefined && others === undefined) return noExtras; // nearly every row
  const extras: [number, Uint8Array][] = [];
  const add = (tag: number, write: (writer: ByteWriter) => void): void => {
    extraWriter.clear();
    write(extraWriter);
    extras.push([tag, extraWriter.take()]);
  };
  if (symlinkTarget !== undefined) extras.push([extraTags.symlinkTarget, symlinkTarget]);
  if (linkEntry !== undefined) add(extraTags.linkEntry, (writer) => writer.varint(linkEntry));
  if (damagedRanges !== undefined) add(extraTags.damagedRanges, (writer) => writeExtents(writer, damagedRanges));
  if (unwrittenExtents !== undefined) {
    add(extraTags.unwrittenExtents, (writer) => writeExtents(writer, unwrittenExtents));
  }
  if (dataMap !== undefined) add(extraTags.dataMap, (writer) => writeExtents(writer, dataMap));
  if (attributes !== undefined) add(extraTags.attributes, (writer) => writeAttributes(writer, attributes));
  if (absentReason !== undefined) extras.push([extraTags.absentReason, utf8(absentReason)]);
  if (sharedExtents !== undefined) add(extraTags.sharedExtents, (writer) => writeShared(writer, sharedExtents));
  if (subvolume !== undefined) add(extraTags.subvolume, (writer) => writeSubvolume(writer, subvolume));
  if (row.absentKind !== undefined) extras.push([extraTags.absentKind, Uint8Array.of(row.absentKind)]);
  return extras;
}

/** Pairs of varint offset and length. */
export function writeExtents(writer: ByteWriter, extents: readonly Extent[]): void {
  for (const { offset, length } of extents) {
    writer.varint(offset);
    writer.varint(length);
  }
}

function writeShared(writer: ByteWriter, extents: readonly SharedExtent[]): void {
  for (const { offset, length, address, encoded } of extents) {
    writer.varint(offset / 512);
    writer.varint(length / 512);
    writer.varint((2 * address) / 512 + (encoded ? 1 : 0));
  }
}

function writeSubvolume(writer: ByteWriter, subvolume: Subvolume): void {
  const { readOnly, isDefault, uuid, parentUuid, receivedUuid } = subvolume;
  writer.u8((readOnly ? subvolumeFlags.readOnly : 0) | (isDefault ? subvolumeFlags.isDefault : 0));
  for (const each of [uuid, parentUuid, receivedUuid]) writer.raw(each ?? new Uint8Array(uuidLength));
}

function writeAttributes(writer: ByteWriter, attributes: readonly ExtendedAttribute[]): void {
  for (const { name, value } of attributes) {
    writer.byteString(name);
    writer.byteString(value);
  }
}
