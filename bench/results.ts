// The results that are kept, and what is made of them: pairs of tsfsa and one peer, measured in turn in one run.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Machine } from "./machine.ts";
import type { Sample } from "./measure.ts";
import { median, pairedRatio, type Series } from "./report.ts";
import { operations, tools } from "./tools.ts";

export const resultsFolder = fileURLToPath(new URL("../../bench/results/", import.meta.url));

export interface Result {
  /** Of its file, without ".json". */
  readonly name: string;
  readonly machine: Machine;
  readonly results: readonly Series[];
}

/** tsfsa and a peer at the same operation, data and level, in the same run. */
export interface Pair {
  readonly tsfsa: Series;
  readonly peer: Series;
}

const MiB = 1024 * 1024;

/** What can be compared: tsfsa ÷ peer, or a figure of tsfsa alone. */
export const metrics = {
  wall: ({ tsfsa, peer }: Pair) => pairedRatio(tsfsa, peer, (sample) => sample.wallSeconds),
  CPU: ({ tsfsa, peer }: Pair) => pairedRatio(tsfsa, peer, (sample) => sample.cpuSeconds),
  size: ({ tsfsa, peer }: Pair) => tsfsa.archiveBytes / peer.archiveBytes,
  speed: ({ tsfsa, peer }: Pair) => pairedRatio(peer, tsfsa, (sample) => sample.wallSeconds),
  "peak MiB": ({ tsfsa }: Pair) => middle(tsfsa, (sample) => sample.peakRssBytes / MiB),
} as const;
export type Metric = keyof typeof metrics;

export function middle(series: Series, value: (sample: Sample) => number): number {
  return median(series.samples.map(value));
}

/** Every kept result, oldest first. */
export function readResults(): Result[] {
  return readdirSync(resultsFolder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => {
      const { machine, results } = JSON.parse(readFileSync(`${resultsFolder}${file}`, "utf8")) as Omit<Result, "name">;
      return { name: file.slice(0, -".json".length), machine, results };
    })
    .toSorted((a, b) => (a.machine.date < b.machine.date ? -1 : 1));
}

/** One pair for each data set, operation, level and peer, of the newest result that has it; in the order of tables. */
export function pairsOf(results: readonly Result[]): Pair[] {
  const pairs = new Map<string, Pair>();
  for (const { results: series } of results) {
    for (const peer of series) {
      const tsfsa = series.find((one) => one.tool === "tsfsa" && keyOf(one) === keyOf(peer));
      if (tsfsa && tsfsa !== peer) pairs.set(`${keyOf(peer)} ${peer.tool}`, { tsfsa, peer });
    }
  }
  return [...pairs.values()].toSorted((a, b) => orderOf(a.peer) - orderOf(b.peer));
}

/** The order of tables: by operation, the default level first, then as peers stand in tools.ts. */
function orderOf({ operation, level, tool }: Series): number {
  const rank = operations.indexOf(operation) * 3 + (level === 3 ? 0 : level === "lz4" ? 2 : 1);
  return rank * tools.length + tools.findIndex(({ name }) => name === tool);
}

function keyOf({ data, operation, level }: Series): string {
  return `${data} ${operation} ${level}`;
}
