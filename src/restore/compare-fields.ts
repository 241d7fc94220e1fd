// The properties of an entry, as archived and as found, compared one by one. Pure: where they come from is others' business.

import { equalBytes, fromLatin1, latin1 } from "../base/bytes.ts";
import { escapeName } from "../base/units.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { CompareOptions, DifferenceField, FieldDifference } from "../model/difference.ts";
import { type Device, EntryKind, type ExtendedAttribute, type Subvolume, type Timestamp } from "../model/entry.ts";
import { flagLetters, settableFlags } from "./metadata.ts";

/** What a catalog row and a live entry both tell. */
export interface EntryProperties {
  readonly kind: EntryKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Timestamp;
  readonly atime: Timestamp;
  readonly btime?: Timestamp | undefined;
  readonly device?: Device | undefined;
  readonly symlinkTarget?: Uint8Array | undefined;
  readonly inodeFlags: number;
  readonly projectId: number;
}

/** Everything but content, attributes, links and extents. */
export function compareProperties(
  archived: EntryProperties,
  found: EntryProperties,
  options: CompareOptions,
): FieldDifference[] {
  if (archived.kind !== found.kind) return [field("kind", kindName(archived.kind), kindName(found.kind))];
  const fields: FieldDifference[] = [];
  const compare = (name: DifferenceField, left: string, right: string): void => {
    if (left !== right) fields.push(field(name, left, right));
  };
  compare("mode", modeText(archived.mode), modeText(found.mode));
  compare("owner", `${archived.uid}:${archived.gid}`, `${found.uid}:${found.gid}`);
  if (archived.kind === EntryKind.file) compare("size", String(archived.size), String(found.size));
  compare("mtime", timeText(archived.mtime), timeText(found.mtime));
  if (options.atime) compare("atime", timeText(archived.atime), timeText(found.atime));
  if (options.btime) compare("btime", timeText(archived.btime), timeText(found.btime));
  if (!equalBytes(archived.symlinkTarget ?? nothing, found.symlinkTarget ?? nothing)) {
    fields.push(field("target", targetText(archived.symlinkTarget), targetText(found.symlinkTarget)));
  }
  compare("device", deviceText(archived.device), deviceText(found.device));
  compare("flags", flagLetters(archived.inodeFlags & settableFlags), flagLetters(found.inodeFlags & settableFlags));
  compare("project", String(archived.projectId), String(found.projectId));
  return fields;
}

/** Attributes by name, ACLs in the kernel's form among them. */
export function compareAttributes(
  archived: readonly ExtendedAttribute[],
  found: readonly ExtendedAttribute[],
): FieldDifference[] {
  if (archived.length === 0 && found.length === 0) return [];
  const left = byName(archived);
  const right = byName(found);
  const fields: FieldDifference[] = [];
  for (const name of [...new Set([...left.keys(), ...right.keys()])].toSorted()) {
    const archivedValue = left.get(name);
    const foundValue = right.get(name);
    const bytes = fromLatin1(name);
    if (archivedValue === undefined) fields.push({ field: "attribute", name: bytes, archived: "none", found: "some" });
    else if (foundValue === undefined)
      fields.push({ field: "attribute", name: bytes, archived: "some", found: "none" });
    else if (!equalBytes(archivedValue, foundValue)) fields.push({ field: "attribute", name: bytes });
  }
  return fields;
}

/** Whether a directory is the root of a btrfs subvolume, and of which kind. */
export function compareSubvolume(
  archived: Pick<CatalogRow, "subvolume">,
  found: Pick<Subvolume, "readOnly"> | undefined,
): FieldDifference[] {
  const [left, right] = [archived.subvolume, found].map(subvolumeText) as [string, string];
  return left === right ? [] : [field("subvolume", left, right)];
}

function subvolumeText(subvolume: Pick<Subvolume, "readOnly"> | undefined): string {
  return subvolume === undefined ? "none" : subvolume.readOnly ? "read-only" : "read-write";
}

function byName(attributes: readonly ExtendedAttribute[]): Map<string, Uint8Array> {
  return new Map(attributes.map(({ name, value }) => [latin1(name), value]));
}

function field(name: DifferenceField, archived: string, found: string): FieldDifference {
  return { field: name, archived, found };
}

const nothing = new Uint8Array(0);
const kindNames = new Map<EntryKind, string>(Object.entries(EntryKind).map(([name, kind]) => [kind, name]));

function kindName(kind: EntryKind): string {
  return kindNames.get(kind) ?? String(kind);
}

function modeText(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** Seconds since 1970 with nine digits behind the point, as `touch -d @` takes them. */
function timeText(time: Timestamp | undefined): string {
  if (time === undefined) return "unknown";
  if (time.seconds >= 0 || time.nanoseconds === 0) return decimal(time.seconds, time.nanoseconds);
  const whole = time.seconds + 1;
  const fraction = decimal(whole, 1_000_000_000 - time.nanoseconds);
  return whole === 0 ? `-${fraction}` : fraction;
}

function decimal(seconds: number, nanoseconds: number): string {
  return `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
}

function targetText(target: Uint8Array | undefined): string {
  return target === undefined ? "none" : escapeName(target);
}

function deviceText(device: Device | undefined): string {
  return device === undefined ? "none" : `${device.major}:${device.minor}`;
}
