// Starts and stops the writer of a live load, and tells what it did meanwhile: finished steps, their rate, the longest pause.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { patience } from "../run.ts";
import type { WriterOptions } from "./writer.ts";

/** A step that the writer finished, and when (milliseconds since 1970). */
export interface FinishedStep {
  readonly step: number;
  readonly at: number;
}

export class Load {
  readonly #child: ChildProcess;
  readonly #progress: string;
  #stderr = "";

  private constructor(program: string, options: WriterOptions) {
    this.#progress = options.progress;
    this.#child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
  }

  /** Starts the writer (`program`: its compiled file) and waits until it has finished `warmUp` steps. */
  static async start(program: string, options: WriterOptions, warmUp = 50): Promise<Load> {
    const load = new Load(program, options);
    await load.reach(warmUp);
    return load;
  }

  /** Waits until step n is finished; rejects when the writer ends before, or after `timeoutMs`, times `patience`. */
  async reach(step: number, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs * patience;
    while (this.finished() < step) {
      if (this.#child.exitCode !== null)
        throw new Error(`the writer ended with status ${this.#child.exitCode}: ${this.#stderr}`);
      if (Date.now() > deadline) throw new Error(`the writer stands at step ${this.finished()}, ${step} is wanted`);
      await sleep(20);
    }
  }

  /** The last finished step: whatever is of a later instant holds it. */
  finished(): number {
    return this.steps().at(-1)?.step ?? 0;
  }

  steps(): FinishedStep[] {
    if (!existsSync(this.#progress)) return [];
    return readFileSync(this.#progress, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => {
        const [step = 0, at = 0] = line.split(" ").map(Number);
        return { step, at };
      });
  }

  /** Why the writer ended by itself; undefined: it still writes. */
  failure(): string | undefined {
    return this.#child.exitCode === null ? undefined : this.#stderr;
  }

  /**
   * Kills the writer between two system calls and waits for it: it stays within a step, which is a prefix, too. SIGKILL alone would end a write in the
   * middle, SIGSTOP waits for its end.
   */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGSTOP");
    const deadline = Date.now() + 30_000 * patience;
    while (!this.#isStopped() && Date.now() < deadline) await sleep(5);
    this.#child.kill("SIGKILL");
    await ended;
  }

  #isStopped(): boolean {
    const path = `/proc/${this.#child.pid}/stat`;
    const stat = existsSync(path) ? readFileSync(path, "latin1") : ") T";
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
  }
}

/** Steps per second between two instants (milliseconds since 1970). */
export function rate(steps: readonly FinishedStep[], from: number, to: number): number {
  const count = steps.filter(({ at }) => at >= from && at < to).length;
  return to > from ? Math.round((count * 1000) / (to - from)) : 0;
}

/** The longest time between two finished steps, in milliseconds, of those that ended between two instants. */
export function longestPauseMs(steps: readonly FinishedStep[], from: number, to: number): number {
  let longest = 0;
  for (const [index, { at }] of steps.entries()) {
    const previous = steps[index - 1]?.at ?? at;
    if (at >= from && previous <= to) longest = Math.max(longest, at - previous);
  }
  return longest;
}
