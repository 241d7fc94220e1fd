// Images of an archive compared block by block, with a device, an image file or an image of another archive: the first places that differ are named.

import { ArchivedImage, blocksOfSources } from "../archive/archived-image.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { openWith } from "../filesystem/cleanup.ts";
import { RunBuilder } from "../filesystem/image/runs.ts";
import { accessOfFd, type RandomAccess } from "../filesystem/random-access.ts";
import { openReader } from "../filesystem/source-mount.ts";
import type { Difference, FieldDifference } from "../model/difference.ts";
import type { Extent } from "../model/entry.ts";
import type { CommandContext, DiffDetails, DiffOptions, Outcome } from "../model/options.ts";
import { O_RDONLY } from "../sys/constants.ts";
import { throwIfLost } from "./image-files.ts";
import { nextTurn } from "./parts.ts";

type SourceBlocks = Awaited<ReturnType<typeof blocksOfSources>>;
type OnDifference = (difference: Difference) => void | Promise<void>;

const chunkBytes = 1024 * 1024;
/** What differs is named in units of this. */
const unitBytes = 4096;
/** So many places are named. */
const rangesMax = 8;

/** One image with a device or image file, which need not stand still: what the archive does not hold is not compared. */
export async function diffImage(
  reader: ArchiveReader,
  id: number,
  { target }: DiffOptions,
  { signal, reporter }: CommandContext,
  onDifference: OnDifference,
): Promise<Outcome<DiffDetails>> {
  return openWith(async (cleanup) => {
    const image = await openImage(reader, id);
    const { fd, sizeBytes } = openReader(cleanup, target, O_RDONLY);
    const fields = await compare(image, accessOfFd(fd, sizeBytes), image.runs, signal);
    if (fields.length > 0) await onDifference({ change: "changed", source: id, path: nameOf(reader, id), fields });
    await cleanup.run();
    throwIfLost(reader.input.name, [image], "what is whole was compared", reporter);
    const changed = fields.length === 0 ? 0 : 1;
    return { status: changed, warnings: 0, details: { compared: 1, removed: 0, added: 0, changed, content: "digest" } };
  });
}

/** The images of two archives, source by source. Undefined: one of them holds other things than images. */
export async function diffImageArchives(
  { archive, target, source }: DiffOptions,
  { signal, reporter }: CommandContext,
  onDifference: OnDifference,
): Promise<Outcome<DiffDetails> | undefined> {
  return openWith(async (cleanup) => {
    const open = async (path: string): Promise<ArchiveReader> => {
      const reader = await ArchiveReader.open(path, signal);
      cleanup.defer(() => reader.close());
      return reader;
    };
    const holdsImages = ({ head }: ArchiveReader): boolean => head.sources.every(({ image }) => image !== undefined);
    // The other one may come from a pipe, which can be opened once.
    const right = await open(target);
    const left = holdsImages(right) ? await open(archive) : undefined;
    const blocks = left === undefined ? undefined : [await blocksOfSources(left), await blocksOfSources(right)];
    if (left === undefined || blocks === undefined || !holdsImages(left)) {
      await cleanup.run();
      return undefined;
    }
    const images: ArchivedImage[] = [];
    const counts = { compared: 0, removed: 0, added: 0, changed: 0 };
    for (let id = 0; id < Math.max(left.head.sources.length, right.head.sources.length); id++) {
      if (source !== undefined && id !== source) continue;
      const [a, b] = [left.head.sources[id], right.head.sources[id]];
      if (a === undefined || b === undefined) {
        const change = a === undefined ? "added" : "removed";
        counts[change]++;
        await onDifference({ change, source: id, path: nameOf(a === undefined ? right : left, id), fields: [] });
        continue;
      }
      const pair = [await openImage(left, id, blocks[0]), await openImage(right, id, blocks[1])] as const;
      images.push(...pair);
      const fields = await compare(pair[0], pair[1], unionOf(pair[0].runs, pair[1].runs), signal);
      counts.compared++;
      if (fields.length === 0) continue;
      counts.changed++;
      await onDifference({ change: "changed", source: id, path: nameOf(left, id), fields });
    }
    await cleanup.run();
    throwIfLost(archive, images, "what is whole was compared", reporter);
    const { removed, added, changed } = counts;
    return { status: removed + added + changed > 0 ? 1 : 0, warnings: 0, details: { ...counts, content: "digest" } };
  });
}

async function openImage(reader: ArchiveReader, id: number, all?: SourceBlocks): Promise<ArchivedImage> {
  const blocks = (all ?? (await blocksOfSources(reader))).get(id) ?? [];
  return ArchivedImage.open(reader, reader.head.sources[id] as Parameters<typeof ArchivedImage.open>[1], blocks);
}

function nameOf({ head }: ArchiveReader, id: number): Uint8Array {
  return Buffer.from(head.sources[id]?.image?.file ?? "");
}

async function compare(
  a: RandomAccess,
  b: RandomAccess,
  runs: Float64Array,
  signal: AbortSignal,
): Promise<FieldDifference[]> {
  const sizes = { field: "size", archived: String(a.sizeBytes), found: String(b.sizeBytes) } as const;
  const ranges = await differing(a, b, runs, signal);
  return [
    ...(a.sizeBytes === b.sizeBytes ? [] : [sizes]),
    ...(ranges.length === 0 ? [] : [{ field: "content", ranges } as const]),
  ];
}

/** The first ranges within the runs in which the two differ; damaged places of the archives are passed over. */
async function differing(a: RandomAccess, b: RandomAccess, runs: Float64Array, signal: AbortSignal): Promise<Extent[]> {
  const found: { offset: number; length: number }[] = [];
  const [left, right] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)];
  for (let i = 0; i < runs.length; i += 2) {
    const end = (runs[i] as number) + (runs[i + 1] as number);
    for (let at = runs[i] as number; at < end; at += chunkBytes) {
      await nextTurn();
      signal.throwIfAborted();
      const length = Math.min(chunkBytes, end - at);
      if (!fill(a, left, at, length) || !fill(b, right, at, length)) continue;
      if (left.compare(right, 0, length, 0, length) === 0) continue;
      for (let from = 0; from < length; from += unitBytes) {
        const to = Math.min(from + unitBytes, length);
        if (left.compare(right, from, to, from, to) === 0) continue;
        const last = found.at(-1);
        if (last !== undefined && last.offset + last.length === at + from) last.length += to - from;
        else if (found.length === rangesMax) return found;
        else found.push({ offset: at + from, length: to - from });
      }
    }
  }
  return found;
}

/** Bytes beyond the end are zeros. False: they are lost. */
function fill(access: RandomAccess, target: Buffer, position: number, length: number): boolean {
  const available = Math.max(0, Math.min(length, access.sizeBytes - position));
  target.fill(0, available, length);
  try {
    if (available > 0) access.readInto(target, 0, available, position);
    return true;
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return false;
    throw error;
  }
}

function unionOf(a: Float64Array, b: Float64Array): Float64Array {
  const builder = new RunBuilder(Number.MAX_SAFE_INTEGER);
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const isFirst = j >= b.length || (i < a.length && (a[i] as number) <= (b[j] as number));
    if (isFirst) builder.add(a[i] as number, a[i + 1] as number);
    else builder.add(b[j] as number, b[j + 1] as number);
    if (isFirst) i += 2;
    else j += 2;
  }
  return builder.finish();
}
