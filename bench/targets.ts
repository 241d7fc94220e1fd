// What tsfsa wants to reach, and the table that says what it does reach.

import type { Series } from "./report.ts";
import { type Metric, metrics, type Pair } from "./results.ts";
import type { Level, Operation } from "./tools.ts";

interface Target {
  readonly what: string;
  readonly data: string;
  readonly operation: Operation;
  readonly level: Level;
  /** Of the tool; the best one of all that were measured where it is missing. */
  readonly peer?: string;
  readonly goals: readonly Goal[];
}

interface Goal {
  readonly metric: Metric;
  readonly atMost?: number;
  readonly atLeast?: number;
}

const atMost = (metric: Metric, limit: number): Goal => ({ metric, atMost: limit });
const linux = { data: "linux", level: 3 } as const;
const saveLinux = { ...linux, what: "save the Linux tree", operation: "save" } as const;
const restoreLinux = { ...linux, what: "restore the Linux tree", operation: "restore" } as const;

const targets: readonly Target[] = [
  { ...saveLinux, peer: "tar+zstd", goals: [atMost("wall", 0.72), atMost("CPU", 0.8), atMost("size", 1)] },
  { ...saveLinux, peer: "fsarchiver", goals: [atMost("wall", 0.5), atMost("CPU", 0.6)] },
  { ...saveLinux, peer: "squashfs", goals: [atMost("wall", 0.6), atMost("CPU", 0.65)] },
  { ...saveLinux, operation: "limit", peer: "zstd-b", goals: [{ metric: "speed", atLeast: 0.8 }] },
  { ...saveLinux, what: "save the Linux tree, `-z 2`", level: 1, goals: [atMost("wall", 0.75)] },
  { ...saveLinux, what: "save the Linux tree, `-z 1`", level: "lz4", goals: [atMost("wall", 0.75)] },
  { what: "save large and sparse files", data: "mixed", operation: "save", level: 3, goals: [atMost("wall", 0.85)] },
  {
    what: "save 1,000,000 files",
    data: "tiny-1000000",
    operation: "save",
    level: 3,
    peer: "tar+zstd",
    goals: [atMost("wall", 0.4), atMost("CPU", 0.65)],
  },
  {
    what: "save 1,000,000 files",
    data: "tiny-1000000",
    operation: "growth",
    level: 3,
    peer: "tenth",
    goals: [atMost("wall", 10.5), atMost("peak MiB", 300)],
  },
  {
    what: "save 200,000 hard links",
    data: "links-200000",
    operation: "save",
    level: 3,
    peer: "tar+zstd",
    goals: [atMost("wall", 2)],
  },
  {
    what: "save 200,000 hard links",
    data: "links-200000",
    operation: "growth",
    level: 3,
    peer: "tenth",
    goals: [atMost("wall", 10.5)],
  },
  ...(["lz4", 1] as const).flatMap((level) =>
    ["partclone+zstd", "dd+zstd"].map((peer) => ({
      what: `save an image of a half-full ext4, \`-z ${level === "lz4" ? 1 : 2}\``,
      data: "debian",
      operation: "saveimg" as const,
      level,
      peer,
      goals: [atMost("wall", 1)],
    })),
  ),
  {
    ...saveLinux,
    what: "save the Linux tree with `--reader=block`",
    operation: "saveblock",
    peer: "mounted",
    goals: [atMost("wall", 1)],
  },
  { ...restoreLinux, peer: "tar+zstd", goals: [atMost("wall", 0.45), atMost("CPU", 0.6)] },
  { ...restoreLinux, peer: "squashfs", goals: [atMost("wall", 0.75)] },
  { ...restoreLinux, peer: "fsarchiver", goals: [atMost("wall", 0.25)] },
  {
    ...linux,
    what: "verify the Linux tree, digests included",
    operation: "verify",
    peer: "tar+zstd",
    goals: [atMost("wall", 0.6)],
  },
  {
    what: "`tsfsa --version`",
    data: "small",
    operation: "start",
    level: 3,
    peer: "node",
    goals: [atMost("wall", 1.2)],
  },
  {
    what: "save one small file",
    data: "small",
    operation: "startsave",
    level: 3,
    peer: "node",
    goals: [atMost("wall", 1.7)],
  },
];

/** The table in Markdown. What was not measured stands as such. */
export function targetsTable(pairs: readonly Pair[]): string {
  const rows = targets.map((target) => {
    const pair = pairFor(target, pairs);
    const measured = target.goals.map((goal) => (pair ? verdict(goal, pair) : undefined));
    const met = measured.every((one) => one?.met);
    return [
      target.what,
      against(target, pair),
      target.goals.map(goalText).join(" · "),
      measured.map((one) => (one === undefined ? "–" : one.met ? one.text : `**${one.text}**`)).join(" · "),
      measured.includes(undefined) ? "not measured" : met ? "met" : "**missed**",
    ];
  });
  return markdownTable(["", "against", "target: tsfsa ÷ it", "measured", ""], rows);
}

function against({ peer, level }: Target, pair: Pair | undefined): string {
  if (peer !== undefined) return peerName({ tool: peer, level });
  return pair ? `best peer: ${peerName(pair.peer)}` : "best peer";
}

/** Of the best peer, the one that leaves tsfsa the highest ratio. */
function pairFor({ data, operation, level, peer }: Target, pairs: readonly Pair[]): Pair | undefined {
  const candidates = pairs.filter(
    ({ peer: other }) =>
      other.data === data &&
      other.operation === operation &&
      other.level === level &&
      other.samples.length > 0 &&
      (peer === undefined || other.tool === peer),
  );
  return candidates.toSorted((a, b) => metrics.wall(b) - metrics.wall(a))[0];
}

function verdict(goal: Goal, pair: Pair): { text: string; met: boolean } {
  const value = metrics[goal.metric](pair);
  const met = goal.atLeast === undefined ? value <= (goal.atMost ?? 0) : value >= goal.atLeast;
  return { text: figure(goal.metric, value), met };
}

function goalText(goal: Goal): string {
  const [sign, limit] = goal.atLeast === undefined ? ["≤", goal.atMost ?? 0] : ["≥", goal.atLeast];
  return `${goal.metric} ${sign} ${goal.metric === "peak MiB" ? limit : limit.toFixed(2)}`;
}

export function figure(metric: Metric, value: number): string {
  if (!Number.isFinite(value) || value === 0) return "";
  return value.toFixed(metric === "peak MiB" ? 0 : metric === "size" ? 3 : 2);
}

/** How a peer is called in tables, by what it runs. */
export function peerName({ tool, level }: Pick<Series, "tool" | "level">): string {
  const zstd = level === "lz4" ? "" : ` -${level}`;
  switch (tool) {
    case "tar+zstd":
      return `tar \\| zstd${zstd}`;
    case "tar+lz4":
      return "tar \\| lz4";
    case "zstd-b":
      return `zstd -b${level} on the bytes of tar`;
    case "partclone+zstd":
    case "dd+zstd":
      return `${tool.replace("+", " \\| ")} -${level === "lz4" ? 1 : level}`;
    case "mounted":
      return "tsfsa, mounted";
    case "node":
      return "node -e 0";
    case "tenth":
      return "tsfsa, a tenth of the files";
    default:
      return tool;
  }
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
