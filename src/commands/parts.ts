// What the commands that look at parts of an archive share: which sources are meant, and the part of the archive that has to be read.

import { setImmediate } from "node:timers/promises";
import { ArchiveIndex } from "../archive/archive-index.ts";
import { type Choice, locate, type OtherPlace } from "../archive/locate.ts";
import { PartReader } from "../archive/part-reader.ts";
import type { ArchiveReader, GroupSource } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Head } from "../model/archive.ts";

export interface ChosenParts {
  readonly groups: GroupSource;
  /** Entries that are selected; undefined: not known before all was read. */
  readonly entries: number | undefined;
  /** Blocks that are read; undefined: all. */
  readonly blocks: number | undefined;
  /** Sources of which something is selected. */
  readonly sources: readonly number[];
  readonly otherPlaces: ReadonlyMap<number, OtherPlace>;
}

/** Ids of the sources that are meant. Throws USAGE for an id that the archive does not have. */
export function chosenSources(head: Head, id: number | undefined): number[] {
  const all = [...head.sources.keys()];
  if (id === undefined) return all;
  if (id < all.length) return [id];
  const ids = all.length === 1 ? "only id 0" : `ids 0 to ${all.length - 1}`;
  throw new TsfsaError("USAGE", `the archive has ${ids}, asked was for id ${id}`, {
    hints: ["`tsfsa archinfo` lists them"],
  });
}

/** Reading a file waits for nothing: without a turn of the event loop no signal would be heard until all is read. */
export function nextTurn(): Promise<void> {
  return setImmediate();
}

/** What a restore reads: with --include only what that needs. Throws FAILED where that is known to be nothing. */
export async function chooseIncluded(
  reader: ArchiveReader,
  sources: readonly number[],
  {
    archive,
    includes,
    choice,
  }: { readonly archive: string; readonly includes: readonly string[]; readonly choice: Choice },
  signal: AbortSignal,
): Promise<Pick<ChosenParts, "groups" | "otherPlaces">> {
  if (includes.length === 0) return { groups: reader, otherPlaces: new Map() };
  const chosen = await chooseParts(reader, sources, choice, signal);
  if (chosen.entries === 0) throw nothingFits(archive, includes);
  return chosen;
}

/** At the end of a restore: of a stream, nobody knew before. Throws FAILED when nothing that was asked for was there. */
export function throwIfNothingFits(
  archive: string,
  includes: readonly string[],
  selection: { readonly hasSelected: boolean },
): void {
  if (includes.length > 0 && !selection.hasSelected) throw nothingFits(archive, includes);
}

export function nothingFits(archive: string, patterns: readonly string[]): TsfsaError {
  const what = patterns.map((pattern) => JSON.stringify(pattern)).join(", ");
  return new TsfsaError("FAILED", `${archive} holds nothing that fits ${what}`, {
    path: archive,
    hints: ["`tsfsa list` shows what it holds; paths begin at the root of what was saved"],
  });
}

/** From a file with a whole end only what is needed; else everything, front to back. */
export async function chooseParts(
  reader: ArchiveReader,
  sources: readonly number[],
  choice: Choice,
  signal: AbortSignal,
): Promise<ChosenParts> {
  const whole: ChosenParts = {
    groups: reader,
    entries: undefined,
    blocks: undefined,
    sources,
    otherPlaces: new Map(),
  };
  const index = await ArchiveIndex.open(reader);
  if (index === undefined) return whole;
  try {
    const { parts, entries, otherPlaces } = await locate(index, sources, choice, signal);
    return {
      groups: new PartReader(reader, index, parts),
      entries,
      blocks: parts.length,
      sources: [...new Set(parts.map(({ source }) => source))],
      otherPlaces,
    };
  } catch (error) {
    // Reading front to back goes around damage.
    if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return whole;
    throw error;
  }
}
