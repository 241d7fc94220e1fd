// cat: the content of one file, checked by its digest; of a file inside an image by the checksums of the blocks it is in.

import { ArchiveReader } from "../archive/reader.ts";
import { EntryPaths } from "../archive/entry-paths.ts";
import type { Choice } from "../archive/locate.ts";
import type { Group, GroupSource } from "../archive/reader.ts";
import { concatBytes, equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import type { CatDetails, CatOptions, CommandContext, Outcome } from "../model/options.ts";
import { FileContent, type WriteBytes } from "../restore/content.ts";
import { imagesAmong } from "./image-files.ts";
import { kindWords } from "./kind-words.ts";
import { chooseParts, chosenSources } from "./parts.ts";

interface FoundFile {
  readonly entry: number;
  readonly content: FileContent;
  readonly row: CatalogRow;
}

/** Hands the file's bytes to `write`, holes as zeros. Throws FAILED for what is no file of the archive, ARCHIVE_DAMAGED when the content is not right. */
export async function cat(
  options: CatOptions,
  context: CommandContext,
  write: WriteBytes,
): Promise<Outcome<CatDetails>> {
  const { archive, source } = options;
  const { signal } = context;
  const path = Buffer.from(options.path.replace(/^\/+/, "").replace(/\/+$/, ""));
  const reader = await ArchiveReader.open(archive, signal);
  try {
    const sources = chosenSources(reader.head, source);
    const images = imagesAmong(reader.head, sources, options.asFiles);
    if (images.length > 0) {
      const { catFromImages } = await import("./image-cat.ts");
      const bytes = await catFromImages(reader, images, path, write, context);
      if (bytes === undefined) throw noSuchFile(archive, options.path);
      return { status: 0, warnings: 0, details: { bytes } };
    }
    const choice = onlyPath(path);
    const { groups, entries, otherPlaces } = await chooseParts(reader, sources, choice, signal);
    if (entries === 0) throw noSuchFile(archive, options.path);
    if (entries !== undefined && entries > 1) {
      throw new TsfsaError("USAGE", `several sources of ${archive} hold ${options.path}`, {
        hints: ["choose one with --id"],
      });
    }
    // The content of a hard link stands with its object.
    const [object] = otherPlaces.keys();
    const isWanted = (entry: number, id: number, found: Uint8Array): boolean =>
      object === undefined ? sources.includes(id) && equalBytes(found, path) : entry === object;
    const row = await copy(groups, isWanted, write, signal);
    if (row === undefined) throw noSuchFile(archive, options.path);
    return { status: 0, warnings: 0, details: { bytes: row.size } };
  } finally {
    await reader.close();
  }
}

/** Writes the first file that is wanted and stops there. Its row; undefined when there is none. */
async function copy(
  groups: GroupSource,
  isWanted: (entry: number, source: number, path: Uint8Array) => boolean,
  write: WriteBytes,
  signal: AbortSignal,
): Promise<CatalogRow | undefined> {
  const paths = new EntryPaths(groups.head.sources.length);
  let file: FoundFile | undefined;
  for await (const group of groups.groups(true)) {
    signal.throwIfAborted();
    const { catalog } = group;
    if (!paths.enter(group) || catalog === undefined) continue;
    file ??= await startFile(groups, group, paths, isWanted, write);
    if (file === undefined) continue;
    const { entry, content, row } = file;
    if (!row.continued) return row;
    for (const location of group.blocks) {
      const { continuation } = location.record;
      if (continuation?.entry === entry) await content.go(location, continuation.fileOffset);
    }
    const completion = catalog.completions.find((candidate) => candidate.entry === entry);
    if (completion === undefined) continue;
    await content.finish(completion);
    return row;
  }
  await file?.content.finish(undefined);
  const [lost] = groups.damages;
  if (lost !== undefined) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `a part of the archive is lost at byte ${lost.offset}: ${lost.message}`);
  }
  return undefined;
}

/** The wanted file, if it starts in this group, with the content of its first block written. */
async function startFile(
  groups: GroupSource,
  group: Group,
  paths: EntryPaths,
  isWanted: (entry: number, source: number, path: Uint8Array) => boolean,
  write: WriteBytes,
): Promise<FoundFile | undefined> {
  const { header, blocks } = group.catalog as NonNullable<Group["catalog"]>;
  let entry = header.firstEntry;
  for (const [i, outline] of blocks.entries()) {
    for (const row of decodeBlockRows(outline, groups.digest.length)) {
      const path = paths.next(row);
      if (!isWanted(entry, paths.source, path)) {
        entry++;
        continue;
      }
      refuseOthers(row, path);
      const location = group.blocks.find(({ record }) => record.number === header.firstBlock + i);
      if (location === undefined) throw new TsfsaError("ARCHIVE_DAMAGED", "the block in which it stands is lost");
      const prefix = prefixBytes(groups.head.sources[paths.source] as (typeof groups.head.sources)[number]);
      const content = await FileContent.open(groups, row, write);
      await content.start(location, concatBytes([prefix, path]));
      return { entry, content, row };
    }
  }
  return undefined;
}

function refuseOthers(row: CatalogRow, path: Uint8Array): void {
  if (row.kind === EntryKind.file) return;
  if (row.kind === EntryKind.hardlink) {
    throw new TsfsaError("FAILED", "its content stands under its first name, which a pipe has passed already", {
      path,
      hints: ["name the archive as a file", "`tsfsa list` shows the first name"],
    });
  }
  throw new TsfsaError("FAILED", `expected a file, found ${kindWords[row.kind] ?? "something else"}`, { path });
}

function onlyPath(path: Uint8Array): Choice {
  return {
    selects: (candidate) => equalBytes(candidate, path),
    mayHold: (directory) =>
      path.length > directory.length &&
      path[directory.length] === 0x2f &&
      equalBytes(path.subarray(0, directory.length), directory),
    roots: [path],
  };
}

function noSuchFile(archive: string, path: string): TsfsaError {
  return new TsfsaError("FAILED", `${archive} holds no file ${path}`, {
    path,
    hints: ["`tsfsa list` shows what it holds; paths begin at the root of what was saved"],
  });
}
