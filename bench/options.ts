// The benchmark's command line.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type DataSetName, dataSetNames } from "./data/trees.ts";
import { type Operation, operations } from "./tools.ts";

export const usage = `npm run bench -- [options]

  --data NAMES        data sets: ${dataSetNames.join(", ")} (default: linux, or generated where its package is missing)
  --operations NAMES  of ${operations.join(", ")} (default: all)
  --peers NAMES       of tar+zstd, fsarchiver, squashfs, partclone+zstd, dd+zstd (default: all that are installed)
  --peers-only        leave tsfsa out
  --rounds N          rounds; in each, every tool runs once, in turn (default: 5)
  --jobs N            threads or workers of each tool (default: number of processors)
  --level N           zstd level (default: 3)
  --timeout SECONDS   a run that takes longer is stopped and its tool left out (default: 600)
  --work DIR          where the work folder tsfsa-bench is made (default: /dev/shm)
  --keep              leave the data sets in the work folder, and use what an earlier run left
  --name NAME         of the result: bench/results/NAME.json (default: date and commit)
  --quick             small data sets and two rounds: tries the benchmark, measures nothing
Lists are separated by commas.`;

export interface Options {
  readonly data: readonly DataSetName[];
  readonly operations: readonly Operation[];
  readonly peers: readonly string[];
  readonly peersOnly: boolean;
  readonly rounds: number;
  readonly workers: number;
  readonly level: number;
  readonly timeoutMs: number;
  readonly work: string;
  readonly keep: boolean;
  readonly name: string | undefined;
  readonly quick: boolean;
}

/** Throws with a sentence for the user when an option or value is unknown. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: "string", default: "linux" },
      operations: { type: "string", default: operations.join(",") },
      peers: { type: "string", default: "" },
      "peers-only": { type: "boolean", default: false },
      rounds: { type: "string" },
      jobs: { type: "string", default: String(availableParallelism()) },
      level: { type: "string", default: "3" },
      timeout: { type: "string", default: "600" },
      work: { type: "string", default: "/dev/shm" },
      keep: { type: "boolean", default: false },
      name: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  return {
    data: namesOf("--data", values.data, dataSetNames),
    operations: namesOf("--operations", values.operations, operations),
    peers: values.peers.split(",").filter(Boolean),
    peersOnly: values["peers-only"],
    rounds: positive("--rounds", values.rounds ?? (values.quick ? "2" : "5")),
    workers: positive("--jobs", values.jobs),
    level: positive("--level", values.level),
    timeoutMs: positive("--timeout", values.timeout) * 1000,
    work: join(values.work, "tsfsa-bench"),
    keep: values.keep,
    name: values.name,
    quick: values.quick,
  };
}

function namesOf<Name extends string>(option: string, list: string, known: readonly Name[]): Name[] {
  return list.split(",").map((word) => {
    const name = known.find((candidate) => candidate === word);
    if (name === undefined) throw new Error(`${option}: "${word}" is none of ${known.join(", ")}`);
    return name;
  });
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${option}: "${text}" is not a positive integer`);
  return value;
}
