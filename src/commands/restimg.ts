// restimg: images back onto devices or into files: plan → check the archive → claim → write what was read, prove each block → name.

import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { type ImageTarget, openImageTarget } from "../filesystem/image/image-target.ts";
import type { Head, ImageDescription } from "../model/archive.ts";
import type { CommandContext, Outcome, RestimgOptions, RestoreDetails, RestoreTarget } from "../model/options.ts";
import { restoreImages } from "../restore/restore.ts";
import { checkIndex } from "./check-index.ts";
import { tellHalfMade, throwIfDamaged } from "./outcome.ts";
import { refuseArchiveAsTarget } from "./own-files.ts";
import { countWarnings } from "./reporters.ts";

const fileHints = ["of ext2, ext3 and ext4, `tsfsa extract` writes the files that are whole, and names the others"];

interface PlannedImage {
  readonly wish: RestoreTarget;
  readonly image: ImageDescription;
  readonly target: ImageTarget;
  /** Undefined: what it held is still there. */
  state?: "half made" | "made";
}

/** Throws TARGET_*, ARCHIVE_*, USAGE; nothing is changed before all is planned. */
export async function restimg(options: RestimgOptions, context: CommandContext): Promise<Outcome<RestoreDetails>> {
  const { reporter, warnings } = countWarnings(context.reporter);
  await checkIndex(options.archive, context.signal, [
    `what is whole of an image: \`tsfsa salvage --keep-damaged --to DIRECTORY ${options.archive}\``,
    ...fileHints,
  ]);
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const planned: PlannedImage[] = [];
  try {
    for (const wish of options.targets) planned.push(await plan(reader.head, wish, options));
    const lines = planned.flatMap(planLines);
    if (options.dryRun) {
      for (const line of lines) context.reporter.step(line);
      return { status: 0, warnings: 0, details: { entries: 0, bytes: 0, incomplete: 0 } };
    }
    const isFree = planned.every(({ target }) => target.current === undefined);
    if (!(await context.confirm(lines, isFree))) {
      throw new TsfsaError("TARGET_REFUSED", "nobody agreed to overwrite the target", {
        hints: ["answer yes on a terminal, or give --yes"],
      });
    }
    for (const item of planned) {
      const { target, wish } = item;
      context.signal.throwIfAborted();
      reporter.step(`writing image ${wish.id} to ${wish.dest}`);
      if (target.inPlace) item.state = "half made";
      target.prepare();
    }
    const sinks = new Map(
      planned.map(({ wish, image: { sizeBytes }, target: { fd, unwritten } }) => [
        wish.id,
        { fd, sizeBytes, unwritten },
      ]),
    );
    const result = await restoreImages(reader, sinks, options.workers, { reporter, signal: context.signal });
    // What is whole of a damaged image may be all that is left of it.
    for (const item of planned) {
      item.target.commit();
      item.state = "made";
    }
    throwIfDamaged(options.archive, result, reader.damages.length, "what is whole was written", [
      "check the file system before it is mounted: e2fsck -fn, xfs_repair -n, btrfs check",
      ...fileHints,
    ]);
    if (result.images < planned.length) {
      throw new TsfsaError("ARCHIVE_HOSTILE", `the head of ${options.archive} tells of an image that it does not hold`);
    }
    const details = { entries: planned.length, bytes: result.bytes, incomplete: warnings() };
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
  } finally {
    for (const { target, wish, state } of planned.toReversed()) {
      if (state === "half made") tellHalfMade(wish.dest, "image", context.reporter);
      await target.close();
    }
    await reader.close();
  }
}

async function plan(head: Head, wish: RestoreTarget, options: RestimgOptions): Promise<PlannedImage> {
  const image = imageOf(head, wish);
  const { sizeBytes, endBytes } = image;
  const { overwrite, discard } = options;
  refuseArchiveAsTarget(options.archive, wish.dest);
  return { wish, image, target: await openImageTarget(wish.dest, { overwrite, discard, sizeBytes, endBytes }) };
}

function imageOf(head: Head, wish: RestoreTarget): ImageDescription {
  const { id } = wish;
  const key = Object.keys(wish).find((each) => each !== "id" && each !== "dest");
  if (key !== undefined) {
    throw new TsfsaError("USAGE", `${key}= is not for images: they are written as they were`, {
      hints: ["expected id=N,dest=DEVICE|FILE"],
    });
  }
  const source = head.sources[id];
  if (source?.image !== undefined) return source.image;
  const found =
    source === undefined ? "there is none" : `it is a ${source.kind === "filesystem" ? "file system" : "directory"}`;
  throw new TsfsaError("USAGE", `expected source ${id} of the archive to be an image, but ${found}`, {
    hints: [
      "`tsfsa archinfo` lists the sources",
      "file systems are restored with `tsfsa restfs`, directories with `tsfsa restdir`",
    ],
  });
}

function planLines({ wish, image, target }: PlannedImage): string[] {
  return [
    `${wish.dest} holds now: ${target.current ?? "nothing that would be lost"}`,
    `image ${wish.id} will be written there: ${image.type ?? "raw"}, ${formatSize(image.sizeBytes)}`,
  ];
}
