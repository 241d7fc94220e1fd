// snapshot plan, create, list, status, remove, merge; and cleanup: the front end by itself, for scripts and for what was kept.

import { TsfsaError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { runTool } from "../filesystem/recreate/tools.ts";
import type {
  CommandContext,
  Outcome,
  SnapshotCommandOptions,
  SnapshotDetails,
  SnapshotPlan,
} from "../model/options.ts";
import type { SnapshotInfo } from "../model/snapshot.ts";
import { choose } from "../snapshot/choose.ts";
import { mergeSnapshot } from "../snapshot/merge.ts";
import { findSnapshot, findSnapshots, removeOrphans } from "../snapshot/orphans.ts";
import { thisOwner } from "../snapshot/owner.ts";
import type { SnapshotRun } from "../snapshot/provider.ts";
import { SnapshotSession } from "../snapshot/session.ts";
import { findVolume, type Volume } from "../snapshot/volume.ts";
import { sessionContext } from "./snapshot-context.ts";

/** Throws SNAPSHOT_REFUSED, TOOL_*, FAILED for a name that does not exist. */
export async function snapshot(
  options: SnapshotCommandOptions,
  context: CommandContext,
): Promise<Outcome<SnapshotDetails>> {
  switch (options.action) {
    case "plan":
      return plan(options, context);
    case "create":
      return create(options, context);
    case "list":
      return shown((await findSnapshots(runTool)).map(infoOf));
    case "status":
      return shown([infoOf(await findSnapshot(runTool, options.names[0] as string))]);
    case "remove":
      return remove(options.names);
    default:
      return merge(options.names[0] as string, context);
  }
}

/** Removes what killed runs left behind. */
export async function cleanup(_options: object, context: CommandContext): Promise<Outcome<SnapshotDetails>> {
  const { session, warnings } = sessionContext(context, false, []);
  const warn = (message: string): void => session.warn("SNAPSHOT_LEFT", message);
  const removed = await removeOrphans(runTool, { step: session.step, warn });
  const lines = removed.map((each) => `removed ${each.method} snapshot ${each.name} of ${each.origin}`);
  const details = { lines: lines.length === 0 ? ["nothing was left behind"] : lines, snapshots: removed.map(infoOf) };
  return { status: warnings() === 0 ? 0 : 1, warnings: warnings(), details };
}

function done(details: SnapshotDetails): Outcome<SnapshotDetails> {
  return { status: 0, warnings: 0, details };
}

async function plan(
  { names, snapshot: asked }: SnapshotCommandOptions,
  context: CommandContext,
): Promise<Outcome<SnapshotDetails>> {
  const volumes = names.map(findVolume);
  const { session } = sessionContext(context, false, []);
  const run: SnapshotRun = {
    options: asked,
    owner: thisOwner(),
    run: runTool,
    written: session.written,
    volumes: volumes.filter((volume) => volume !== undefined),
    step: session.step,
  };
  const plans: SnapshotPlan[] = [];
  for (const [i, volume] of volumes.entries()) plans.push(await planOne(names[i] as string, volume, asked.method, run));
  return done({ lines: plans.flatMap(planLines), plans });
}

async function planOne(
  path: string,
  volume: Volume | undefined,
  method: SnapshotCommandOptions["snapshot"]["method"],
  run: SnapshotRun,
): Promise<SnapshotPlan> {
  const none = { path, method: null, passedOver: [], commands: [] };
  if (volume === undefined)
    return { ...none, reason: "nothing of it is mounted read-write here: it needs no snapshot" };
  try {
    const { method: chosen, fit, passedOver } = await choose(volume, method, run);
    return { path, method: chosen, reason: fit.reason, passedOver, commands: fit.commands };
  } catch (error) {
    if (!(error instanceof TsfsaError) || error.code !== "SNAPSHOT_REFUSED") throw error;
    return { ...none, reason: "no snapshot method fits", passedOver: error.context.hints ?? [] };
  }
}

function planLines({ path, method, reason, passedOver, commands }: SnapshotPlan): string[] {
  return [
    `${path}: ${method === null ? "" : `${method}: `}${reason}`,
    ...passedOver.map((why) => `  not ${why}`),
    ...commands.map((command) => `  $ ${command}`),
  ];
}

/** Takes snapshots and keeps them. */
async function create(
  { names, snapshot: asked }: SnapshotCommandOptions,
  context: CommandContext,
): Promise<Outcome<SnapshotDetails>> {
  const { session: base, warnings } = sessionContext(context, false, []);
  const lines: string[] = [];
  const session = await SnapshotSession.open(
    names,
    { ...asked, keep: "always" },
    {
      ...base,
      warn: (code, message) => (code === "SNAPSHOT_KEPT" ? lines.push(message) : base.warn(code, message)),
    },
  );
  let failed = true;
  try {
    await session.prove();
    failed = false;
  } finally {
    await session.close(failed);
  }
  const snapshots = (await findSnapshots(runTool))
    .filter(({ name }) => lines.some((line) => line.includes(name)))
    .map(infoOf);
  if (snapshots.length === 0)
    throw new TsfsaError("SNAPSHOT_REFUSED", `${names.join(", ")}: nothing was kept`, { hints: lines });
  return { status: warnings() === 0 ? 0 : 1, warnings: warnings(), details: { lines, snapshots } };
}

async function remove(names: readonly string[]): Promise<Outcome<SnapshotDetails>> {
  const found: SnapshotInfo[] = [];
  for (const name of names) {
    const each = await findSnapshot(runTool, name);
    if (each.state === "running") {
      throw new TsfsaError("FAILED", `${each.name} belongs to a run that lives`, {
        hints: ["stop that run: it removes it"],
      });
    }
    await each.remove();
    found.push(infoOf(each));
  }
  return done({ lines: found.map(({ name }) => `removed ${name}`), snapshots: found });
}

/** Puts the origin back to the state of the snapshot. */
async function merge(name: string, context: CommandContext): Promise<Outcome<SnapshotDetails>> {
  const found = await findSnapshot(runTool, name);
  const lines = [`${found.origin} is put back to the state of ${found.name}: what was written since then is lost`];
  if (!(await context.confirm(lines)))
    throw new TsfsaError("FAILED", "not merged: expected a yes", { hints: ["give --yes"] });
  const said = await mergeSnapshot(runTool, found, context.signal, (message) => context.reporter.step(message));
  return done({ lines: [said], snapshots: [infoOf(found)] });
}

function shown(snapshots: readonly SnapshotInfo[]): Outcome<SnapshotDetails> {
  const lines = snapshots.map((each) => {
    const { usedBytes, storeBytes } = each;
    const fill =
      usedBytes === undefined || storeBytes === undefined
        ? ""
        : `, ${formatSize(usedBytes)} of ${formatSize(storeBytes)} used`;
    return `${each.name}  ${each.method} of ${each.origin}, ${each.state}, ${each.valid ? "valid" : "INVALID"}${fill}`;
  });
  return done({ lines: lines.length === 0 ? ["there are no snapshots of tsfsa"] : lines, snapshots });
}

function infoOf({ method, name, origin, state, valid, usedBytes, storeBytes }: SnapshotInfo): SnapshotInfo {
  return {
    method,
    name,
    origin,
    state,
    valid,
    ...(usedBytes === undefined ? {} : { usedBytes }),
    ...(storeBytes === undefined ? {} : { storeBytes }),
  };
}
