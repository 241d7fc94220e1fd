// Snapshots for one run, from the volumes to frozen roots and back: choose → prepare → hooks → one instant → open → watch → prove → give back, last
// first. The archiver sees the roots and a question, `prove`, and nothing of how they were frozen.

import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import { runTool, type ToolRunner } from "../filesystem/recreate/tools.ts";
import type { OpenSource } from "../filesystem/types.ts";
import type { SnapshotOptions, SnapshotRecord, SnapshotsRecord } from "../model/snapshot.ts";
import { Guard } from "../sys/guard.ts";
import { type Choice, choose } from "./choose.ts";
import { hasHooks, holdHook, runHook, stopServices } from "./hooks.ts";
import { removeOrphans } from "./orphans.ts";
import { thisOwner } from "./owner.ts";
import type { Health, Snapshot, SnapshotRun } from "./provider.ts";
import { findVolume, type Volume } from "./volume.ts";

export type SnapshotWarning = "SNAPSHOT_KEPT" | "SNAPSHOT_LEFT" | "SNAPSHOT_INSTANTS" | "HOOK_FAILED";

export interface SessionContext {
  /** Aborted by the user. */
  readonly signal: AbortSignal;
  readonly step: (message: string) => void;
  /** Something is not as asked for, and the run goes on. */
  readonly warn: (code: SnapshotWarning, message: string) => void;
  /** Files and directories written meanwhile: the archive, temporary files, the log. */
  readonly written: readonly string[];
  /** Opens what needs no snapshot. */
  readonly allowRw: boolean;
  readonly run?: ToolRunner;
}

/** One path: a volume with the way it is frozen, or a source that stands still anyhow. */
interface Part {
  readonly path: string;
  readonly volume: Volume | undefined;
  readonly choice?: Choice;
  readonly snapshot?: Snapshot;
  instant: Date;
  peak: Health;
}

/** How often the kernel is asked about a snapshot while it is read. */
const watchMs = 1000;
/** The most that volumes are suspended for a common instant, whatever --max-freeze says. */
const suspendMaxMs = 60_000;

export class SnapshotSession {
  readonly #options: SnapshotOptions;
  readonly #context: SessionContext;
  readonly #run: ToolRunner;
  readonly #cleanup = new Cleanup();
  readonly #lost = new AbortController();
  readonly #stopWatching = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  /** All snapshots have been taken. */
  #taken = false;
  #parts: Part[] = [];
  #sources: OpenSource[] = [];
  #oneInstant = true;
  #heldMs: number | undefined;
  #wasHooked = false;

  private constructor(options: SnapshotOptions, context: SessionContext) {
    this.#options = options;
    this.#context = context;
    this.#run = context.run ?? runTool;
  }

  /**
   * Freezes all paths and opens them. Throws SNAPSHOT_REFUSED, HOOK_FAILED, TOOL_*, SOURCE_*, the signal's reason; then all is undone already, and
   * the hook of --post-snapshot has run.
   */
  static async open(
    paths: readonly string[],
    options: SnapshotOptions,
    context: SessionContext,
  ): Promise<SnapshotSession> {
    const session = new SnapshotSession(options, context);
    try {
      await session.#open(paths);
      return session;
    } catch (error) {
      const cause = await session.causeOf(error);
      await session.close(true);
      throw cause;
    }
  }

  /** Why reading failed: that a snapshot is lost, if one is, and not the read error that came of it. */
  async causeOf(error: unknown): Promise<unknown> {
    if (!this.#taken || this.#context.signal.aborted) return error;
    return this.#check(true).then(
      () => error,
      (found: unknown) => (found instanceof TsfsaError && found.code === "SNAPSHOT_LOST" ? found : error),
    );
  }

  /** In the order of the paths; closed by the session. */
  get sources(): readonly OpenSource[] {
    return this.#sources;
  }

  /** Aborted when a snapshot is lost or about to be. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async #open(paths: readonly string[]): Promise<void> {
    const { step, signal, warn } = this.#context;
    await removeOrphans(this.#run, { step, warn: (message) => warn("SNAPSHOT_LEFT", message) });
    const volumes = paths.map(findVolume);
    const run: SnapshotRun = {
      options: this.#options,
      owner: thisOwner(),
      run: this.#run,
      written: this.#context.written,
      volumes: volumes.filter((volume) => volume !== undefined),
      step,
    };
    for (const [serial, path] of paths.entries())
      this.#parts.push(await this.#part(path, volumes[serial], serial, run));
    for (const { snapshot } of this.#parts) await snapshot?.prepare();
    signal.throwIfAborted();
    await this.#instant();
    this.#taken = true;
    for (const part of this.#parts) await this.#openPart(part);
    this.#watching = this.#watch();
  }

  async #part(path: string, volume: Volume | undefined, serial: number, run: SnapshotRun): Promise<Part> {
    const none = { path, volume, instant: new Date(), peak: { valid: true } };
    if (volume === undefined) return none;
    const choice = await choose(volume, this.#options.method, run);
    this.#context.step(`${path}: snapshot with ${choice.method}: ${choice.fit.reason}`);
    for (const why of choice.passedOver) this.#context.step(`${path}: not ${why}`);
    return { ...none, choice, snapshot: choice.fit.begin(this.#cleanup, serial) };
  }

  /** From the first hook to the last: as short as it can be. */
  async #instant(): Promise<void> {
    const { hooks } = this.#options;
    const { signal } = this.#context;
    const environment = { TSFSA_SOURCES: this.#parts.map(({ path }) => path).join("\n") };
    const hookOptions = { timeoutMs: hooks.timeoutMs, signal, environment };
    const taken = new Cleanup();
    this.#cleanup.defer(() => taken.run());
    this.#wasHooked = hasHooks(hooks);
    if (hooks.pre !== undefined) await runHook("pre-snapshot", hooks.pre, hookOptions);
    const services = await stopServices(this.#run, hooks.services, taken);
    const held = hooks.hold === undefined ? undefined : await holdHook(hooks.hold, taken, hookOptions);
    await this.#create();
    await held?.release();
    await services.start();
    await taken.run();
  }

  async #create(): Promise<void> {
    const snapshots = this.#parts.flatMap(({ snapshot }) => snapshot ?? []);
    // What stays frozen comes first: then all stand still together when the others are made.
    const [before, within] = [
      snapshots.filter(({ hold }) => hold === undefined),
      snapshots.filter(({ hold }) => hold !== undefined),
    ];
    const isShared = snapshots.every(({ sharesInstant }) => sharesInstant);
    this.#oneInstant =
      snapshots.length < 2 ? snapshots.every(({ method }) => method !== "btrfs") || isShared : isShared;
    if (snapshots.length > 1 && !isShared)
      this.#context.warn("SNAPSHOT_INSTANTS", "the volumes show different instants: their methods have no common one");
    for (const snapshot of before) await this.#createOne(snapshot);
    if (snapshots.length === 1 && within[0]?.needsHold === false) {
      await this.#createOne(within[0]);
    } else if (within.length > 0) {
      await this.#createTogether(within);
    }
  }

  async #createOne(snapshot: Snapshot): Promise<void> {
    this.#context.signal.throwIfAborted();
    await snapshot.create();
    this.#stamp([snapshot], new Date());
  }

  async #createTogether(snapshots: readonly Snapshot[]): Promise<void> {
    this.#context.signal.throwIfAborted();
    const timeoutMs = Math.min(this.#options.maxFreezeMs, suspendMaxMs);
    const guard = await Guard.hold(
      snapshots.flatMap(({ hold }) => hold ?? []),
      timeoutMs,
    );
    this.#stamp(snapshots, new Date(guard.heldAtMs));
    try {
      for (const snapshot of snapshots) {
        this.#context.signal.throwIfAborted();
        // After the time is over a table that is loaded would never be resumed.
        if (guard.isOver) break;
        await snapshot.create(guard.fd);
      }
    } catch (error) {
      await guard.release(false);
      throw error;
    }
    const { reason, heldMs, failures } = await guard.release(true);
    this.#heldMs = heldMs;
    if (reason === "asked" && failures.length === 0) return;
    const why =
      failures.length > 0 ? failures.join("; ") : `they went on after ${Math.round(heldMs)} ms (--max-freeze)`;
    throw new TsfsaError("SNAPSHOT_LOST", `the volumes did not stand still until all snapshots were made: ${why}`);
  }

  #stamp(snapshots: readonly Snapshot[], instant: Date): void {
    for (const part of this.#parts)
      if (part.snapshot !== undefined && snapshots.includes(part.snapshot)) part.instant = instant;
  }

  async #openPart({ path, snapshot }: Part): Promise<void> {
    this.#context.signal.throwIfAborted();
    const source =
      snapshot === undefined ? await openSource(path, { allowRw: this.#context.allowRw }) : await snapshot.open();
    this.#cleanup.defer(() => source.close());
    this.#sources.push(snapshot === undefined ? source : { ...source, origin: originOf(source, path, snapshot) });
  }

  /** Asks at once and then every second, until the reading ends or a snapshot is lost. */
  async #watch(): Promise<void> {
    const { signal } = this.#stopWatching;
    while (!signal.aborted) {
      try {
        await this.#check(false);
        await sleep(watchMs, undefined, { signal });
      } catch (error) {
        if (signal.aborted) return;
        this.#lost.abort(error);
        return;
      }
    }
  }

  /** Throws SNAPSHOT_LOST. */
  async #check(last: boolean): Promise<void> {
    for (const part of this.#parts) {
      if (part.snapshot === undefined) continue;
      const found = await part.snapshot.health(last);
      if ((found.usedBytes ?? 0) >= (part.peak.usedBytes ?? 0)) part.peak = found;
      if (!found.valid) throw lost(part, found, "was lost");
      // After the last read nothing more can be lost.
      if (!last && found.reason !== undefined) throw lost(part, found, "is given up before it is lost");
    }
  }

  /** After the last read: the kernel says whether every snapshot is still what it was. Throws SNAPSHOT_LOST. */
  async prove(): Promise<SnapshotsRecord> {
    this.#stopWatching.abort();
    await this.#watching;
    this.#lost.signal.throwIfAborted();
    await this.#check(true);
    return {
      oneInstant: this.#oneInstant,
      consistency: this.#wasHooked ? "quiesced" : "crash",
      checked: new Date().toISOString(),
      volumes: this.#parts.map((part) => this.#record(part)),
    };
  }

  #record({ snapshot, choice, instant, peak }: Part): SnapshotRecord {
    const frozenMs = snapshot?.frozenMs() ?? (snapshot?.hold === undefined ? undefined : this.#heldMs);
    return {
      method: choice?.method ?? "none",
      reason: choice?.fit.reason ?? "not mounted read-write",
      valid: true,
      instant: instant.toISOString(),
      ...(frozenMs === undefined ? {} : { frozenMs: Math.round(frozenMs) }),
      ...(peak.usedBytes === undefined || peak.storeBytes === undefined
        ? {}
        : { usedBytes: peak.usedBytes, storeBytes: peak.storeBytes }),
    };
  }

  /**
   * Gives everything back, newest first, or keeps the snapshots where that was asked for; then runs the hook of --post-snapshot. What fails is told as a
   * warning: the archive is what it is. May be called again.
   */
  async close(failed: boolean): Promise<void> {
    this.#stopWatching.abort();
    await this.#watching;
    const { keep, hooks } = this.#options;
    if (keep === "always" || (keep === "on-failure" && failed && this.#sources.length > 0)) await this.#keep();
    await this.#cleanup
      .run()
      .catch((error: Error) =>
        this.#context.warn("SNAPSHOT_LEFT", `not everything could be given back: ${told(error)}`),
      );
    const post = this.#parts.length === 0 ? undefined : hooks.post;
    this.#parts = [];
    if (post === undefined) return;
    const environment = { TSFSA_RESULT: failed ? "failed" : "done" };
    await runHook("post-snapshot", post, { timeoutMs: hooks.timeoutMs, environment }).catch((error: Error) =>
      this.#context.warn("HOOK_FAILED", told(error)),
    );
  }

  async #keep(): Promise<void> {
    for (const { snapshot } of this.#parts) {
      try {
        for (const sentence of (await snapshot?.keep()) ?? []) this.#context.warn("SNAPSHOT_KEPT", sentence);
      } catch (error) {
        this.#context.warn("SNAPSHOT_LEFT", `${snapshot?.volume.path}: not kept: ${told(error as Error)}`);
      }
    }
  }
}

function originOf(source: OpenSource, path: string, { method, volume }: Snapshot): string {
  return `${volume.devicePath} on ${volume.mountPoint === path ? path : volume.mountPoint} (${method} snapshot${method === "btrfs" ? "" : ` ${source.device}`})`;
}

function lost({ path, snapshot }: Part, { reason }: Health, what: string): TsfsaError {
  return new TsfsaError("SNAPSHOT_LOST", `the ${snapshot?.method} snapshot of ${path} ${what}: ${reason}`, {
    path,
    hints: [
      "the archive was dropped: its files may not belong to one instant",
      "give it more room (--snapshot-size, --snapshot-max) or time (--max-freeze)",
    ],
  });
}

function told(error: Error): string {
  return error instanceof TsfsaError && error.context.command !== undefined
    ? `${error.message} (${error.context.command.join(" ")})`
    : error.message;
}
