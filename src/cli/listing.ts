// One listed entry as a row like that of `ls -l`, and as an object for --json.

import { toHex } from "../base/bytes.ts";
import { escapeName, pathJson } from "../base/units.ts";
import { EntryKind, type Subvolume, type Timestamp } from "../model/entry.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { ListedEntry } from "../model/options.ts";
import type { ListForm } from "./invocation.ts";

/** Rows as text, in one of the forms of list. */
export class RowTexts {
  readonly #form: ListForm;
  /** Path whose directories stand above the row to come, in a tree. */
  #above: Uint8Array = new Uint8Array(0);
  #source = -1;

  constructor(form: ListForm) {
    this.#form = form;
  }

  /** One line, or several where a tree needs directories that were not selected; without the last newline. */
  text(entry: ListedEntry): string {
    const { long, tree } = this.#form;
    if (!tree) return long ? rowText(entry) : pathText(entry);
    const lines = this.#directoriesAbove(entry);
    const start = entry.path.lastIndexOf(slash) + 1;
    const slashed = entry.row.kind === EntryKind.directory ? "/" : "";
    const shown = entry.path.length === 0 ? "." : escapeName(entry.path.subarray(start)) + slashed;
    const indented = "  ".repeat(entry.row.depth) + shown;
    lines.push(long ? rowText(entry, indented) : indented);
    return lines.join("\n");
  }

  /** Lines for the directories of an entry that no line stands for yet. */
  #directoriesAbove({ source, path, row }: ListedEntry): string[] {
    const lines: string[] = [];
    const blank = this.#form.long ? " ".repeat(longColumns) : "";
    if (source !== this.#source && path.length > 0) lines.push(`${blank}.`);
    let same = 0;
    if (source === this.#source) while (same < path.length && path[same] === this.#above[same]) same++;
    let depth = 1;
    for (
      let start = 0, end = path.indexOf(slash);
      end >= 0;
      start = end + 1, end = path.indexOf(slash, start), depth++
    ) {
      const isThere = end < same || (end === same && this.#above.length === end);
      if (!isThere) lines.push(`${blank}${"  ".repeat(depth)}${escapeName(path.subarray(start, end))}/`);
    }
    this.#source = source;
    this.#above = row.kind === EntryKind.directory ? path : path.subarray(0, Math.max(0, path.lastIndexOf(slash)));
    return lines;
  }
}

const slash = 0x2f;
/** Width of what stands before the name in the long form, as long as nothing is over its column. */
const longColumns = 57;

/** `-rwsr-xr-x     0     0        63968 2026-11-21T13:37:13Z usr/bin/passwd`; times in UTC. `name`: as it is shown. */
export function rowText(entry: ListedEntry, name: string = pathText(entry)): string {
  const { row } = entry;
  const size = row.device === undefined ? String(row.size) : `${row.device.major}, ${row.device.minor}`;
  const columns = `${modeText(row.kind, row.mode)} ${ownerText(row.uid)} ${ownerText(row.gid)} ${size.padStart(12)}`;
  return `${columns} ${timeText(row.mtime)} ${name}${isPlain(row) ? "" : remarks(entry)}`;
}

function pathText({ path }: ListedEntry): string {
  return path.length === 0 ? "." : escapeName(path);
}

const owners = new Map<number, string>();

/** Few owners have most entries. */
function ownerText(id: number): string {
  let text = owners.get(id);
  if (text !== undefined) return text;
  text = String(id).padStart(5);
  if (owners.size < 1000) owners.set(id, text);
  return text;
}

/** Nothing has to be said after the name. */
function isPlain({ kind, changed, damaged, attributesLost, subvolume }: CatalogRow): boolean {
  const linked = kind === EntryKind.symlink || kind === EntryKind.hardlink || kind === EntryKind.absent;
  return !(linked || changed || damaged || attributesLost || subvolume !== undefined);
}

function escapeText(text: string): string {
  return escapeName(new TextEncoder().encode(text));
}

function remarks({ row, linkPath }: ListedEntry): string {
  const found: string[] = [""];
  if (row.symlinkTarget !== undefined) found.push(`-> ${escapeName(row.symlinkTarget)}`);
  if (row.kind === EntryKind.hardlink) {
    found.push(`link to ${linkPath === undefined ? `entry ${row.linkEntry ?? "?"}` : escapeName(linkPath)}`);
  }
  if (row.kind === EntryKind.absent) found.push(`(not saved: ${escapeText(row.absentReason ?? "unknown reason")})`);
  if (row.subvolume !== undefined) found.push(`(${subvolumeText(row.subvolume)})`);
  if (row.changed) found.push("(changed while it was read)");
  if (row.damaged) found.push("(parts could not be read)");
  if (row.attributesLost) found.push("(attributes missing)");
  return found.join(" ");
}

/** `read-only default subvolume`. */
function subvolumeText({ readOnly, isDefault }: Subvolume): string {
  return [...(readOnly ? ["read-only"] : []), ...(isDefault ? ["default"] : []), "subvolume"].join(" ");
}

const kindLetters: Readonly<Record<EntryKind, string>> = {
  [EntryKind.file]: "-",
  [EntryKind.hardlink]: "h",
  [EntryKind.symlink]: "l",
  [EntryKind.charDevice]: "c",
  [EntryKind.blockDevice]: "b",
  [EntryKind.directory]: "d",
  [EntryKind.fifo]: "p",
  [EntryKind.socket]: "s",
  [EntryKind.absent]: "?",
};

const modes = new Map<number, string>();

/** Ten characters, as `ls -l` writes them. */
export function modeText(kind: EntryKind, mode: number): string {
  const key = kind * 0o10000 + mode;
  let text = modes.get(key);
  if (text !== undefined) return text;
  text =
    kindLetters[kind] +
    triple(mode >> 6, (mode & 0o4000) !== 0, "s") +
    triple(mode >> 3, (mode & 0o2000) !== 0, "s") +
    triple(mode, (mode & 0o1000) !== 0, "t");
  modes.set(key, text);
  return text;
}

function triple(bits: number, special: boolean, letter: string): string {
  const execute = (bits & 1) !== 0;
  const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
  return `${(bits & 4) === 0 ? "-" : "r"}${(bits & 2) === 0 ? "-" : "w"}${last}`;
}

const secondsPerDay = 86_400;
const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, "0"));
let lastDay = Number.NaN;
let lastDate = "";

/** ISO 8601 in UTC, whole seconds; `@seconds` beyond what a Date holds. A Date is only made when the day changes. */
export function timeText({ seconds }: Timestamp): string {
  const day = Math.floor(seconds / secondsPerDay);
  if (day !== lastDay) {
    const date = new Date(day * secondsPerDay * 1000);
    lastDay = day;
    lastDate = Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, -13);
  }
  if (lastDate === "") return `@${seconds}`;
  const second = seconds - day * secondsPerDay;
  const minute = Math.floor(second / 60);
  return `${lastDate}${twoDigits[Math.floor(minute / 60)]}:${twoDigits[minute % 60]}:${twoDigits[second % 60]}Z`;
}

/** All that the catalog says of the entry; times as exact pairs, modes as numbers. */
export function rowJson({ source, number, path, row, linkPath }: ListedEntry): object {
  const flags = (["changed", "damaged", "sparse", "attributesLost"] as const).filter((flag) => row[flag]);
  return {
    type: "entry",
    source,
    number,
    ...pathJson(path),
    kind: kindNames.get(row.kind),
    mode: row.mode,
    uid: row.uid,
    gid: row.gid,
    size: row.size,
    mtime: row.mtime,
    atime: row.atime,
    btime: row.btime,
    device: row.device,
    inodeFlags: row.inodeFlags,
    projectId: row.projectId,
    ...(row.symlinkTarget === undefined ? {} : renamed("target", row.symlinkTarget)),
    ...(linkPath === undefined ? {} : renamed("link", linkPath)),
    linkEntry: row.linkEntry,
    absentReason: row.absentReason,
    absentKind: row.absentKind === undefined ? undefined : kindNames.get(row.absentKind),
    subvolume: row.subvolume === undefined ? undefined : subvolumeJson(row.subvolume),
    sharedBytes: row.sharedExtents?.reduce((sum, { length }) => sum + length, 0),
    digest: row.digest === undefined ? undefined : toHex(row.digest),
    ...(flags.length === 0 ? {} : { flags }),
  };
}

function subvolumeJson({ readOnly, isDefault, uuid, parentUuid, receivedUuid }: Subvolume): object {
  const hex = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : toHex(bytes));
  return {
    readOnly,
    default: isDefault,
    uuid: hex(uuid),
    parentUuid: hex(parentUuid),
    receivedUuid: hex(receivedUuid),
  };
}

const kindNames = new Map<EntryKind, string>(Object.entries(EntryKind).map(([name, kind]) => [kind, name]));

/** As pathJson, under another name. */
function renamed(key: string, bytes: Uint8Array): object {
  const found = pathJson(bytes);
  return "path" in found ? { [key]: found.path } : { [`${key}Base64`]: found.pathBase64 };
}
