// How fast a run ends after a signal, on a machine that may be busy: what it waits for a processor is not its own doing.

import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds within which a run ends: half a second at most where nothing else runs, but tools and the kernel's threads wait for a processor, too. */
export const soonMs = 3000;

export interface Stopped {
  /** As a shell says it. */
  readonly status: number;
  /** From the signal to the end, but for the time its threads, or this one, waited for a processor. */
  readonly tookMs: number;
}

/** Sends the signal and waits for the end. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<Stopped> {
  const processes = [child.pid ?? 0, process.pid];
  const before = new Map(processes.flatMap(waitsOf));
  const after = new Map(before);
  const begin = performance.now();
  child.kill(signal);
  while (child.exitCode === null && child.signalCode === null) {
    for (const [thread, ms] of processes.flatMap(waitsOf)) after.set(thread, ms);
    await sleep(5);
  }
  const waited = [...after].reduce((sum, [thread, ms]) => sum + ms - (before.get(thread) ?? 0), 0);
  const status = child.exitCode ?? 128 + constants.signals[child.signalCode ?? "SIGKILL"];
  return { status, tookMs: performance.now() - begin - waited };
}

/** Milliseconds the threads of a process were ready to run and did not. */
function waitsOf(pid: number): (readonly [string, number])[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => {
      const [, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ");
      return [thread, Number(waited) / 1e6] as const;
    });
  } catch {
    return []; // it has ended
  }
}
