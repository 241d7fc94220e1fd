// Wall time, CPU time and peak memory of a shell command with all its processes.
//
// CPU: bash's `time` keyword, which takes the difference of getrusage(RUSAGE_CHILDREN): user and system time of every
// process of the pipeline and of their descendants, to the millisecond. Kernel threads (loop device, write-back) are in nobody's figure.
// Memory: every 20 ms the peak resident set (VmHWM, kept by the kernel) of all live processes of the tree is
// added up; the figure is the greatest such sum. A process's growth in its last 20 ms can be missed.

import { readFileSync, readdirSync, rmSync } from "node:fs";
import { run, quote } from "./process.ts";

export interface Sample {
  readonly wallSeconds: number;
  /** 0 of a tool that times itself. */
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  /** Load average of one minute before the start: tells a busy machine. */
  readonly loadBefore: number;
}

const sampleIntervalMs = 20;

/** Runs `command` in bash with `pipefail` and measures it, or lets it say itself how long it took; throws when its status is not 0 or `timeoutMs` is over. */
export async function measure(
  command: string,
  options: { readonly timingFile: string; readonly timeoutMs: number; readonly signal: AbortSignal },
  ownSeconds?: (printed: string) => number,
): Promise<Sample> {
  const loadBefore = Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);
  const timing = quote(options.timingFile);
  const script = `set -o pipefail; TIMEFORMAT='%3R %3U %3S'; { time { ${command}; } 2>&3; } 3>&2 2>${timing}`;
  let peakRssBytes = 0;
  const watch = (pid: number) => {
    const timer = setInterval(() => {
      peakRssBytes = Math.max(peakRssBytes, peakRssOfDescendants(pid));
    }, sampleIntervalMs);
    return () => clearInterval(timer);
  };
  try {
    const { stdout } = await run(["bash", "-c", script], {
      watch,
      timeoutMs: options.timeoutMs,
      signal: options.signal,
    });
    const [wall = Number.NaN, user = Number.NaN, system = Number.NaN] = readFileSync(options.timingFile, "utf8")
      .trim()
      .split(" ")
      .map(Number);
    if (ownSeconds) return { wallSeconds: ownSeconds(stdout), cpuSeconds: 0, peakRssBytes, loadBefore };
    return { wallSeconds: wall, cpuSeconds: user + system, peakRssBytes, loadBefore };
  } finally {
    rmSync(options.timingFile, { force: true });
  }
}

/** Sum of VmHWM over all descendants of a process, itself (the measuring shell) left out; processes that end meanwhile count 0. */
function peakRssOfDescendants(pid: number): number {
  let sum = 0;
  for (const child of childrenOf(pid)) sum += peakRssOf(child) + peakRssOfDescendants(child);
  return sum;
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

function peakRssOf(pid: number): number {
  try {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
