// What a result depends on besides the code: commit, machine, versions of the tools.

import { cpus, release, totalmem } from "node:os";
import { run } from "./process.ts";
import type { Tool } from "./tools.ts";

export interface Machine {
  readonly commit: string;
  readonly date: string;
  readonly cpu: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly tools: Readonly<Record<string, string>>;
}

/** What a run of the benchmark itself changes makes the commit no other. */
const notCode = "':(top,exclude)bench/results' ':(top,exclude)docs'";

export async function describeMachine(tools: readonly Tool[]): Promise<Machine> {
  const commit = await printedBy(
    `head=$(git rev-parse --short=12 HEAD) && echo "$head$(git diff --quiet HEAD -- ${notCode} || echo -dirty)" || true`,
  );
  const versions = await Promise.all(tools.map(async (tool) => [tool.name, await printedBy(tool.version)] as const));
  return {
    commit: commit === "" ? "unknown" : commit,
    date: new Date().toISOString().slice(0, 19).replaceAll(":", "-"),
    cpu: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    tools: Object.fromEntries(versions),
  };
}

/** What a shell command prints, its lines joined by semicolons; mksquashfs gives its version with status 1. */
async function printedBy(command: string): Promise<string> {
  const { stdout } = await run(["bash", "-c", command], { accept: [0, 1] });
  return stdout.trim().replaceAll(/\s*\n\s*/g, "; ");
}
