// restfs: file systems made again and filled: plan → check the archive → claim → mkfs → mount → restore → unmount.

import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { mountTarget } from "../filesystem/mount-target.ts";
import { commandText, makeFilesystem } from "../filesystem/recreate/make.ts";
import { planFilesystem } from "../filesystem/recreate/plan.ts";
import { openTarget } from "../filesystem/target.ts";
import type { FilesystemPlan, MountedTarget, OpenTarget } from "../filesystem/types.ts";
import type { FilesystemDescription, Head } from "../model/archive.ts";
import type { Reporter } from "../model/events.ts";
import type { CommandContext, Outcome, RestfsOptions, RestoreDetails, RestoreTarget } from "../model/options.ts";
import { restoreArchive } from "../restore/restore.ts";
import { addon } from "../sys/addon.ts";
import { AT_REMOVEDIR } from "../sys/constants.ts";
import { checkIndex } from "./check-index.ts";
import { throwIfDamaged } from "./outcome.ts";
import { chooseIncluded } from "./parts.ts";
import { selectionOf } from "./selection.ts";
import { countWarnings, strictly } from "./reporters.ts";

interface PlannedTarget {
  readonly wish: RestoreTarget;
  readonly target: OpenTarget;
  readonly plan: FilesystemPlan;
  mounted?: MountedTarget;
  /** Undefined: what it held is still there. */
  state?: "half made" | "made";
}

/** Throws TARGET_*, TOOL_*, ARCHIVE_*; before mkfs runs nothing is changed. */
export async function restfs(options: RestfsOptions, context: CommandContext): Promise<Outcome<RestoreDetails>> {
  const { reporter, warnings } = countWarnings(strictly(options.strict, context.reporter));
  const selection = selectionOf(options);
  await checkIndex(options.archive, context.signal);
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const planned: PlannedTarget[] = [];
  try {
    for (const wish of options.targets) planned.push(await planTarget(reader.head, wish, options));
    const lines = planned.flatMap(planLines);
    if (options.dryRun) {
      for (const line of lines) context.reporter.step(line);
      return { status: 0, warnings: 0, details: { entries: 0, bytes: 0, incomplete: 0 } };
    }
    if (planned.some(({ target }) => target.current !== undefined) && !(await context.confirm(lines))) {
      throw new TsfsaError("TARGET_REFUSED", "the target holds data, and nobody agreed to overwrite it", {
        hints: ["answer yes on a terminal, or give --yes"],
      });
    }
    for (const { plan, wish } of planned) {
      for (const message of plan.warnings) {
        reporter.warning({ code: "FILESYSTEM_FEATURE", path: new Uint8Array(0), message: `${wish.dest}: ${message}` });
      }
    }
    for (const item of planned) {
      context.signal.throwIfAborted();
      reporter.step(`making ${item.plan.type} on ${item.wish.dest}`);
      item.state = "half made";
      await makeFilesystem(item.plan, item.target);
      item.mounted = await mountTarget(item.target, item.plan.type);
      // mke2fs makes a lost+found; whether there is one is the archive's to say.
      addon().unlinkAt(item.mounted.rootFd, Buffer.from("lost+found"), AT_REMOVEDIR);
    }
    const rootFds = reader.head.sources.map((_, id) => planned.find(({ wish }) => wish.id === id)?.mounted?.rootFd);
    const { workers, stripComponents, overwrite, includes } = options;
    const { signal } = context;
    const sources = options.targets.map(({ id }) => id);
    const { groups, otherPlaces } = await chooseIncluded(reader, sources, { includes, choice: selection }, signal);
    const roots = { rootFds, restoreRoots: true, setsDefaultSubvolume: true };
    const request = { ...roots, workers, selection, stripComponents, overwrite, otherPlaces };
    const result = await restoreArchive(groups, request, { reporter, signal });
    for (const item of planned) {
      await item.mounted?.unmount();
      item.state = "made";
    }
    throwIfDamaged(options.archive, result, groups.damages.length, "what is whole was restored");
    const details = { entries: result.entries, bytes: result.bytes, incomplete: warnings() };
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
  } finally {
    for (const { mounted, target, wish, state } of planned.toReversed()) {
      if (state === "half made") tellHalfMade(wish, context.reporter);
      await mounted?.unmount().catch(() => {});
      await target.close();
    }
    await reader.close();
  }
}

/** Whatever the reason: nobody may take it for a restored file system. */
function tellHalfMade({ dest }: RestoreTarget, reporter: Reporter): void {
  const message = `${dest} is half made: what it held before is lost, and not all of the archive is there`;
  reporter.warning({ code: "ENTRY_NOT_RESTORED", path: new Uint8Array(0), message });
}

async function planTarget(head: Head, wish: RestoreTarget, options: RestfsOptions): Promise<PlannedTarget> {
  const description = descriptionOf(head, wish.id);
  const target = await openTarget(wish.dest, { overwrite: options.overwrite, sizeBytes: description.usedBytes });
  try {
    const plan = await planFilesystem(description, target, {
      ...(wish.mkfs === undefined ? {} : { type: wish.mkfs }),
      ...(wish.label === undefined ? {} : { label: wish.label }),
      ...(wish.uuid === undefined ? {} : { uuid: wish.uuid }),
      ...(wish.mkfsopt === undefined ? {} : { mkfsOptions: wish.mkfsopt }),
    });
    return { wish, target, plan };
  } catch (error) {
    await target.close();
    throw error;
  }
}

function descriptionOf(head: Head, id: number): FilesystemDescription {
  const source = head.sources[id];
  if (source === undefined) {
    const ids = head.sources.length === 1 ? "only id 0" : `ids 0 to ${head.sources.length - 1}`;
    throw new TsfsaError("USAGE", `the archive has ${ids}, asked was for id ${id}`, {
      hints: ["`tsfsa archinfo` lists them"],
    });
  }
  if (source.filesystem === undefined) {
    const [what, command] = source.image === undefined ? ["a directory", "restdir"] : ["an image", "restimg"];
    throw new TsfsaError("USAGE", `source ${id} of the archive is ${what}, not a file system`, {
      hints: [`restore it with \`tsfsa ${command}\``],
    });
  }
  return source.filesystem;
}

/** What is on the target now, what will be there, and how. */
function planLines({ wish, target, plan }: PlannedTarget): string[] {
  return [
    `${wish.dest} holds now: ${target.currentContents}`,
    `source ${wish.id} will be restored there as ${plan.type}, UUID ${plan.uuid}`,
    ...plan.commands.map((command) => `  ${commandText(command, target.devicePath)}`),
    ...plan.warnings.map((warning) => `  not kept: ${warning}`),
  ];
}
