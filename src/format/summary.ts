// The summary record's payload: JSON with totals of the archive and of each source (docs/FORMAT.md, section 8).

import { limits } from "../base/limits.ts";
import type { SourceTotals, Summary } from "../model/archive.ts";
import { EntryKind } from "../model/entry.ts";
import { decodeJson, encodeJson, type Fields } from "./json.ts";

const totalKeys = [
  "entries",
  "files",
  "directories",
  "symlinks",
  "hardlinks",
  "devices",
  "fifos",
  "sockets",
  "absent",
  "changed",
  "damaged",
  "attributesLost",
  "subvolumes",
  "bytes",
  "dataBytes",
] as const satisfies readonly (keyof SourceTotals)[];

/** The count that an entry adds to, by kind. */
export const totalOfKind = {
  [EntryKind.file]: "files",
  [EntryKind.hardlink]: "hardlinks",
  [EntryKind.symlink]: "symlinks",
  [EntryKind.charDevice]: "devices",
  [EntryKind.blockDevice]: "devices",
  [EntryKind.directory]: "directories",
  [EntryKind.fifo]: "fifos",
  [EntryKind.socket]: "sockets",
  [EntryKind.absent]: "absent",
} as const;

/** Totals of a source of which nothing is known yet. */
export function emptyTotals(): SourceTotals {
  return Object.fromEntries(totalKeys.map((key) => [key, 0])) as unknown as SourceTotals;
}

export function encodeSummary(summary: Summary): Uint8Array {
  return encodeJson(summary);
}

/** Reads and checks a summary. Throws ARCHIVE_DAMAGED for illegal fields. */
export function decodeSummary(payload: Uint8Array): Summary {
  const fields = decodeJson(payload, "summary");
  return {
    entries: fields.integer("entries"),
    members: fields.integer("members"),
    blocks: fields.integer("blocks", 1),
    segments: fields.integer("segments", 1),
    tables: fields.integer("tables", 1),
    tarBytes: fields.integer("tarBytes", 1),
    headLength: fields.integer("headLength", 1),
    headOffset2: fields.integer("headOffset2", 1),
    sources: fields.objects("sources", 1, limits.sources).map(decodeTotals),
    ...(fields.has("snapshot") ? { snapshot: fields.record("snapshot") } : {}),
  };
}

function decodeTotals(fields: Fields): SourceTotals {
  const totals = emptyTotals();
  // Archives from before there were subvolumes have no count of them.
  for (const key of totalKeys) if (key !== "subvolumes" || fields.has(key)) totals[key] = fields.integer(key);
  return totals;
}
