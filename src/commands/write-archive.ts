// What savefs and savedir share: from opened roots to a committed archive.

import { openSink } from "../archive/open-sink.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { Warning } from "../model/events.ts";
import type { CommandContext, Outcome, SaveDetails, SaveOptions } from "../model/options.ts";
import type { ImageRoot } from "../save/image.ts";
import type { SaveRoot } from "../save/roots.ts";
import { saveArchive } from "../save/save.ts";
import { newHead } from "./head.ts";
import { countWarnings, strictly } from "./reporters.ts";

export interface ArchiveInput {
  readonly sources: readonly SourceDescription[];
  readonly roots: readonly (SaveRoot | ImageRoot)[];
  /** Others may write the sources meanwhile. */
  readonly recheck: boolean;
  /** What is known to be missing before anything is read. */
  readonly warnings?: readonly Warning[];
  /** After the last read: throws if a source did not stay frozen. */
  readonly prove?: () => Promise<Readonly<Record<string, unknown>> | undefined>;
}

export async function writeArchive(
  options: SaveOptions,
  input: ArchiveInput,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  const head = newHead(options, input.sources, context.environment);
  const { compression, workers } = options;
  const { reporter, warnings } = countWarnings(strictly(options.strict, context.reporter));
  const sink = openSink(options.dryRun ? "/dev/null" : options.archive, { overwrite: options.overwrite });
  try {
    for (const warning of input.warnings ?? []) reporter.warning(warning);
    const request = { head, roots: input.roots, compression, workers, recheck: input.recheck };
    const { prove } = input;
    const saved = await saveArchive(request, sink, {
      reporter,
      signal: context.signal,
      ...(prove === undefined ? {} : { prove }),
    });
    await sink.commit();
    const details = { archive: options.archive, ...saved, archiveBytes: sink.offset, verified: false };
    if (!options.verify || options.dryRun) return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
    const { verify } = await import("./verify.ts");
    await verify({ archive: options.archive, workers, quick: false }, context);
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details: { ...details, verified: true } };
  } catch (error) {
    sink.abort();
    throw error;
  }
}
