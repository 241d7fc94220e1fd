// restdir: an archive into a directory, of any file system, as root or not.

import { closeSync } from "node:fs";
import { ArchiveReader } from "../archive/reader.ts";
import type { CommandContext, Outcome, RestdirOptions, RestoreDetails } from "../model/options.ts";
import { restoreArchive } from "../restore/restore.ts";
import { openBelow, openDestination, prefixComponents, refuseUnwritable, tellIfStopped } from "./destination.ts";
import { throwIfDamaged } from "./outcome.ts";
import { chooseIncluded, chosenSources, throwIfNothingFits } from "./parts.ts";
import { selectionOf } from "./selection.ts";
import { countWarnings, strictly } from "./reporters.ts";

/** Restores all sources below the destination, each under its prefix. Throws ARCHIVE_DAMAGED after restoring what is whole. */
export async function restdir(options: RestdirOptions, context: CommandContext): Promise<Outcome<RestoreDetails>> {
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const { reporter, warnings } = countWarnings(strictly(options.strict, context.reporter));
  const rootFds: number[] = [];
  try {
    const selection = selectionOf(options);
    if (options.dryRun) {
      context.reporter.step(`would restore ${options.archive} into ${options.destination}`);
      return { status: 0, warnings: 0, details: { entries: 0, bytes: 0, incomplete: 0 } };
    }
    const { archive, workers, stripComponents, overwrite, includes } = options;
    const { signal } = context;
    const wanted = { archive, includes, choice: selection };
    const { groups, otherPlaces } = await chooseIncluded(reader, chosenSources(reader.head, undefined), wanted, signal);
    const destination = openDestination(options.destination);
    try {
      // Where only some entries are asked for, directories below may be writable that it is not.
      if (selection.empty) refuseUnwritable(options.destination);
      for (const source of reader.head.sources) rootFds.push(openBelow(destination, prefixComponents(source)));
    } finally {
      closeSync(destination);
    }
    const request = { rootFds, workers, selection, stripComponents, restoreRoots: true, overwrite, otherPlaces };
    const restore = restoreArchive(groups, request, { reporter, signal });
    const result = await tellIfStopped(options.destination, context.reporter, restore);
    throwIfDamaged(archive, result, groups.damages.length, "what is whole was restored");
    throwIfNothingFits(archive, includes, selection);
    const details = { entries: result.entries, bytes: result.bytes, incomplete: warnings() };
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
  } finally {
    for (const fd of rootFds) closeSync(fd);
    await reader.close();
  }
}
