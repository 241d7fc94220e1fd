// extract: some entries of an archive, at the cost of the blocks they stand in. The destination keeps its own metadata; directories above what is
// extracted are made with theirs, but left as they are where they exist.

import { closeSync } from "node:fs";
import { ArchiveReader } from "../archive/reader.ts";
import { compileSelection } from "../base/pattern.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { CommandContext, ExtractOptions, Outcome, RestoreDetails } from "../model/options.ts";
import { LocalPool } from "../pipeline/local-pool.ts";
import { restoreJobs } from "../restore/jobs.ts";
import { restoreArchive } from "../restore/restore.ts";
import { imageEntries } from "./image-entries.ts";
import { asArchive, imagesAmong, openImageFiles, throwIfLost } from "./image-files.ts";
import { openBelow, openDestination, prefixComponents, tellIfStopped } from "./destination.ts";
import { throwIfDamaged } from "./outcome.ts";
import { chooseParts, chosenSources, nothingFits } from "./parts.ts";
import { countWarnings, strictly } from "./reporters.ts";

/** So few blocks are unpacked sooner than threads start. */
const blocksWithoutThreads = 8;

/** Throws FAILED when nothing fits, ARCHIVE_DAMAGED after extracting what is whole. */
export async function extract(options: ExtractOptions, context: CommandContext): Promise<Outcome<RestoreDetails>> {
  const { archive, patterns, source, workers, overwrite } = options;
  const { signal } = context;
  const selection = compileSelection(patterns);
  const reader = await ArchiveReader.open(archive, signal);
  const { reporter, warnings } = countWarnings(strictly(options.strict, context.reporter));
  const rootFds: (number | undefined)[] = [];
  try {
    const images = imagesAmong(reader.head, chosenSources(reader.head, source), options.asFiles);
    if (images.length > 0) return await extractFromImages(reader, images, options, { ...context, reporter }, warnings);
    const chosen = await chooseParts(reader, chosenSources(reader.head, source), selection, signal);
    if (chosen.entries === 0) throw nothingFits(archive, patterns);
    const destination = openDestination(options.destination);
    try {
      for (const [id, description] of reader.head.sources.entries()) {
        const below = source === undefined ? prefixComponents(description) : [];
        rootFds.push(chosen.sources.includes(id) ? openBelow(destination, below) : undefined);
      }
    } finally {
      closeSync(destination);
    }
    const request = { workers, selection, stripComponents: 0, restoreRoots: false, overwrite };
    const isSmall = chosen.blocks !== undefined && chosen.blocks <= blocksWithoutThreads;
    const restore = restoreArchive(
      chosen.groups,
      { ...request, rootFds, otherPlaces: chosen.otherPlaces },
      { reporter, signal, ...(isSmall ? { startPool: (data) => new LocalPool(restoreJobs(data)) } : {}) },
    );
    const result = await tellIfStopped(options.destination, context.reporter, restore);
    const { entries, bytes } = result;
    throwIfDamaged(archive, result, chosen.groups.damages.length, "what is whole was extracted");
    if (entries === 0 && warnings() === 0) throw nothingFits(archive, patterns);
    return {
      status: warnings() > 0 ? 1 : 0,
      warnings: warnings(),
      details: { entries, bytes, incomplete: warnings() },
    };
  } finally {
    for (const fd of rootFds) if (fd !== undefined) closeSync(fd);
    await reader.close();
  }
}

/** The files inside of images: each image as an archive of the files that are wanted. */
async function extractFromImages(
  reader: ArchiveReader,
  images: readonly number[],
  { archive, patterns, destination, source, workers, overwrite }: ExtractOptions,
  { reporter, signal }: CommandContext,
  warnings: () => number,
): Promise<Outcome<RestoreDetails>> {
  const selection = compileSelection(patterns);
  const opened = await openImageFiles(reader, images, reporter);
  const found = { entries: 0, bytes: 0 };
  for (const files of opened) {
    const below = source === undefined ? prefixComponents(reader.head.sources[files.source] as SourceDescription) : [];
    const silent = { ...reporter, warning: () => {} };
    if (imageEntries(files, selection, silent).next().done === true) continue;
    const filter = { excludes: [], includes: patterns, only: undefined };
    await asArchive(files, { filter, workers, reporter, signal }, async (inner, innerSignal) => {
      const root = openDestination(destination);
      const rootFds = [openBelow(root, below)];
      closeSync(root);
      try {
        const request = { rootFds, workers, selection, stripComponents: 0, restoreRoots: false, overwrite };
        const restore = restoreArchive(inner, { ...request, untold: true }, { reporter, signal: innerSignal });
        const result = await tellIfStopped(destination, reporter, restore);
        found.entries += result.entries;
        found.bytes += result.bytes;
      } finally {
        for (const fd of rootFds) closeSync(fd);
      }
    });
  }
  const lost = opened.map(({ image }) => image);
  throwIfLost(archive, lost, "what is whole was extracted", reporter);
  if (found.entries === 0 && warnings() === 0) throw nothingFits(archive, patterns);
  return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details: { ...found, incomplete: warnings() } };
}
