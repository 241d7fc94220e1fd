// The rounds on one data set: every tool at every level does an operation in turn, so that what slows the machine for a while
// slows all of them. Sources, archives and targets are in memory.

import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DataSet } from "./data/trees.ts";
import { measure, type Sample } from "./measure.ts";
import type { Options } from "./options.ts";
import { run } from "./process.ts";
import { levelName, type Series } from "./report.ts";
import { type Job, type Operation, operations, type Tool } from "./tools.ts";
import type { Workplace } from "./workplace.ts";

/** A tool at a level, with its archive, which lives from one operation to the next. */
interface Entrant {
  readonly tool: Tool;
  readonly job: Job;
  /** Why it could not go on. */
  failure?: string;
}

/** One table per operation and level. Archives come from the save runs; without `save` among the operations they are made unmeasured. */
export async function benchDataSet(
  data: DataSet,
  tools: readonly Tool[],
  options: Options,
  place: Workplace,
  signal: AbortSignal,
): Promise<Series[][]> {
  process.stderr.write(`preparing ${data.name}\n`);
  const source = await place.provide(data);
  const file = options.operations.includes("extract") ? await middleFile(source, signal) : "";
  const entrants = options.levels.flatMap((level) =>
    tools
      .filter((tool) => tool.levels?.(level) ?? true)
      .map((tool): Entrant => {
        const archive = place.path(`level-${level}${tool.extension}`);
        const cache = place.path(`level-${level}${tool.extension}.cache`);
        const { workers } = options;
        return {
          tool,
          job: { data, source, image: place.imageOf(data), archive, cache, target: place.target, file, workers, level },
        };
      }),
  );
  const tables: Series[][] = [];
  try {
    for (const operation of operations) {
      const ofBlocks = operation === "saveimg" || operation === "saveblock";
      if (ofBlocks && place.imageOf(data) === undefined) continue;
      const measured = options.operations.includes(operation);
      if (!measured && operation !== "save") continue;
      const samples = new Map<Entrant, Sample[]>();
      for (let round = 0; round < (measured ? options.rounds : 1); round++) {
        for (const entrant of inTurn(entrants, round)) {
          const { tool, job } = entrant;
          if (entrant.failure !== undefined || tool.commands[operation]?.(job) === undefined) continue;
          process.stderr.write(`  ${operation}, round ${round + 1}, ${tool.name}, ${levelName(job.level)}\n`);
          try {
            const sample = await runOnce(tool, operation, job, place, options, signal);
            samples.set(entrant, [...(samples.get(entrant) ?? []), sample]);
          } catch (error) {
            signal.throwIfAborted();
            entrant.failure = `${operation} failed: ${(error as Error).message}`;
            samples.set(entrant, []);
          }
        }
      }
      if (!measured) continue;
      for (const level of options.levels) {
        const table = entrants
          .filter((entrant) => entrant.job.level === level && samples.has(entrant))
          .map((entrant): Series => {
            const { tool, job, failure } = entrant;
            const taken = samples.get(entrant) ?? [];
            const archiveBytes = failure === undefined ? bytesOf(job.archive) : 0;
            const series = { data: data.name, operation, level, tool: tool.name, archiveBytes, samples: taken };
            return failure === undefined ? series : { ...series, failure };
          });
        if (table.length > 0) tables.push(table);
      }
    }
  } finally {
    for (const { job } of entrants) discard(job);
    await place.withdraw();
  }
  return tables;
}

/**
 * The order of a round, such that over the rounds each tool comes first, and follows each other one, equally often (as many rounds as tools; with an odd number twice as many): what a run
 * leaves behind, caches and freed memory, is not always the same one's. Williams, "Experimental designs balanced for the estimation of residual effects of treatments", 1949.
 */
export function inTurn<Entry>(entries: readonly Entry[], round: number): readonly Entry[] {
  const count = entries.length;
  const order = entries.map((_, place) => {
    const step = place % 2 === 1 ? (place + 1) / 2 : count - place / 2;
    return entries[(step + round) % count] as Entry;
  });
  return count % 2 === 1 && Math.floor(round / count) % 2 === 1 ? order.toReversed() : order;
}

/** What must be clean before a run (old archive, target) is made so outside the measured time. */
async function runOnce(
  tool: Tool,
  operation: Operation,
  job: Job,
  place: Workplace,
  options: Options,
  signal: AbortSignal,
): Promise<Sample> {
  const command = tool.commands[operation]?.(job) ?? "";
  const timing = { timingFile: place.path("timing"), timeoutMs: options.timeoutMs, signal };
  if (operation === "save" || operation === "growth") discard(job);
  if (operation === "limit") rmSync(job.archive, { force: true });
  const prepare = tool.prepare?.[operation]?.(job);
  if (prepare !== undefined) await run(["bash", "-c", prepare], { signal });
  if (operation !== "restore" && operation !== "extract") return await measure(command, timing, tool.ownSeconds);
  await place.emptyTarget(job.data);
  try {
    return await measure(command, timing);
  } finally {
    await place.dropTarget();
  }
}

function discard({ archive, cache }: Job): void {
  for (const path of [archive, cache]) rmSync(path, { recursive: true, force: true });
}

/** Bytes of a file, or of all files below a directory; 0 where there is none. */
function bytesOf(path: string): number {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status?.isDirectory()) return status?.size ?? 0;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}

/** The path, relative to the source, of the regular file that stands in the middle when all are sorted. */
async function middleFile(source: string, signal: AbortSignal): Promise<string> {
  const script = `find "$1" -type f -printf '%P\\n' | LC_ALL=C sort > "$2"; sed -n "$(($(wc -l < "$2") / 2 + 1)){p;q}" "$2"; rm "$2"`;
  const { stdout } = await run(["bash", "-c", script, "middle", source, `${source}.names`], { signal });
  return stdout.trimEnd();
}
