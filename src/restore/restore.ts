// Restoring and verifying a whole archive: workers, directories and the run put together. Where the roots come from, and what happens when the
// archive turns out damaged, is decided above.

import type { OtherPlace } from "../archive/locate.ts";
import type { GroupSource } from "../archive/reader.ts";
import { prefixBytes } from "../format/head.ts";
import type { Reporter } from "../model/events.ts";
import { WorkerPool } from "../pipeline/pool.ts";
import { workerPath } from "../pipeline/worker-path.ts";
import { addon } from "../sys/addon.ts";
import { directoryCapacity, type DirectoryHandle, DirectoryTable } from "../sys/directory.ts";
import { check } from "../sys/errors.ts";
import type { RestoreJobs, RestoreWorkerData, WritePolicy } from "./protocol.ts";
import { ReadRun } from "./run.ts";
import type { ImageSink, RestorePool, RunObserver, RunResult } from "./run-options.ts";
import { everything, type Selection, Tree } from "./tree.ts";

export interface RestoreRequest {
  /** Directory each source goes to, by source id (its descriptor stays the caller's); undefined: left out. */
  readonly rootFds: readonly (number | undefined)[];
  readonly workers: number;
  readonly selection: Selection;
  readonly stripComponents: number;
  /** The metadata of the roots is restored, too. */
  readonly restoreRoots: boolean;
  /** The targets are file systems of their own, whose default subvolume is restored, too. */
  readonly setsDefaultSubvolume?: boolean;
  /** Entries that go to another place than their own (see PartReader). */
  readonly otherPlaces?: ReadonlyMap<number, OtherPlace>;
  /** Replace what exists. */
  readonly overwrite: boolean;
  /** What can be had of damaged files stays, under marked names. */
  readonly keepDamaged?: boolean;
  /** What was not whole when it was saved is not told: that was done when it was saved. */
  readonly untold?: boolean;
}

export interface RunContext {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** Where jobs run; worker threads when it is left out. */
  readonly startPool?: (data: RestoreWorkerData, workers: number, signal: AbortSignal) => RestorePool;
}

const noOtherPlaces: ReadonlyMap<number, OtherPlace> = new Map();
const noImages: ReadonlyMap<number, ImageSink> = new Map();

/** Writes the selected entries below the roots. Damage is told as warnings and in the result; throws what ends a restore. */
export async function restoreArchive(
  reader: GroupSource,
  request: RestoreRequest,
  context: RunContext,
): Promise<RunResult> {
  const table = new DirectoryTable(directoryCapacity());
  const oldMask = addon().umask(0o077);
  try {
    const handles = request.rootFds.map((fd) =>
      fd === undefined ? undefined : table.root(check(addon().duplicate(fd), "dup")),
    );
    const policy = policyFor(request.overwrite);
    return await run(reader, { ...request, handles, table, policy, write: true }, context);
  } finally {
    addon().umask(oldMask);
    table.close();
  }
}

/** Writes the images of these sources where they are to go; everything else is passed over. Damage is told as restoreArchive() tells it. */
export async function restoreImages(
  reader: GroupSource,
  images: ReadonlyMap<number, ImageSink>,
  workers: number,
  context: RunContext,
): Promise<RunResult> {
  return run(reader, { ...nowhere(reader), images, workers, write: true }, context);
}

/** Reads everything and checks every checksum and digest, and that index and stream agree. `observer` hears what is whole. */
export async function verifyArchive(
  reader: GroupSource,
  workers: number,
  context: RunContext,
  observer?: RunObserver,
): Promise<RunResult> {
  return run(reader, { ...nowhere(reader), workers, write: false, observer }, context);
}

/** Nothing goes below any directory. */
function nowhere(reader: GroupSource): Omit<RunSetup, "workers" | "write"> {
  return {
    handles: reader.head.sources.map(() => undefined),
    table: undefined,
    policy: { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 },
    selection: everything,
    stripComponents: 0,
    restoreRoots: false,
  };
}

/** Archives over this size keep every thread busy. */
const warmUpBytes = 32 * 1024 * 1024;

interface RunSetup extends Omit<RestoreRequest, "rootFds" | "overwrite"> {
  readonly handles: readonly (DirectoryHandle | undefined)[];
  readonly table: DirectoryTable | undefined;
  readonly policy: WritePolicy;
  readonly write: boolean;
  readonly observer?: RunObserver | undefined;
  /** Where the images of sources go. */
  readonly images?: ReadonlyMap<number, ImageSink>;
}

async function run(reader: GroupSource, setup: RunSetup, context: RunContext): Promise<RunResult> {
  const { codec, digest, sources } = reader.head;
  const { handles, policy, workers, write, keepDamaged, untold, observer } = setup;
  const { otherPlaces = noOtherPlaces, images = noImages } = setup;
  const { reporter, signal, startPool = startThreads } = context;
  const data: RestoreWorkerData = { codec, digest, policy };
  const pool = startPool(data, workers, signal);
  if ((reader.input.length ?? 0) > warmUpBytes) pool.warmUp?.();
  let readRun: ReadRun | undefined;
  try {
    const roots = sources.map((source, i) => ({ prefix: prefixBytes(source), handle: handles[i] }));
    const warn = (warning: Parameters<Reporter["warning"]>[0]): void => reporter.warning(warning);
    const tree = new Tree({ ...setup, roots, otherPlaces, warn });
    const what = { policy, write, images, keepDamaged, untold };
    readRun = new ReadRun({ reader, pool, tree, ...what, observer, reporter, signal });
    return await readRun.run();
  } finally {
    await pool.close();
    readRun?.abandon();
  }
}

export function startThreads(workerData: RestoreWorkerData, workers: number, signal: AbortSignal): RestorePool {
  return new WorkerPool<RestoreJobs>({ path: workerPath("restore/worker"), workers, workerData, signal });
}

/** What new entries get by themselves in a directory that passes nothing on. */
function policyFor(overwrite: boolean): WritePolicy {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  return { overwrite, clearInheritedAcl: false, uid, gid };
}
