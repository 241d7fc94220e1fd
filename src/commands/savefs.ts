// savefs: whole file systems, from a frozen view of each: snapshot → open → save → prove → commit → give back.

import { thawedError } from "../filesystem/source-errors.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { Warning } from "../model/events.ts";
import type { CommandContext, Outcome, SaveDetails, SaveOptions } from "../model/options.ts";
import type { SnapshotOptions } from "../model/snapshot.ts";
import { readFilesFrom } from "./files-from.ts";
import { originOf } from "./head.ts";
import { mountedSource, openSaveSource, type SaveSource } from "./open-sources.ts";
import { refuseArchiveAsSource } from "./own-files.ts";
import { saveFromSnapshots } from "./snapshot-context.ts";
import { type ArchiveInput, writeArchive } from "./write-archive.ts";

/** Throws SOURCE_*, SNAPSHOT_*, and what saving throws. Nothing is created before all sources are opened. */
export async function savefs(options: SaveOptions, context: CommandContext): Promise<Outcome<SaveDetails>> {
  refuseArchiveAsSource(options);
  const only = readFilesFrom(options.filesFrom);
  if (options.snapshot !== undefined) return saveSnapshots(options, options.snapshot, only, context);
  const opened: SaveSource[] = [];
  try {
    for (const path of options.sources) opened.push(await openSaveSource(path, options));
    return await saveOpened(opened, () => prove(opened, options), options, only, context);
  } finally {
    for (const source of opened.toReversed()) await source.opened.close();
  }
}

async function saveSnapshots(
  options: SaveOptions,
  snapshot: SnapshotOptions,
  only: ReturnType<typeof readFilesFrom>,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  return saveFromSnapshots(options, options.sources, snapshot, context, (session, held) => {
    const sources = session.sources.map((opened, i) => mountedSource(options.sources[i] as string, opened));
    const proof = async (): Promise<Readonly<Record<string, unknown>>> => {
      await prove(sources, options);
      return { ...(await session.prove()) };
    };
    return saveOpened(sources, proof, options, only, held);
  });
}

async function saveOpened(
  opened: readonly SaveSource[],
  proof: NonNullable<ArchiveInput["prove"]>,
  options: SaveOptions,
  only: ReturnType<typeof readFilesFrom>,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  const warnings: Warning[] = [];
  for (const [i, source] of opened.entries()) {
    context.reporter.step(source.step);
    for (const message of source.opened.warnings) {
      warnings.push({
        code: "FILESYSTEM_FEATURE",
        path: new Uint8Array(0),
        message: `${options.sources[i] as string}: ${message}`,
      });
    }
  }
  const sources = opened.map(
    ({ opened: source }, i): SourceDescription => ({
      kind: "filesystem",
      prefix: opened.length === 1 ? "./" : `${i}/`,
      origin: originOf(source.origin),
      filesystem: source.description,
    }),
  );
  const roots = opened.map(({ root }) => ({
    ...root,
    filter: { excludes: options.excludes, only },
    excludeCaches: options.excludeCaches,
    crossMounts: false,
  }));
  const recheck = opened.some(({ opened: { frozen } }) => !frozen);
  return writeArchive(options, { sources, roots, recheck, warnings, prove: proof }, context);
}

/** After the last read: a view that was frozen must be so still. */
async function prove(sources: readonly SaveSource[], options: SaveOptions): Promise<undefined> {
  for (const [i, { opened: source }] of sources.entries()) {
    if (!source.frozen) continue;
    const state = source.checkFrozen();
    if (state.writable) throw thawedError(options.sources[i] as string, state);
  }
  return undefined;
}
