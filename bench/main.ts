// `npm run bench`: every tool does every operation on every data set, in turn within a round (A B C A B C …), and the
// medians, ratios and raw samples are printed and kept. Sources, archives and targets are in memory.

import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type DataSet, dataSet } from "./data/trees.ts";
import { describeMachine } from "./machine.ts";
import { measure, type Sample } from "./measure.ts";
import { type Options, parseOptions, usage } from "./options.ts";
import { abortOnSignals } from "./process.ts";
import { formatTable, type Series } from "./report.ts";
import { canMountImages } from "./scratch.ts";
import { chooseTools, type Job, type Operation, operations, type Tool } from "./tools.ts";
import { Workplace } from "./workplace.ts";

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === "help") return void process.stdout.write(`${usage}\n`);
  const { signal } = abortOnSignals();
  const tools = chooseTools(options.peers, options.peersOnly);
  const machine = await describeMachine(tools);
  const place = await Workplace.open(options, await canMountImages(), signal);
  process.stdout.write(
    `${machine.cpu}, ${machine.processors} processors, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}; ` +
      `level ${options.level}, ${options.workers} workers; ${place.description}\n`,
  );
  const results: Series[] = [];
  try {
    for (const name of options.data) {
      const data = dataSet(name, options.quick);
      for (const table of await benchDataSet(data, tools, options, place, signal)) {
        process.stdout.write(`\n${data.description}: ${table[0]?.operation}\n${formatTable(table)}\n`);
        results.push(...table);
      }
    }
  } finally {
    await place.close();
  }
  const file = writeResult(options.name ?? `${machine.date}-${machine.commit}`, { machine, options, results });
  process.stdout.write(`\nall samples: ${file}\n`);
}

/** One table per operation. Archives come from the save runs; without `save` among the operations they are made unmeasured. */
async function benchDataSet(
  data: DataSet,
  tools: readonly Tool[],
  options: Options,
  place: Workplace,
  signal: AbortSignal,
): Promise<Series[][]> {
  process.stderr.write(`preparing ${data.name}\n`);
  const source = await place.provide(data);
  const jobOf = (tool: Tool): Job => ({
    source,
    image: place.imageOf(data),
    archive: place.path(`archive${tool.extension}`),
    target: place.target,
    workers: options.workers,
    level: options.level,
    sparse: data.sparse === true,
  });
  const failures = new Map<Tool, string>();
  const tables: Series[][] = [];
  try {
    for (const operation of operations) {
      if (operation === "saveimg" && place.imageOf(data) === undefined) continue;
      const measured = options.operations.includes(operation);
      if (!measured && operation !== "save") continue;
      const samples = new Map<Tool, Sample[]>();
      for (let round = 0; round < (measured ? options.rounds : 1); round++) {
        for (const tool of tools) {
          if (failures.has(tool) || !tool.commands[operation]) continue;
          process.stderr.write(`  ${operation}, round ${round + 1}, ${tool.name}\n`);
          try {
            const sample = await runOnce(tool, operation, jobOf(tool), data, place, options, signal);
            samples.set(tool, [...(samples.get(tool) ?? []), sample]);
          } catch (error) {
            signal.throwIfAborted();
            failures.set(tool, `${operation} failed: ${(error as Error).message}`);
            samples.set(tool, []);
          }
        }
      }
      if (!measured) continue;
      const table = [...samples].map(([tool, taken]): Series => {
        const failure = failures.get(tool);
        const archiveBytes = failure === undefined ? statSync(jobOf(tool).archive).size : 0;
        const series = { data: data.name, operation, tool: tool.name, archiveBytes, samples: taken };
        return failure === undefined ? series : { ...series, failure };
      });
      if (table.length > 0) tables.push(table);
    }
  } finally {
    for (const tool of tools) rmSync(jobOf(tool).archive, { force: true });
    await place.withdraw();
  }
  return tables;
}

/** What must be clean before a run (old archive, target) is made so outside the measured time. */
async function runOnce(
  tool: Tool,
  operation: Operation,
  job: Job,
  data: DataSet,
  place: Workplace,
  options: Options,
  signal: AbortSignal,
): Promise<Sample> {
  const command = tool.commands[operation]?.(job) ?? "";
  const timing = { timingFile: place.path("timing"), timeoutMs: options.timeoutMs, signal };
  if (operation === "save") rmSync(job.archive, { force: true });
  if (operation !== "restore") return await measure(command, timing);
  await place.emptyTarget(data);
  try {
    return await measure(command, timing);
  } finally {
    await place.dropTarget();
  }
}

function writeResult(name: string, result: object): string {
  const folder = fileURLToPath(new URL("../../bench/results/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const file = `${folder}${name}.json`;
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
