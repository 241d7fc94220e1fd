// One listed entry as a row like that of `ls -l`, and as an object for --json.

import { escapeName, pathJson } from "../base/units.ts";
import { EntryKind, type Timestamp } from "../model/entry.ts";
import type { ListedEntry } from "../model/options.ts";

/** `-rwsr-xr-x     0     0        63968 2026-11-21T13:37:13Z usr/bin/passwd`; times in UTC, names escaped. */
export function rowText(entry: ListedEntry): string {
  const { row } = entry;
  const size = row.device === undefined ? String(row.size) : `${row.device.major}, ${row.device.minor}`;
  return [
    modeText(row.kind, row.mode),
    String(row.uid).padStart(5),
    String(row.gid).padStart(5),
    size.padStart(12),
    timeText(row.mtime),
    entry.path.length === 0 ? "." : escapeName(entry.path),
    ...remarks(entry),
  ].join(" ");
}

function escapeText(text: string): string {
  return escapeName(new TextEncoder().encode(text));
}

function remarks({ row, linkPath }: ListedEntry): string[] {
  const found: string[] = [];
  if (row.symlinkTarget !== undefined) found.push(`-> ${escapeName(row.symlinkTarget)}`);
  if (row.kind === EntryKind.hardlink) {
    found.push(`link to ${linkPath === undefined ? `entry ${row.linkEntry ?? "?"}` : escapeName(linkPath)}`);
  }
  if (row.kind === EntryKind.absent) found.push(`(not saved: ${escapeText(row.absentReason ?? "unknown reason")})`);
  if (row.changed) found.push("(changed while it was read)");
  if (row.damaged) found.push("(parts could not be read)");
  if (row.attributesLost) found.push("(attributes missing)");
  return found;
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

/** Ten characters, as `ls -l` writes them. */
export function modeText(kind: EntryKind, mode: number): string {
  return (
    kindLetters[kind] +
    triple(mode >> 6, (mode & 0o4000) !== 0, "s") +
    triple(mode >> 3, (mode & 0o2000) !== 0, "s") +
    triple(mode, (mode & 0o1000) !== 0, "t")
  );
}

function triple(bits: number, special: boolean, letter: string): string {
  const execute = (bits & 1) !== 0;
  const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
  return `${(bits & 4) === 0 ? "-" : "r"}${(bits & 2) === 0 ? "-" : "w"}${last}`;
}

/** ISO 8601 in UTC, whole seconds; `@seconds` beyond what a Date holds. */
export function timeText({ seconds }: Timestamp): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `@${seconds}` : `${date.toISOString().slice(0, -5)}Z`;
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
    digest: row.digest,
    ...(flags.length === 0 ? {} : { flags }),
  };
}

const kindNames = new Map<EntryKind, string>(Object.entries(EntryKind).map(([name, kind]) => [kind, name]));

/** As pathJson, under another name. */
function renamed(key: string, bytes: Uint8Array): object {
  const found = pathJson(bytes);
  return "path" in found ? { [key]: found.path } : { [`${key}Base64`]: found.pathBase64 };
}
