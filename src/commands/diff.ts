// diff: what differs between an archive and a directory, a file system or another archive. Devices and images are opened read-only. An image in the
// archive is compared by its blocks, or by the files inside where a directory is named.

import { closeSync, constants, openSync, type Stats, statSync } from "node:fs";
import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { OpenSource } from "../filesystem/types.ts";
import type { Head } from "../model/archive.ts";
import type { Difference } from "../model/difference.ts";
import type { CommandContext, DiffDetails, DiffOptions, Outcome } from "../model/options.ts";
import { compareArchive } from "../restore/compare.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_CONTAINED } from "../sys/constants.ts";
import { prefixComponents } from "./destination.ts";
import { diffArchives } from "./diff-archives.ts";
import { diffImage, diffImageArchives } from "./diff-images.ts";
import { asArchive, type ImageFiles, imagesAmong, openImageFiles, throwIfLost } from "./image-files.ts";
import { throwIfDamaged } from "./outcome.ts";
import { chosenSources } from "./parts.ts";
import { countWarnings } from "./reporters.ts";
import { selectionOf } from "./selection.ts";

type Close = () => void | Promise<void>;
export type OnDifference = (difference: Difference) => void | Promise<void>;

/** Status 1: something differs, or could not be compared. Throws ARCHIVE_DAMAGED after comparing what is whole. */
export async function diff(
  options: DiffOptions,
  context: CommandContext,
  onDifference: OnDifference,
): Promise<Outcome<DiffDetails>> {
  const stat = statTarget(options.target);
  if (stat.isFile() && (await isArchive(options.target, context.signal))) {
    const images = await diffImageArchives(options, context, onDifference);
    return images ?? diffArchives(options, context, onDifference);
  }
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const { reporter, warnings } = countWarnings(context.reporter);
  const close: Close[] = [];
  try {
    const ids = chosenSources(reader.head, options.source);
    const images = imagesAmong(reader.head, ids, false);
    if (images.length > 0) return await diffImages(reader, images, stat.isDirectory(), options, context, onDifference);
    const rootFds = stat.isDirectory()
      ? directoryRoots(options, reader.head, ids, close)
      : await filesystemRoot(options, ids, close);
    const { workers, compare } = options;
    const request = { rootFds, workers, selection: selectionOf(options), compare, onDifference };
    const result = await compareArchive(reader, request, { reporter, signal: context.signal });
    throwIfDamaged(options.archive, result, reader.damages.length, "what is whole was compared");
    const { compared, removed, added, changed } = result;
    const details = { compared, removed, added, changed, content: "digest" } as const;
    const status = removed + added + changed + warnings() > 0 ? 1 : 0;
    return { status, warnings: warnings(), details };
  } finally {
    for (const each of close.toReversed()) await each();
    await reader.close();
  }
}

/** With a directory the files inside, with a device or image file the blocks. */
async function diffImages(
  reader: ArchiveReader,
  images: readonly number[],
  isDirectory: boolean,
  options: DiffOptions,
  context: CommandContext,
  onDifference: OnDifference,
): Promise<Outcome<DiffDetails>> {
  const { target, workers, compare, excludes, includes } = options;
  const [id, ...others] = images;
  if (id === undefined || others.length > 0) throw whichSource(target);
  if (!isDirectory) return diffImage(reader, id, options, context, onDifference);
  const { reporter, warnings } = countWarnings(context.reporter);
  const [files] = await openImageFiles(reader, [id], reporter);
  const rootFd = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY);
  const inner = { filter: { excludes, includes, only: undefined }, workers, reporter, signal: context.signal };
  try {
    const result = await asArchive(files as ImageFiles, inner, (archive, signal) => {
      const tell = (difference: Difference): void | Promise<void> => onDifference({ ...difference, source: id });
      const request = { rootFds: [rootFd], workers, selection: selectionOf(options), compare, onDifference: tell };
      return compareArchive(archive, request, { reporter, signal });
    });
    throwIfLost(options.archive, [(files as ImageFiles).image], "what is whole was compared", reporter);
    const { compared, removed, added, changed } = result;
    const status = removed + added + changed + warnings() > 0 ? 1 : 0;
    return { status, warnings: warnings(), details: { compared, removed, added, changed, content: "digest" } };
  } finally {
    closeSync(rootFd);
  }
}

function whichSource(target: string): TsfsaError {
  return new TsfsaError("USAGE", `the archive has several sources: which one is ${target}?`, {
    hints: [`say id=N=${target}`, "`tsfsa archinfo` lists them"],
  });
}

function statTarget(target: string): Stats {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat !== undefined) return stat;
  throw new TsfsaError("SOURCE_MISSING", `there is nothing to compare with: ${target} does not exist`, {
    path: target,
  });
}

async function isArchive(path: string, signal: AbortSignal): Promise<boolean> {
  try {
    await (await ArchiveReader.open(path, signal)).close();
    return true;
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_FOREIGN") return false;
    throw error;
  }
}

/** One source: the directory itself. Several: each below its prefix, as restdir puts them. */
function directoryRoots(
  { target, source }: DiffOptions,
  head: Head,
  ids: readonly number[],
  close: Close[],
): (number | undefined)[] {
  const root = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY);
  close.push(() => closeSync(root));
  return head.sources.map((description, id) => {
    if (!ids.includes(id)) return undefined;
    const fd = openBelow(root, source === undefined ? prefixComponents(description) : [], target);
    close.push(() => closeSync(fd));
    return fd;
  });
}

function openBelow(root: number, components: readonly Uint8Array[], target: string): number {
  const native = addon();
  let fd = native.duplicate(root);
  for (const component of components) {
    const next = native.openAt(fd, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_CONTAINED);
    native.close(fd);
    fd = next;
    if (fd >= 0) continue;
    const name = Buffer.from(component).toString();
    throw new TsfsaError(
      "SOURCE_MISSING",
      `the archive has several sources, but ${target} holds no directory ${name}`,
      {
        path: target,
        hints: ["compare one source: id=N=DIRECTORY"],
      },
    );
  }
  return fd;
}

async function filesystemRoot(
  { target }: DiffOptions,
  ids: readonly number[],
  close: Close[],
): Promise<(number | undefined)[]> {
  const [id, ...others] = ids;
  if (id === undefined || others.length > 0) throw whichSource(target);
  const opened: OpenSource = await openSource(target, { allowRw: true });
  close.push(() => opened.close());
  const roots: (number | undefined)[] = [];
  roots[id] = opened.rootFd;
  return Array.from({ length: id + 1 }, (_, each) => roots[each]);
}
