// du: what each directory of an archive holds, with everything below, from the catalog. Directories come after what is in them, as with du(1); memory
// holds the directories of one path.

import type { CommandContext, DirectorySum, DuOptions, ListedEntry, Outcome } from "../model/options.ts";
import { EntryKind } from "../model/entry.ts";
import { readEntries } from "./list.ts";

interface OpenSum {
  readonly source: number;
  readonly path: Uint8Array;
  entries: number;
  files: number;
  bytes: number;
}

const slash = 0x2f;

/** Calls `onDirectory` for each directory down to `depth`. Only entries that are selected count. Throws as list() does. */
export async function du(
  options: DuOptions,
  context: CommandContext,
  onDirectory: (sum: DirectorySum) => void | Promise<void>,
): Promise<Outcome<{ readonly entries: number; readonly bytes: number }>> {
  const open: OpenSum[] = [];
  let entries = 0;
  let bytes = 0;
  const leave = async (): Promise<void> => {
    const sum = open.pop() as OpenSum;
    const parent = open.at(-1);
    if (parent !== undefined) {
      parent.entries += sum.entries;
      parent.files += sum.files;
      parent.bytes += sum.bytes;
    }
    if (open.length <= options.depth) await onDirectory({ ...sum, depth: open.length });
  };
  const add = ({ source, path, row }: ListedEntry): void => {
    entries++;
    if (path.length === 0) return; // the root: it was opened for itself
    const sum = open.at(-1) as OpenSum;
    sum.entries++;
    if (row.kind === EntryKind.directory) open.push({ source, path, entries: 0, files: 0, bytes: 0 });
    if (row.kind !== EntryKind.file) return; // further names of a file count nothing more
    sum.files++;
    sum.bytes += row.size;
    bytes += row.size;
  };
  const warnings = await readEntries(options, context, (entry) => {
    const { depth } = entry.row;
    const top = open.at(-1);
    if (top?.source === entry.source && open.length === depth && isIn(entry.path, top.path)) return add(entry);
    return (async () => {
      while (open.length > 0 && !isHolder(open.at(-1) as OpenSum, entry)) await leave();
      // Directories above a selected entry may not be selected themselves.
      for (let level = open.length; level < Math.max(depth, 1); level++) {
        open.push({ source: entry.source, path: firstComponents(entry.path, level), entries: 0, files: 0, bytes: 0 });
      }
      add(entry);
    })();
  });
  while (open.length > 0) await leave();
  return { status: warnings === 0 ? 0 : 1, warnings, details: { entries, bytes } };
}

function isIn(path: Uint8Array, directory: Uint8Array): boolean {
  if (path.length === 0) return false;
  if (directory.length === 0) return true;
  if (path.length <= directory.length || path[directory.length] !== slash) return false;
  for (let i = 0; i < directory.length; i++) if (path[i] !== directory[i]) return false;
  return true;
}

function isHolder(sum: OpenSum, entry: ListedEntry): boolean {
  return sum.source === entry.source && isIn(entry.path, sum.path);
}

function firstComponents(path: Uint8Array, count: number): Uint8Array {
  let end = 0;
  for (let i = 0; i < count; i++) {
    const found = path.indexOf(slash, end === 0 ? 0 : end + 1);
    end = found < 0 ? path.length : found;
  }
  return path.slice(0, end);
}
