// The benchmark's command line.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type DataSetName, dataSetNames } from "./data/trees.ts";
import { type SetName, setNames, sets } from "./sets.ts";
import { type Level, type Operation, operations, tools } from "./tools.ts";

const peerNames = tools.map((tool) => tool.name).filter((name) => name !== "tsfsa");

export const usage = `npm run bench -- [options]

  --set NAMES         of ${setNames.join(", ")}:
                      runs with options of their own (bench/sets.ts), results NAME.json
  --data NAMES        data sets: ${dataSetNames.join(", ")}
                      (default: linux; generated where its package is missing)
  --operations NAMES  of ${operations.join(", ")} (default: all)
  --peers NAMES       of ${peerNames.slice(0, 8).join(", ")},
                      ${peerNames.slice(8).join(", ")}; or none (default: all that are installed)
  --peers-only        leave tsfsa out
  --rounds N          rounds; in each, every tool runs once, in turn (default: 5)
  --jobs N            threads or workers of each tool (default: number of processors)
  --level LIST        zstd levels, or lz4; in turn within a round (default: 3)
  --timeout SECONDS   a run that takes longer is stopped and its tool left out (default: 600)
  --work DIR          where the work folder tsfsa-bench is made (default: /dev/shm)
  --keep              leave the data sets in the work folder, and use what an earlier run left
  --name NAME         of the result: bench/results/NAME.json (default: date and commit)
  --quick             small data sets and two rounds: tries the benchmark, measures nothing, keeps no result
Lists are separated by commas.`;

export interface Options {
  readonly data: readonly DataSetName[];
  readonly operations: readonly Operation[];
  readonly peers: readonly string[];
  readonly peersOnly: boolean;
  readonly rounds: number;
  readonly workers: number;
  readonly levels: readonly Level[];
  readonly timeoutMs: number;
  readonly work: string;
  readonly keep: boolean;
  readonly name: string | undefined;
  readonly quick: boolean;
}

/** One for each set, or the one that the options describe. Throws with a sentence for the user when an option or value is unknown. */
export function parseOptions(argv: readonly string[]): readonly Options[] | "help" {
  const values = valuesOf(argv);
  if (values.help) return "help";
  if (values.set === undefined) return [optionsOf(argv)];
  const names: readonly SetName[] = namesOf("--set", values.set, setNames);
  return names.map((name) => optionsOf([...sets[name].split(" "), "--name", name, ...argv]));
}

function valuesOf(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      set: { type: "string" },
      data: { type: "string", default: "linux" },
      operations: { type: "string", default: operations.join(",") },
      peers: { type: "string", default: "" },
      "peers-only": { type: "boolean", default: false },
      rounds: { type: "string", default: "5" },
      jobs: { type: "string", default: String(availableParallelism()) },
      level: { type: "string", default: "3" },
      timeout: { type: "string", default: "600" },
      work: { type: "string", default: "/dev/shm" },
      keep: { type: "boolean", default: false },
      name: { type: "string" },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}

/** The options of one run. */
export function optionsOf(argv: readonly string[]): Options {
  const values = valuesOf(argv);
  return {
    data: namesOf("--data", values.data, dataSetNames),
    operations: namesOf("--operations", values.operations, operations),
    peers: values.peers.split(",").filter(Boolean),
    peersOnly: values["peers-only"],
    rounds: values.quick ? 2 : positive("--rounds", values.rounds),
    workers: positive("--jobs", values.jobs),
    levels: values.level.split(",").map((word) => (word === "lz4" ? word : positive("--level", word))),
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
