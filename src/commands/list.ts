// list: the entries of an archive, from its catalog: no data is decompressed. Rows are streamed in the archive's order, unless they are sorted. Of images
// it is the files inside that are listed.

import { EntryPaths, LinkPaths } from "../archive/entry-paths.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { compileSelection, type PathSelection } from "../base/pattern.ts";
import { blockRows } from "../format/segmentDecoder.ts";
import { EntryKind } from "../model/entry.ts";
import type { CommandContext, ListedEntry, ListOptions, Outcome } from "../model/options.ts";
import { imageEntries } from "./image-entries.ts";
import { imagesAmong, openImageFiles, throwIfLost } from "./image-files.ts";
import { throwIfDamaged } from "./outcome.ts";
import { chosenSources, nextTurn, nothingFits } from "./parts.ts";
import { countWarnings } from "./reporters.ts";
import { SortedEntries } from "./sorted-entries.ts";

/** Entries of an image, or sorted ones, between two turns of the event loop. */
const entriesPerTurn = 100;

type OnEntry = (entry: ListedEntry) => void | Promise<void>;

/** Calls `onEntry` for each selected entry. Throws ARCHIVE_DAMAGED afterwards when a part of the catalog is lost, FAILED where patterns fit nothing. */
export async function list(
  options: ListOptions,
  context: CommandContext,
  onEntry: OnEntry,
): Promise<Outcome<{ readonly entries: number }>> {
  let entries = 0;
  const sorted = options.sort === undefined ? undefined : new SortedEntries(options.sort);
  const warnings = await readEntries(options, context, (entry) => {
    entries++;
    return sorted === undefined ? onEntry(entry) : sorted.add(entry);
  });
  let turn = 0;
  for (const entry of (await sorted?.inOrder(context.signal)) ?? []) {
    if (turn++ % entriesPerTurn === 0) await nextTurn();
    const done = onEntry(entry);
    if (done !== undefined) await done;
  }
  return { status: warnings === 0 ? 0 : 1, warnings, details: { entries } };
}

type ReadOptions = Pick<ListOptions, "archive" | "patterns" | "source" | "asFiles">;

/**
 * Hands out the selected entries in the archive's order; what is lost of the catalog is told, and thrown at the end, and so are patterns that fit nothing.
 * Returns how many entries inside of images could not be read.
 */
export async function readEntries(options: ReadOptions, context: CommandContext, onEntry: OnEntry): Promise<number> {
  let isEmpty = true;
  const unread = await readSelected(options, context, (entry) => {
    isEmpty = false;
    return onEntry(entry);
  });
  if (isEmpty && options.patterns.length > 0) throw nothingFits(options.archive, options.patterns);
  return unread;
}

async function readSelected(options: ReadOptions, context: CommandContext, onEntry: OnEntry): Promise<number> {
  const selection = compileSelection(options.patterns);
  const reader = await ArchiveReader.open(options.archive, context.signal);
  try {
    const sources = chosenSources(reader.head, options.source);
    const images = imagesAmong(reader.head, sources, options.asFiles);
    if (images.length > 0) return await readImages(reader, images, selection, context, onEntry);
    const isChosen = reader.head.sources.map((_, id) => sources.includes(id));
    const paths = new EntryPaths(isChosen.length);
    const links = new LinkPaths();
    for await (const group of reader.groups(false)) {
      await nextTurn();
      context.signal.throwIfAborted();
      const { catalog } = group;
      if (!paths.enter(group) || catalog === undefined) {
        const message = "a catalog segment is lost: its entries cannot be listed";
        reader.damages.push({ offset: reader.input.position, message });
        continue;
      }
      let number = catalog.header.firstEntry - 1;
      for (const block of catalog.blocks) {
        for (const row of blockRows(block, reader.digest.length)) {
          number++;
          const path = paths.next(row);
          const { source } = paths;
          const linkPath = links.next(number, row, path);
          if (isChosen[source] !== true) continue;
          if (!selection.empty && !selection.selects(path, row.kind === EntryKind.directory)) continue;
          const done = onEntry(
            linkPath === undefined ? { source, number, path, row } : { source, number, path, row, linkPath },
          );
          if (done !== undefined) await done;
        }
      }
    }
    for (const { offset, message } of reader.damages) {
      context.reporter.warning({
        code: "ARCHIVE_PART_LOST",
        path: new Uint8Array(0),
        message: `at byte ${offset} of the archive: ${message}`,
      });
    }
    const found = { damagedBlocks: [], hostile: reader.damages.find(({ hostile }) => hostile)?.message };
    throwIfDamaged(options.archive, found, reader.damages.length, "the rest is listed");
    return 0;
  } finally {
    await reader.close();
  }
}

async function readImages(
  reader: ArchiveReader,
  images: readonly number[],
  selection: PathSelection,
  context: CommandContext,
  onEntry: OnEntry,
): Promise<number> {
  const { reporter, warnings } = countWarnings(context.reporter);
  const opened = await openImageFiles(reader, images, context.reporter);
  let turn = 0;
  for (const files of opened) {
    for (const entry of imageEntries(files, selection, reporter)) {
      if (turn++ % entriesPerTurn === 0) await nextTurn();
      context.signal.throwIfAborted();
      const done = onEntry(entry);
      if (done !== undefined) await done;
    }
  }
  const all = opened.map(({ image }) => image);
  throwIfLost(reader.input.name, all, "the rest is listed", context.reporter);
  return warnings();
}
