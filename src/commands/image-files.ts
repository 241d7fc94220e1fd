// The files inside the images of an archive: read by the block-level reader of ext file systems, which asks for the blocks of the archive that it needs. A
// journal that was not replayed is replayed in memory. Whoever wants more than names gets the files as an archive of their own, made as it is read.

import { ArchivedImage, blocksOfSources } from "../archive/archived-image.ts";
import { memoryPipe } from "../archive/memory-pipe.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { MetadataFlaw } from "../filesystem/exact.ts";
import { ExtFilesystem, rootInode } from "../filesystem/ext/filesystem.ts";
import { ExtTree } from "../filesystem/ext/tree.ts";
import type { Head, ImageDescription, SourceDescription } from "../model/archive.ts";
import type { Reporter } from "../model/events.ts";
import type { FilterOptions } from "../save/protocol.ts";
import { saveArchive } from "../save/save.ts";
import { newHead } from "./head.ts";
import { throwIfDamaged } from "./outcome.ts";

export interface ImageFiles {
  readonly source: number;
  readonly image: ArchivedImage;
  readonly fs: ExtFilesystem;
}

type ImageSource = SourceDescription & { readonly image: ImageDescription };

/** Of the chosen sources those whose files are meant; none where `asFiles` takes images for the files they are in the archive. Throws USAGE for a mixture. */
export function imagesAmong(head: Head, sources: readonly number[], asFiles: boolean): readonly number[] {
  const images = asFiles ? [] : sources.filter((id) => head.sources[id]?.image !== undefined);
  if (images.length === 0 || images.length === sources.length) return images;
  throw new TsfsaError("USAGE", "the archive holds images and other sources: which is meant?", {
    hints: ["choose one with --id: `tsfsa archinfo` lists them"],
  });
}

/** Throws UNSUPPORTED for what is no ext, USAGE for a pipe, ARCHIVE_DAMAGED, SOURCE_UNREADABLE. */
export async function openImageFiles(
  reader: ArchiveReader,
  sources: readonly number[],
  reporter: Reporter,
): Promise<ImageFiles[]> {
  for (const id of sources) refuseOthers(reader, id);
  const blocks = await blocksOfSources(reader);
  const files: ImageFiles[] = [];
  for (const id of sources) {
    const image = await ArchivedImage.open(reader, reader.head.sources[id] as ImageSource, blocks.get(id) ?? []);
    files.push({ source: id, image, fs: openExt(reader, id, image, reporter) });
  }
  return files;
}

function refuseOthers({ head, input }: ArchiveReader, id: number): void {
  const { type } = (head.sources[id] as ImageSource).image;
  if (type === "ext2" || type === "ext3" || type === "ext4") return;
  const found = type === null ? "of unknown content" : `of ${type}`;
  throw new TsfsaError(
    "UNSUPPORTED",
    `source ${id} is an image ${found}: files are read in images of ext2, ext3 and ext4`,
    {
      hints: [
        `\`tsfsa restimg ${input.name} id=${id},dest=FILE\`, then \`mount -o ro,loop FILE DIRECTORY\``,
        "`list`, `du`, `cat` and `extract` take the image itself with --image",
      ],
    },
  );
}

function openExt({ input }: ArchiveReader, id: number, image: ArchivedImage, reporter: Reporter): ExtFilesystem {
  try {
    return ExtFilesystem.open(image);
  } catch (error) {
    if (!(error instanceof MetadataFlaw)) throw error;
    throwIfLost(input.name, [image], "nothing of its files can be read", reporter);
    throw new TsfsaError("SOURCE_UNREADABLE", `the file system in image ${id} cannot be read: ${error.message}`, {
      hints: ["restore the image and check it: `tsfsa restimg`, `e2fsck -n`"],
    });
  }
}

/** Throws ARCHIVE_DAMAGED when blocks were asked for that are lost; `done` says what happened all the same. */
export function throwIfLost(
  archive: string,
  images: readonly ArchivedImage[],
  done: string,
  reporter: Pick<Reporter, "warning">,
): void {
  const damages = images.flatMap((image) => image.damages);
  for (const { offset, message, block } of damages) {
    const place = block === undefined ? `at byte ${offset} of the archive` : `block ${block}`;
    reporter.warning({ code: "ARCHIVE_PART_LOST", path: new Uint8Array(0), message: `${place}: ${message}` });
  }
  const damagedBlocks = damages.map(({ block }) => block ?? 0);
  throwIfDamaged(archive, { damagedBlocks, hostile: undefined }, 0, done);
}

export interface InnerArchive {
  readonly filter: FilterOptions;
  readonly workers: number;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

const compression = { codec: "zstd", level: 0, blockSize: 4 * 1024 * 1024 } as const;

/** Lets `use` read the files as an archive with one source, which is made meanwhile. What the file system does not give is told, and stands there as not saved. */
export async function asArchive<Result>(
  { source, image, fs }: ImageFiles,
  { filter, workers, reporter, signal: outer }: InnerArchive,
  use: (reader: ArchiveReader, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const failed = new AbortController();
  const signal = AbortSignal.any([outer, failed.signal]);
  const { sink, input } = memoryPipe(`the files of image ${source}`, signal);
  const save = async (): Promise<void> => {
    const sources = [{ kind: "directory", prefix: "./", origin: "" }] as const;
    const head = newHead({ compression, label: "", digest: "xxh128" }, sources, {});
    const root = { rootFd: rootInode, block: { fd: -1, overlay: fs.overlay, image: image.plan }, filter };
    const roots = [{ ...root, excludeCaches: false, crossMounts: false }];
    const tree = new ExtTree(fs);
    const context = {
      reporter: { ...quiet, warning: reporter.warning.bind(reporter) },
      signal,
      trees: { of: () => tree },
    };
    await saveArchive({ head, roots, compression, workers, recheck: false }, sink, context);
    await sink.commit();
  };
  const read = async (): Promise<Result> => {
    const reader = await ArchiveReader.of(input);
    try {
      return await use(reader, signal);
    } finally {
      await reader.close();
    }
  };
  const fail = (error: unknown): never => {
    failed.abort(error);
    sink.abort();
    throw error;
  };
  const both = [save().catch(fail), read().catch(fail)] as const;
  await Promise.allSettled(both);
  failed.signal.throwIfAborted(); // the first failure is the cause of the other
  return both[1];
}

const quiet: Omit<Reporter, "warning"> = { progress: () => {}, step: () => {} };
