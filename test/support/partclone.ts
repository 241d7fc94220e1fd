// The judge of allocation maps: partclone's own (partclone.* -D writes what it would copy as a domain log of ddrescue).

import { readFileSync } from "node:fs";
import { must } from "./run.ts";

/** Runs that partclone would copy: pairs of offset and length, ascending. `log`: a path where nothing is yet. */
export async function partcloneMap(type: string, image: string, log: string): Promise<[number, number][]> {
  const program = `partclone.${type.startsWith("ext") ? "extfs" : type}`;
  await must([program, "-D", "-q", "-L", "/dev/null", "-s", image, "-o", log]);
  return readFileSync(log, "utf8")
    .split("\n")
    .map((line) => /^(0x[\dA-F]+)\s+(0x[\dA-F]+)\s+\+$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => [Number(match[1]), Number(match[2])]);
}

/** What of `wanted` the runs leave out. */
export function missing(wanted: readonly [number, number][], runs: Float64Array): [number, number][] {
  const lost: [number, number][] = [];
  let next = 0;
  for (const [offset, length] of wanted) {
    let at = offset;
    while (at < offset + length) {
      while (next < runs.length && (runs[next] as number) + (runs[next + 1] as number) <= at) next += 2;
      const start = runs[next] ?? Number.POSITIVE_INFINITY;
      if (start > at) lost.push([at, Math.min(start, offset + length) - at]);
      at = start > at ? start : start + (runs[next + 1] as number);
    }
  }
  return lost;
}
