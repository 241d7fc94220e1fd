// salvage: what is whole of a damaged archive, restored below a directory or written to a new archive. Everything is looked for anew (archive/salvage-scan);
// then it is an archive like others, restored by restdir's way or read by verify's, with what that finds whole written again.

import { closeSync } from "node:fs";
import { openSink } from "../archive/open-sink.ts";
import { SalvageSource } from "../archive/salvage-source.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Reporter } from "../model/events.ts";
import type { CommandContext, Outcome, SalvageDetails, SalvageOptions } from "../model/options.ts";
import { restoreArchive, type RunContext, verifyArchive } from "../restore/restore.ts";
import { ArchiveRewriter } from "../restore/rewrite.ts";
import type { RunResult } from "../restore/run-options.ts";
import { openBelow, openDestination, prefixComponents, tellIfStopped } from "./destination.ts";
import { salvagedHead } from "./head.ts";
import { refuseArchiveAsSource } from "./own-files.ts";
import { countWarnings } from "./reporters.ts";
import { selectionOf } from "./selection.ts";

/** Status 1: something is damaged or lost; all of it was named. Throws ARCHIVE_DAMAGED when nothing is left, ARCHIVE_HOSTILE. */
export async function salvage(
  options: SalvageOptions,
  context: CommandContext,
  pool: Pick<RunContext, "startPool"> = {},
): Promise<Outcome<SalvageDetails>> {
  const { archive, to } = options;
  const source = await SalvageSource.open(archive, context.signal);
  const { reporter: counting, warnings } = countWarnings(context.reporter);
  const { reporter, lost } = countLost(counting);
  try {
    const run = { ...pool, reporter, signal: context.signal };
    const { result, archiveBytes } =
      "directory" in to
        ? { result: await restoreRemains(source, to.directory, options, run), archiveBytes: undefined }
        : await rewriteRemains(source, to.archive, options, context.environment, run);
    throwIfHostile(archive, result);
    throwIfEmpty(archive, result);
    const { entries, bytes, damagedBlocks } = result;
    const damagedRanges = source.damagedRanges.map(({ start, end }) => ({ offset: start, length: end - start }));
    const details = { entries, bytes, lostEntries: lost(), damagedBlocks, damagedRanges };
    return {
      status: warnings() > 0 ? 1 : 0,
      warnings: warnings(),
      details: { ...details, ...(archiveBytes === undefined ? {} : { archiveBytes }) },
    };
  } finally {
    await source.close();
  }
}

async function restoreRemains(
  source: SalvageSource,
  directory: string,
  { keepDamaged, workers, overwrite }: SalvageOptions,
  run: RunContext,
): Promise<RunResult> {
  const rootFds: (number | undefined)[] = [];
  const destination = openDestination(directory);
  try {
    for (const [id, description] of source.head.sources.entries()) {
      rootFds.push(source.sources.has(id) ? openBelow(destination, prefixComponents(description)) : undefined);
    }
    const selection = selectionOf({ includes: [], excludes: [] });
    const request = { rootFds, workers, selection, stripComponents: 0, restoreRoots: true, overwrite, keepDamaged };
    return await tellIfStopped(directory, run.reporter, restoreArchive(source, request, run));
  } finally {
    closeSync(destination);
    for (const fd of rootFds) if (fd !== undefined) closeSync(fd);
  }
}

async function rewriteRemains(
  source: SalvageSource,
  output: string,
  { archive, workers, overwrite }: SalvageOptions,
  environment: CommandContext["environment"],
  run: RunContext,
): Promise<{ readonly result: RunResult; readonly archiveBytes: number }> {
  refuseArchiveAsSource({ archive: output, sources: [archive] });
  const sink = openSink(output, { overwrite });
  try {
    const head = salvagedHead(source.head, environment);
    const rewriter = await ArchiveRewriter.create(source, sink, head, (warning) => run.reporter.warning(warning));
    const result = await verifyArchive(source, workers, run, rewriter);
    throwIfHostile(archive, result);
    throwIfEmpty(archive, result);
    const { entries } = await rewriter.finish();
    await sink.commit();
    return { result: { ...result, entries }, archiveBytes: sink.offset };
  } catch (error) {
    sink.abort();
    throw error;
  }
}

function throwIfHostile(archive: string, { hostile }: RunResult): void {
  if (hostile === undefined) return;
  throw new TsfsaError("ARCHIVE_HOSTILE", `${archive} holds what no tsfsa writes (${hostile}); it was left out`, {
    path: archive,
    hints: [
      "do not trust this archive: it was changed after it was written, or made to attack",
      "no archive is made of it; --to restores the rest of it",
    ],
  });
}

/** Of a whole archive at least a root is left. */
function throwIfEmpty(archive: string, { entries }: RunResult): void {
  if (entries > 0) return;
  throw new TsfsaError("ARCHIVE_DAMAGED", `nothing of use is left of what ${archive} held`, {
    path: archive,
    hints: ["what is damaged is named above", "fetch the archive again from where it is whole"],
  });
}

/** The same reporter, and how many entries were told to be lost. */
function countLost(reporter: Reporter): { readonly reporter: Reporter; readonly lost: () => number } {
  let count = 0;
  const counting: Reporter = {
    ...reporter,
    warning: (warning) => {
      if (warning.code === "ENTRY_DAMAGED" || warning.code === "ENTRY_NOT_RESTORED") count++;
      reporter.warning(warning);
    },
  };
  return { reporter: counting, lost: () => count };
}
