// Samples to medians, ratios and a table. Ratios compare the reference (tsfsa, else the first tool) with each other
// tool, round by round, and are the medians of those: what slows the machine for a while slows both sides of a pair.

import type { Sample } from "./measure.ts";
import type { Level, Operation } from "./tools.ts";

export interface Series {
  readonly data: string;
  readonly operation: Operation;
  readonly level: Level;
  readonly tool: string;
  /** Size of the tool's archive of that data set; 0 when it made none. */
  readonly archiveBytes: number;
  /** One per round. Empty when the tool could not finish; then `failure` says why. */
  readonly samples: readonly Sample[];
  readonly failure?: string;
}

export function levelName(level: Level): string {
  return level === "lz4" ? "LZ4" : `zstd ${level}`;
}

/** The middle value, or the mean of the two middle ones; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** Median over the rounds of reference ÷ other. */
export function pairedRatio(reference: Series, other: Series, value: (sample: Sample) => number): number {
  const rounds = Math.min(reference.samples.length, other.samples.length);
  const ratioOf = (round: number) => {
    const [a, b] = [reference.samples[round], other.samples[round]];
    return a && b ? value(a) / value(b) : Number.NaN;
  };
  return median(Array.from({ length: rounds }, (_, round) => ratioOf(round)));
}

const MiB = 1024 * 1024;

/** One table per data set and operation; every line of the series given has the same of both. */
export function formatTable(series: readonly Series[]): string {
  const reference = series[0];
  if (reference === undefined) return "";
  const head = ["tool", "wall s", "CPU s", "peak MiB", "size MiB", `${reference.tool} ÷ it: wall`, "CPU", "size"];
  const rows = series.map((one) => (one.samples.length > 0 ? rowOf(one, reference) : [one.tool, one.failure ?? ""]));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.filter((row) => row.length > 2).map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ");
  return [line(head), ...rows.map((row) => (row.length > 2 ? line(row) : row.join("  ")))].join("\n");
}

function rowOf(one: Series, reference: Series): string[] {
  const middle = (value: (sample: Sample) => number) => median(one.samples.map(value));
  const ratio = (value: (sample: Sample) => number) =>
    one === reference ? "" : known(pairedRatio(reference, one, value), 2);
  return [
    one.tool,
    middle((sample) => sample.wallSeconds).toFixed(2),
    middle((sample) => sample.cpuSeconds).toFixed(2),
    middle((sample) => sample.peakRssBytes / MiB).toFixed(0),
    (one.archiveBytes / MiB).toFixed(1),
    ratio((sample) => sample.wallSeconds),
    ratio((sample) => sample.cpuSeconds),
    one === reference ? "" : known(reference.archiveBytes / one.archiveBytes, 3),
  ];
}

/** Empty where one side has no such figure. */
function known(ratio: number, digits: number): string {
  return Number.isFinite(ratio) ? ratio.toFixed(digits) : "";
}
