// restfs: file systems made again and filled: plan → check the archive → claim → mkfs → mount → restore → unmount.

import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { escapeName, formatSize } from "../base/units.ts";
import { lostFoundOf } from "../filesystem/lost-found.ts";
import { mountTarget } from "../filesystem/mount-target.ts";
import { argvOf, commandText, makeFilesystem } from "../filesystem/recreate/make.ts";
import { planFilesystem } from "../filesystem/recreate/plan.ts";
import { probe } from "../filesystem/probe.ts";
import { refused } from "../filesystem/refused.ts";
import { openTarget } from "../filesystem/target.ts";
import type { FilesystemPlan, MountedTarget, OpenTarget } from "../filesystem/types.ts";
import type { FilesystemDescription, Head } from "../model/archive.ts";
import type {
  CommandContext,
  Outcome,
  RestfsOptions,
  RestoreDetails,
  RestoreTarget,
  TargetPlan,
} from "../model/options.ts";
import { restoreArchive } from "../restore/restore.ts";
import { checkIndex } from "./check-index.ts";
import { isDamaged, tellHalfMade, throwIfDamaged } from "./outcome.ts";
import { refuseArchiveAsTarget } from "./own-files.ts";
import { chooseIncluded, throwIfNothingFits } from "./parts.ts";
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
  const totals = await checkIndex(options.archive, context.signal, [
    "to take what is whole, make and mount a file system yourself and use `tsfsa restdir`",
  ]);
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const planned: PlannedTarget[] = [];
  try {
    for (const wish of options.targets) {
      const dataBytes = selection.empty ? totals?.sources[wish.id]?.dataBytes : 0;
      planned.push(await planTarget(reader.head, wish, options, dataBytes));
    }
    const plans = planned.map((item) => targetPlan(item, options.overwrite));
    if (options.dryRun) return { status: 0, warnings: 0, details: { entries: 0, bytes: 0, incomplete: 0, plans } };
    const { archive, workers, stripComponents, overwrite, includes } = options;
    const { signal } = context;
    const sources = options.targets.map(({ id }) => id);
    const wanted = { archive, includes, choice: selection };
    const { groups, otherPlaces } = await chooseIncluded(reader, sources, wanted, signal);
    const isFree = planned.every(({ target }) => !target.holdsData);
    const lines = plans.flatMap((each) => each.lines);
    if (!(await context.confirm(lines, isFree))) {
      throw new TsfsaError("TARGET_REFUSED", "nobody agreed to overwrite the target", {
        hints: ["answer yes on a terminal, or give --yes"],
      });
    }
    for (const { plan, wish } of planned) {
      for (const message of plan.warnings) {
        reporter.warning({ code: "FILESYSTEM_FEATURE", path: new Uint8Array(0), message: `${wish.dest}: ${message}` });
      }
    }
    const removals: (() => void)[] = [];
    for (const item of planned) {
      signal.throwIfAborted();
      reporter.step(`making ${item.plan.type} on ${item.wish.dest}`);
      item.state = "half made";
      await makeFilesystem(item.plan, item.target);
      item.mounted = await mountTarget(item.target, item.plan.type);
      const hadLostFound = reader.head.sources[item.wish.id]?.filesystem?.type.startsWith("ext") === true;
      removals.push(lostFoundOf(item.mounted.rootFd, hadLostFound));
    }
    const rootFds = reader.head.sources.map((_, id) => planned.find(({ wish }) => wish.id === id)?.mounted?.rootFd);
    const roots = { rootFds, restoreRoots: true, setsDefaultSubvolume: true };
    const request = { ...roots, workers, selection, stripComponents, overwrite, otherPlaces };
    const result = await restoreArchive(groups, request, { reporter, signal });
    if (!isDamaged(result, groups.damages.length)) throwIfNothingFits(archive, includes, selection);
    for (const remove of removals) remove();
    for (const item of planned) {
      await item.mounted?.unmount();
      item.state = "made";
    }
    throwIfDamaged(archive, result, groups.damages.length, "what is whole was restored");
    const details = { entries: result.entries, bytes: result.bytes, incomplete: warnings() };
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
  } finally {
    for (const { mounted, target, wish, state } of planned.toReversed()) {
      if (state === "half made") tellHalfMade(wish.dest, "archive", context.reporter);
      await mounted?.unmount().catch(() => {});
      await target.close();
    }
    await reader.close();
  }
}

/** `dataBytes`: of what is restored, as far as it is known. */
async function planTarget(
  head: Head,
  wish: RestoreTarget,
  options: RestfsOptions,
  dataBytes = Number.POSITIVE_INFINITY,
): Promise<PlannedTarget> {
  const saved = descriptionOf(head, wish.id);
  // Less than was in use where something is left out; more where files share storage.
  const usedBytes = Math.min(saved.usedBytes, dataBytes);
  refuseArchiveAsTarget(options.archive, wish.dest);
  const overwrite = options.overwrite || options.dryRun; // a plan tells that it is needed
  const target = await openTarget(wish.dest, { overwrite, sizeBytes: usedBytes });
  try {
    const plan = await planFilesystem({ ...saved, usedBytes }, target, {
      ...(wish.mkfs === undefined ? {} : { type: wish.mkfs }),
      ...(wish.label === undefined ? {} : { label: wish.label }),
      ...(wish.uuid === undefined ? {} : { uuid: wish.uuid }),
      ...(wish.mkfsopt === undefined ? {} : { mkfsOptions: wish.mkfsopt }),
    });
    if (!options.dryRun) await refuseSecondBtrfs(plan, target);
    return { wish, target, plan };
  } catch (error) {
    await target.close();
    throw error;
  }
}

/** mkfs.btrfs makes no UUID that another device has: told here, before the target is touched. */
async function refuseSecondBtrfs({ type, uuid }: FilesystemPlan, { path, current }: OpenTarget): Promise<void> {
  if (type !== "btrfs" || current?.uuid === uuid) return;
  const other = (await probe()).find((device) => device.uuid === uuid);
  if (other === undefined) return;
  throw refused(path, `${other.path} has the UUID ${uuid}, and mkfs.btrfs makes no second one`, [
    "give uuid=new",
    `or detach ${other.path} first`,
  ]);
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

/** What is on the target now, what will be there, and how. An image is named by its file, not by the loop device of the moment. */
function targetPlan({ wish, target, plan }: PlannedTarget, overwrite: boolean): TargetPlan {
  const needsOverwrite = target.holdsData && !overwrite;
  const { type, uuid, label, sizeBytes, commands, warnings } = plan;
  const name = label.length === 0 ? "" : ` "${escapeName(label)}"`;
  return {
    source: wish.id,
    target: wish.dest,
    holds: target.currentContents,
    needsOverwrite,
    filesystem: type,
    label,
    uuid,
    sizeBytes,
    commands: commands.map((command) => argvOf(command, target.path)),
    notKept: warnings,
    lines: [
      `${wish.dest} (${formatSize(sizeBytes)}) holds now: ${target.currentContents}`,
      ...(needsOverwrite ? ["  which is lost only if --overwrite is given"] : []),
      `source ${wish.id} will be restored there as ${type}${name}, UUID ${uuid}`,
      ...commands.map((command) => `  ${commandText(command, target.path)}`),
      ...warnings.map((warning) => `  not kept: ${warning}`),
    ],
  };
}
