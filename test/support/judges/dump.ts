// A dump: what one judge sees of a tree, as one line of text per path. Two dumps are compared path by path.

import type { Chunk, WalkedEntry } from "../walk.ts";

export type Dump = Map<string, string>;

/** What a judge is told to leave out, because the way under test cannot carry it. */
export type Aspect =
  | "owner"
  | "mtime"
  | "atime"
  | "flags"
  | "project"
  | "xattrs"
  | "acls"
  | "holes"
  | "unwritten"
  | "hardlinks"
  | "devices"
  | "content";

export interface JudgeInput {
  readonly chunk: Chunk;
  readonly entries: readonly WalkedEntry[];
  readonly ignore: ReadonlySet<Aspect>;
}

/** Dumps one chunk. Throws when the tool itself fails: a judge that cannot see must not be silent. */
export type Judge = (input: JudgeInput) => Promise<Dump>;

export function diffDumps(judge: string, source: Dump, restored: Dump): string[] {
  const differences: string[] = [];
  for (const path of [...new Set([...source.keys(), ...restored.keys()])].toSorted()) {
    const expected = source.get(path);
    const found = restored.get(path);
    if (expected !== found) {
      differences.push(`${judge} ${showPath(path)}: source ${show(expected)}, restored ${show(found)}`);
    }
  }
  return differences;
}

export function showPath(path: string): string {
  const shown = JSON.stringify(`./${path}`);
  return shown.length > 200 ? `${shown.slice(0, 120)}…${shown.slice(-60)}` : shown;
}

function show(line: string | undefined): string {
  if (line === undefined) return "nothing";
  return line.length > 300
    ? `${JSON.stringify(line.slice(0, 300))}… (${line.length} characters)`
    : JSON.stringify(line);
}

/** Cuts the output of a tool that prints one record per operand, in order, into a dump. */
export function recordsInOrder(entries: readonly WalkedEntry[], records: readonly string[], tool: string): Dump {
  if (records.length !== entries.length) {
    throw new Error(`${tool} gave ${records.length} records for ${entries.length} entries`);
  }
  return new Map(entries.map((entry, index) => [entry.path, records[index] ?? ""]));
}

/** Files whose logical size is far over what they hold: reading them whole would take hours. */
export function isHugeSparse({ stat }: WalkedEntry): boolean {
  return stat.isFile() && stat.size > 64n * 1024n * 1024n && stat.blocks * 512n < stat.size / 4n;
}
