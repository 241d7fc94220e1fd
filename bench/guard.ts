// `npm run bench:guard`: fails when saving or restoring got much slower than tar and zstd do the same here and now. The limits are
// far above what is measured on a quiet and on a busy machine (docs/PERFORMANCE.md), so that only a real loss trips them.

import { existsSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataSet } from "./data/trees.ts";
import { optionsOf } from "./options.ts";
import { abortOnSignals } from "./process.ts";
import { formatTable } from "./report.ts";
import { metrics } from "./results.ts";
import { benchDataSet } from "./rounds.ts";
import { canMountImages } from "./scratch.ts";
import { chooseTools } from "./tools.ts";
import { Workplace } from "./workplace.ts";

const limits = [
  { operation: "save", metric: "wall", atMost: 1.8 },
  { operation: "save", metric: "CPU", atMost: 1.6 },
  { operation: "restore", metric: "wall", atMost: 1.8 },
  { operation: "restore", metric: "CPU", atMost: 1.9 },
] as const;
const attempts = 2;

async function main(): Promise<void> {
  const { signal } = abortOnSignals();
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tsfsa-guard-"));
  try {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const exceeded = await exceededLimits(folder, signal);
      if (exceeded.length === 0) return void process.stdout.write("within the limits\n");
      process.stdout.write(`attempt ${attempt} of ${attempts}: ${exceeded.join("; ")}\n`);
    }
  } finally {
    rmdirSync(folder);
  }
  process.stderr.write("bench guard: slower than allowed, see docs/PERFORMANCE.md\n");
  process.exitCode = 1;
}

/** A sentence for each limit that is exceeded in a measurement of its own. */
async function exceededLimits(folder: string, signal: AbortSignal): Promise<string[]> {
  const options = optionsOf(
    `--data guard --operations save,restore --peers tar+zstd --rounds 5 --work ${folder}`.split(" "),
  );
  const place = await Workplace.open(options, await canMountImages(), signal);
  try {
    const tables = await benchDataSet(
      dataSet("guard", false),
      chooseTools(options.peers, false),
      options,
      place,
      signal,
    );
    for (const table of tables) process.stdout.write(`${table[0]?.operation}\n${formatTable(table)}\n`);
    return limits.flatMap(({ operation, metric, atMost }) => {
      const [tsfsa, peer] = tables.find((table) => table[0]?.operation === operation) ?? [];
      if (tsfsa === undefined || peer === undefined) throw new Error("tar and zstd are needed to compare with");
      const ratio = metrics[metric]({ tsfsa, peer });
      return ratio <= atMost
        ? []
        : [`${operation}: ${metric} ${ratio.toFixed(2)} × that of tar and zstd, at most ${atMost} is allowed`];
    });
  } finally {
    await place.close();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`bench guard: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
