// `npm run bench`: every tool does every operation on every data set; medians, ratios and raw samples are printed and kept.

import { mkdirSync, writeFileSync } from "node:fs";
import { dataSet } from "./data/trees.ts";
import { describeMachine } from "./machine.ts";
import { type Options, parseOptions, usage } from "./options.ts";
import { abortOnSignals } from "./process.ts";
import { formatTable, levelName, type Series } from "./report.ts";
import { resultsFolder } from "./results.ts";
import { benchDataSet } from "./rounds.ts";
import { canMountImages } from "./scratch.ts";
import { chooseTools } from "./tools.ts";
import { Workplace } from "./workplace.ts";

async function main(): Promise<void> {
  const runs = parseOptions(process.argv.slice(2));
  if (runs === "help") return void process.stdout.write(`${usage}\n`);
  const { signal } = abortOnSignals();
  for (const options of runs) await bench(options, signal);
}

async function bench(options: Options, signal: AbortSignal): Promise<void> {
  const tools = chooseTools(options.peers, options.peersOnly);
  const machine = await describeMachine(tools);
  const place = await Workplace.open(options, await canMountImages(), signal);
  process.stdout.write(
    `${machine.cpu}, ${machine.processors} processors, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}; ` +
      `${options.workers} workers; ${place.description}\n`,
  );
  const results: Series[] = [];
  try {
    for (const name of options.data) {
      const data = dataSet(name, options.quick);
      for (const table of await benchDataSet(data, tools, options, place, signal)) {
        process.stdout.write(`\n${data.description}: ${table[0]?.operation}, ${levelName(table[0]?.level ?? 3)}\n`);
        process.stdout.write(`${formatTable(table)}\n`);
        results.push(...table);
      }
    }
  } finally {
    await place.close();
  }
  if (options.quick) return;
  const file = writeResult(options.name ?? `${machine.date}-${machine.commit}`, { machine, options, results });
  process.stdout.write(`\nall samples: ${file}\n`);
}

function writeResult(name: string, result: object): string {
  mkdirSync(resultsFolder, { recursive: true });
  const file = `${resultsFolder}${name}.json`;
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
