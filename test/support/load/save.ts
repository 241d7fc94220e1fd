// Saves volumes while a writer changes them, restores the archive, and has the copy judged.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pipeline } from "node:stream/promises";
import { expectStatus, jsonLines, tsfsaArgv } from "../cli.ts";
import { patience } from "../run.ts";
import { judge, type Verdict } from "./judge.ts";
import { type Load, longestPauseMs, rate } from "./load.ts";

/** What the archive records of how one volume was frozen (docs/FORMAT.md). */
export interface RecordedVolume {
  readonly method: string;
  readonly valid: boolean;
  readonly instant: string;
  readonly frozenMs?: number;
  readonly usedBytes?: number;
  readonly storeBytes?: number;
}

export interface Recorded {
  readonly oneInstant: boolean;
  readonly consistency: string;
  readonly volumes: readonly RecordedVolume[];
}

export interface LiveSave {
  readonly recorded: Recorded;
  readonly verdict: Verdict;
  readonly figures: Readonly<Record<string, number | string>>;
}

/**
 * Saves with `words` (options of savefs) and judges the copy. The instant must lie within the save: the copy holds each step that was finished when
 * the save was called, and none that was begun after its end. The load ends with it. `path` makes paths for archive and copy.
 */
export async function saveUnderLoad(
  load: Load,
  volumes: readonly string[],
  words: readonly string[],
  path: (name: string) => string,
): Promise<LiveSave> {
  const archive = path("archive");
  const before = { at: Date.now(), step: load.finished() };
  const { stdout } = await expectStatus(0, ["savefs", "--json", ...words, archive, ...volumes]);
  const after = { at: Date.now(), step: load.finished() };
  const recorded = recordOf(stdout);
  await load.reach(after.step + 30, 120_000);
  const steps = load.steps();
  await load.stop();
  await expectStatus(0, ["verify", archive]);
  const verdict = judge(await restored(archive, volumes.length, path("copy")));
  assert.deepEqual(verdict.faults, [], `not of one instant: ${JSON.stringify(verdict)}`);
  assert.ok(verdict.step >= before.step, `step ${verdict.step}, but ${before.step} were finished before`);
  assert.ok(verdict.step <= after.step + 1, `step ${verdict.step}, but ${after.step} were finished afterwards`);
  const [volume] = recorded.volumes;
  const began = steps[0]?.at ?? 0;
  const end = steps.at(-1)?.at ?? 0;
  const instant = Date.parse(volume?.instant ?? "");
  const kept = steps.filter(({ at }) => at > instant && at < after.at).length;
  return {
    recorded,
    verdict,
    figures: {
      judged: `one instant: ${verdict.operations} calls into step ${verdict.step}`,
      frozenMs: volume?.frozenMs ?? "not known",
      longestPauseMs: longestPauseMs(steps, before.at, after.at),
      stepsPerSecondBefore: rate(steps, began, before.at),
      stepsPerSecondDuring: rate(steps, before.at, after.at),
      stepsPerSecondAfter: rate(steps, after.at, end),
      saveMs: after.at - before.at,
      stepsWhileItExisted: kept,
      ...(volume?.usedBytes === undefined ? {} : { storeUsedKiB: Math.round(volume.usedBytes / 1024) }),
      ...(volume?.storeBytes === undefined ? {} : { storeKiB: Math.round(volume.storeBytes / 1024) }),
    },
  };
}

/** Restores an archive of `count` sources; returns their folders. status: 1 where files were missing when it was saved. */
export async function restored(archive: string, count: number, folder: string, status = 0): Promise<string[]> {
  mkdirSync(folder);
  await expectStatus(status, ["restdir", archive, folder]);
  return count === 1 ? [folder] : Array.from({ length: count }, (_, source) => `${folder}/${source}`);
}

export function recordOf(output: Buffer | string): Recorded {
  const summary = jsonLines(output).find(({ type }) => type === "summary");
  return summary?.["snapshot"] as Recorded;
}

/** A save into a pipe that nobody reads until finish(): so long it stands still within its work. */
export class StalledSave {
  readonly #child: ChildProcess;
  #said = "";

  constructor(volumes: readonly string[], words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [program = "", ...rest] = tsfsaArgv("savefs", "--json", "-v", ...words, "-", ...volumes);
    this.#child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get said(): string {
    return this.#said;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits until `done` says so; rejects when the save ends before, or after `timeoutMs`, times `patience`. */
  async until(done: () => boolean | Promise<boolean>, timeoutMs = 120_000): Promise<void> {
    const deadline = Date.now() + timeoutMs * patience;
    while (!(await done())) {
      if (this.hasEnded) throw new Error(`the save ended with ${this.#child.exitCode}: ${this.#said}`);
      if (Date.now() > deadline) throw new Error(`the save does not come so far: ${this.#said}`);
      await sleep(50);
    }
  }

  /** Waits until the first of the archive can be read. */
  async readable(): Promise<void> {
    const { stdout } = this.#child;
    if (stdout !== null && stdout.readableLength === 0) await Promise.race([once(stdout, "readable"), this.ended()]);
  }

  /** Reads the archive to its end; resolves with the status. */
  async finish(archive: string): Promise<number | null> {
    const { stdout } = this.#child;
    if (stdout !== null) await pipeline(stdout, createWriteStream(archive));
    return this.ended();
  }

  async ended(): Promise<number | null> {
    if (!this.hasEnded) await once(this.#child, "exit");
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill("SIGKILL");
    this.#child.stdout?.destroy();
    await this.ended();
  }
}

/** Something for a save to stand still over: as much as no pipe and no buffer of ours holds, in content that does not compress. */
export const stallBytes = 24 * 1024 * 1024;
