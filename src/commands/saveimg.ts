// saveimg: devices and images block by block, only the blocks in use where that can be known: snapshot → open → save → prove → commit.

import { basename } from "node:path";
import { TsfsaError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { type OpenImage, openImage } from "../filesystem/image/open-image.ts";
import { thawedError } from "../filesystem/source-errors.ts";
import type { OpenSource } from "../filesystem/types.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { CommandContext, Outcome, SaveDetails, SaveimgOptions } from "../model/options.ts";
import type { SnapshotOptions } from "../model/snapshot.ts";
import type { SnapshotSession } from "../snapshot/session.ts";
import { findVolume, type Volume } from "../snapshot/volume.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import { originOf } from "./head.ts";
import { refuseArchiveAsSource } from "./own-files.ts";
import { saveFromSnapshots } from "./snapshot-context.ts";
import { type ArchiveInput, writeArchive } from "./write-archive.ts";

/** One device as it was asked for and as it is read. */
interface Source {
  readonly path: string;
  /** Device or image file; of a mount point the device below it. */
  readonly name: string;
  readonly origin: string;
  readonly image: OpenImage;
}

/** Throws SOURCE_*, SNAPSHOT_*, and what saving throws. Nothing is created before all sources are opened. */
export async function saveimg(options: SaveimgOptions, context: CommandContext): Promise<Outcome<SaveDetails>> {
  refuseArchiveAsSource(options);
  if (options.snapshot !== undefined) return saveSnapshots(options, options.snapshot, context);
  const opened: Source[] = [];
  try {
    for (const path of options.sources) opened.push(await openUnheld(path, options));
    return await saveOpened(opened, () => prove(opened), options, context);
  } finally {
    for (const { image } of opened.toReversed()) await image.close();
  }
}

/** What is mounted read-write is frozen, and its blocks are read from the snapshot's device. */
async function saveSnapshots(
  options: SaveimgOptions,
  snapshot: SnapshotOptions,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  const volumes = options.sources.map(findVolume);
  for (const volume of volumes) refuseSubvolumes(volume, snapshot);
  const paths = options.sources.filter((_, i) => volumes[i] !== undefined);
  return saveFromSnapshots(options, paths, snapshot, context, (session, held) =>
    saveHeld(session, volumes, options, held),
  );
}

/** `volumes`: of each source; undefined: it needs no snapshot, and the session has none. */
async function saveHeld(
  session: SnapshotSession,
  volumes: readonly (Volume | undefined)[],
  options: SaveimgOptions,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  const opened: Source[] = [];
  const held = [...session.sources];
  try {
    for (const [i, path] of options.sources.entries()) {
      const volume = volumes[i];
      const source =
        volume === undefined ? openUnheld(path, options) : openHeld(volume, held.shift() as OpenSource, options);
      opened.push(await source);
    }
    const proof = async (): Promise<Readonly<Record<string, unknown>>> => {
      await prove(opened);
      return { ...(await session.prove()) };
    };
    return await saveOpened(opened, proof, options, context);
  } finally {
    for (const { image } of opened.toReversed()) await image.close();
  }
}

async function openUnheld(path: string, { allowRw, raw }: SaveimgOptions): Promise<Source> {
  return { path, name: path, origin: path, image: await openImage(path, { allowRw, raw }) };
}

async function openHeld(volume: Volume, source: OpenSource, { raw }: SaveimgOptions): Promise<Source> {
  const image = await openImage(source.device, { allowRw: false, raw, held: true });
  return { path: volume.path, name: volume.devicePath, origin: source.origin, image };
}

/** A snapshot of btrfs itself is a subvolume, not a device. */
function refuseSubvolumes(volume: Volume | undefined, { method }: SnapshotOptions): void {
  if (volume?.type !== "btrfs" || (method !== "auto" && method !== "btrfs")) return;
  const { path } = volume;
  throw new TsfsaError(
    "SNAPSHOT_REFUSED",
    `${path}: a snapshot of btrfs is a subvolume, of which no image can be made`,
    {
      path,
      hints: [
        "hold the whole file system still: --snapshot=freeze, or --snapshot=remount-ro",
        "or save its files: savefs --snapshot",
      ],
    },
  );
}

async function saveOpened(
  opened: readonly Source[],
  proof: NonNullable<ArchiveInput["prove"]>,
  options: SaveimgOptions,
  context: CommandContext,
): Promise<Outcome<SaveDetails>> {
  const now = nowOf(context.environment);
  let doubts = 0;
  for (const { path, image } of opened) {
    context.reporter.step(`${path}: ${planText(image)}`);
    if (image.doubt === undefined || image.description === undefined || !image.frozen || options.raw) continue;
    doubts++;
    context.reporter.warning({
      code: "ALL_BLOCKS_READ",
      path: new Uint8Array(0),
      message: `${path}: all its blocks are read, since what it says of its free ones cannot be relied on: ${image.doubt}`,
    });
  }
  const sources = opened.map((source, i) => describe(source, opened.length === 1 ? "./" : `${i}/`));
  const roots = opened.map(({ name, image }) => ({
    image: {
      fd: image.fd,
      directFd: image.directFd,
      name: Buffer.from(fileName(name)),
      mtime: image.mtime ?? now,
      size: image.sizeBytes,
      runs: image.runs,
    },
  }));
  const outcome = await writeArchive(options, { sources, roots, recheck: false, prove: proof }, context);
  return doubts === 0 ? outcome : { ...outcome, status: 1, warnings: outcome.warnings + doubts };
}

function describe({ name, origin, image }: Source, prefix: string): SourceDescription {
  return {
    kind: "directory",
    prefix,
    origin: originOf(origin),
    image: {
      file: fileName(name),
      sizeBytes: image.sizeBytes,
      endBytes: image.endBytes,
      doubt: image.doubt ?? null,
      type: image.identity?.type ?? null,
      ...(image.description === undefined ? {} : { filesystem: image.description }),
    },
  };
}

/** `/dev/sda2` becomes `sda2.img`. */
function fileName(path: string): string {
  const name = basename(path);
  const stem = name.endsWith(".img") ? name.slice(0, -4) : name;
  return `${Buffer.from(stem)
    .subarray(0, 240)
    .toString()
    .replace(/\uFFFD+$/, "")}.img`;
}

function planText({ identity, sizeBytes, runs, doubt }: OpenImage): string {
  const read = `${formatSize(sumOfSegments(runs))} of ${formatSize(sizeBytes)} to read`;
  return `${identity?.type ?? "nothing recognised"}, ${read}${doubt === undefined ? "" : ` (all blocks: ${doubt})`}`;
}

/** Devices have no time of their own. */
function nowOf(environment: CommandContext["environment"]): { seconds: number; nanoseconds: number } {
  const epoch = Number(environment["SOURCE_DATE_EPOCH"] ?? "");
  const isPinned = environment["SOURCE_DATE_EPOCH"] !== undefined && Number.isSafeInteger(epoch) && epoch > 0;
  return { seconds: isPinned ? epoch : Math.floor(Date.now() / 1000), nanoseconds: 0 };
}

/** After the last read: a device that nobody could write must be so still. */
async function prove(sources: readonly Source[]): Promise<undefined> {
  for (const { path, image } of sources) {
    if (!image.frozen) continue;
    const state = image.checkFrozen();
    if (state.writable) throw thawedError(path, state);
  }
  return undefined;
}
