// saveimg: devices and images block by block, only the blocks in use where that can be known: open → save → prove → commit.

import { statSync } from "node:fs";
import { basename } from "node:path";
import { TsfsaError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { type OpenImage, openImage } from "../filesystem/image/open-image.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { CommandContext, Outcome, SaveDetails, SaveimgOptions } from "../model/options.ts";
import { sumOfSegments } from "../sys/data-runs.ts";
import { originOf } from "./head.ts";
import { writeArchive } from "./write-archive.ts";

/** Throws SOURCE_*, and what saving throws. Nothing is created before all sources are opened. */
export async function saveimg(options: SaveimgOptions, context: CommandContext): Promise<Outcome<SaveDetails>> {
  refuseArchiveAsSource(options);
  const now = nowOf(context.environment);
  const opened: OpenImage[] = [];
  let doubts = 0;
  try {
    for (const path of options.sources) {
      const image = await openImage(path, { allowRw: options.allowRw, raw: options.raw });
      opened.push(image);
      context.reporter.step(`${path}: ${planText(image)}`);
      if (image.doubt === undefined || image.description === undefined || !image.frozen || options.raw) continue;
      doubts++;
      context.reporter.warning({
        code: "ALL_BLOCKS_READ",
        path: new Uint8Array(0),
        message: `${path}: all its blocks are read, since what it says of its free ones cannot be relied on: ${image.doubt}`,
      });
    }
    const sources = opened.map((image, i) =>
      describe(options.sources[i] as string, image, opened.length === 1 ? "./" : `${i}/`),
    );
    const roots = opened.map((image, i) => ({
      image: {
        fd: image.fd,
        name: Buffer.from(fileName(options.sources[i] as string)),
        mtime: image.mtime ?? now,
        size: image.sizeBytes,
        runs: image.runs,
      },
    }));
    const input = { sources, roots, recheck: false, prove: () => prove(opened, options) };
    const outcome = await writeArchive(options, input, context);
    return doubts === 0 ? outcome : { ...outcome, status: 1, warnings: outcome.warnings + doubts };
  } finally {
    for (const image of opened.toReversed()) await image.close();
  }
}

function describe(path: string, image: OpenImage, prefix: string): SourceDescription {
  return {
    kind: "directory",
    prefix,
    origin: originOf(path),
    image: {
      file: fileName(path),
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

/** With --overwrite, an image would be replaced by its own archive. */
function refuseArchiveAsSource({ archive, sources }: SaveimgOptions): void {
  const target = archive === "-" ? undefined : statSync(archive, { throwIfNoEntry: false });
  if (target === undefined) return;
  const same = sources.find((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat !== undefined && stat.dev === target.dev && stat.ino === target.ino;
  });
  if (same !== undefined)
    throw new TsfsaError("USAGE", `${archive} is a source: it cannot be the archive, too`, { path: archive });
}

/** Devices have no time of their own. */
function nowOf(environment: CommandContext["environment"]): { seconds: number; nanoseconds: number } {
  const epoch = Number(environment["SOURCE_DATE_EPOCH"] ?? "");
  const isPinned = environment["SOURCE_DATE_EPOCH"] !== undefined && Number.isSafeInteger(epoch) && epoch > 0;
  return { seconds: isPinned ? epoch : Math.floor(Date.now() / 1000), nanoseconds: 0 };
}

/** After the last read: a device that nobody could write must be so still. */
async function prove(images: readonly OpenImage[], options: SaveimgOptions): Promise<undefined> {
  for (const [i, image] of images.entries()) {
    if (!image.frozen) continue;
    const state = image.checkFrozen();
    if (!state.writable) continue;
    const path = options.sources[i] as string;
    throw new TsfsaError("SOURCE_WRITABLE", `${path} became writable while it was read: ${state.reason}`, {
      path,
      hints: ["the archive was dropped, since its blocks may not belong to one instant", ...state.ways],
    });
  }
  return undefined;
}
