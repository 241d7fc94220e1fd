// What the user runs around the instant of a snapshot, by /bin/sh -c, as its command line is meant for a shell: before it, after the run, and a
// held hook, which locks, says `ready`, and lives until its standard input ends, right after the snapshot was taken. And services that stand
// still for the instant. All of it is undone whatever happens.

import { type ChildProcess, spawn } from "node:child_process";
import { TsfsaError } from "../base/errors.ts";
import type { Cleanup } from "../filesystem/cleanup.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import type { SnapshotHooks } from "../model/snapshot.ts";
import { attempt, call } from "./tools.ts";

interface HookOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly environment: Readonly<Record<string, string>>;
}

/** What ends a hook that does not end by itself: it and what it started get SIGTERM, then SIGKILL. */
const graceMs = 2000;

function start(command: string, input: "ignore" | "pipe", environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn("/bin/sh", ["-c", command], {
    detached: true,
    stdio: [input, "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-(child.pid as number), signal);
    } catch {
      // it has ended meanwhile
    }
  };
  send("SIGTERM");
  const timer = setTimeout(() => send("SIGKILL"), graceMs);
  await ended;
  clearTimeout(timer);
}

/** Keeps the last of what a hook says, for its error. */
function listen(child: ChildProcess): { readonly said: () => string } {
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4096);
    });
  }
  return { said: () => said.trim() };
}

function hookFailed(name: string, command: string, what: string, said = ""): TsfsaError {
  return new TsfsaError("HOOK_FAILED", `the ${name} hook ${what}${said === "" ? "" : `: ${said}`}`, {
    command: ["/bin/sh", "-c", command],
  });
}

/** Runs a hook to its end. Throws HOOK_FAILED for a status other than 0 and when its time is over, the signal's reason when that comes. */
export async function runHook(name: string, command: string, options: HookOptions): Promise<void> {
  options.signal?.throwIfAborted();
  const child = start(command, "ignore", options.environment);
  const { said } = listen(child);
  let stopped: Error | undefined;
  const stop = (reason: Error): void => {
    stopped ??= reason;
    void end(child);
  };
  const timer = setTimeout(
    () => stop(hookFailed(name, command, `was not done after ${options.timeoutMs / 1000} s`)),
    options.timeoutMs,
  );
  const onAbort = (): void => stop(options.signal?.reason as Error);
  options.signal?.addEventListener("abort", onAbort);
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (...how) => resolve(how));
    });
    if (stopped !== undefined) throw stopped;
    if (code !== 0) throw hookFailed(name, command, `ended with ${signal ?? `status ${code}`}`, said());
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

export interface HeldHook {
  /** Ends its standard input and waits for it. Throws HOOK_FAILED when it had died before, or fails now: then the lock did not span the instant. */
  release(): Promise<void>;
}

/** Starts the held hook and waits for its line `ready`. It is ended through `cleanup` in any case. */
export async function holdHook(command: string, cleanup: Cleanup, options: HookOptions): Promise<HeldHook> {
  options.signal?.throwIfAborted();
  const child = start(command, "pipe", options.environment);
  cleanup.defer(() => end(child));
  child.stdin?.on("error", () => undefined); // its end tells
  const { said } = listen(child);
  const ended = new Promise<string | undefined>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`));
  });
  let output = "";
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (what: string): void => reject(hookFailed("held", command, what, said()));
      child.stdout?.on("data", (text: string) => {
        output = (output + text).slice(-4096);
        if (/^ready\r?$/m.test(output)) resolve();
      });
      void ended.then((what) => fail(`${what ?? "ended"} before it said ready`));
      timer = setTimeout(() => fail(`did not say ready in ${options.timeoutMs / 1000} s`), options.timeoutMs);
      onAbort = () => reject(options.signal?.reason as Error);
      options.signal?.addEventListener("abort", onAbort);
    });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
  return {
    async release(): Promise<void> {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw hookFailed("held", command, "ended before the snapshot was taken: nothing was locked", said());
      }
      child.stdin?.end();
      const late = setTimeout(() => void end(child), options.timeoutMs);
      const what = await ended;
      clearTimeout(late);
      if (what !== undefined) throw hookFailed("held", command, what, said());
    },
  };
}

export interface StoppedServices {
  /** Starts them again, in reverse order. */
  start(): Promise<void>;
}

/** Stops units one after the other. Those that were stopped are started again through `cleanup` in any case. */
export async function stopServices(
  run: ToolRunner,
  units: readonly string[],
  cleanup: Cleanup,
): Promise<StoppedServices> {
  const stopped: string[] = [];
  const startAll = async (): Promise<void> => {
    for (let unit = stopped.pop(); unit !== undefined; unit = stopped.pop()) {
      await call(run, "systemctl", ["start", "--", unit]);
    }
  };
  cleanup.defer(startAll);
  for (const unit of units) {
    const { status } = await attempt(run, "systemctl", ["is-active", "--quiet", "--", unit]);
    if (status !== 0) continue; // it does not run, and shall not afterwards
    stopped.push(unit); // a stop that failed half-way is undone as well
    await call(run, "systemctl", ["stop", "--", unit]);
  }
  return { start: startAll };
}

export function hasHooks({ hold, services, pre }: SnapshotHooks): boolean {
  return hold !== undefined || services.length > 0 || pre !== undefined;
}
