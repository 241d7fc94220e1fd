// What the page of figures says of given results. No speed is measured here.

import { expect, test } from "vitest";
import { barChart } from "../../bench/chart.ts";
import type { Series } from "../../bench/report.ts";
import { pairsOf, type Result } from "../../bench/results.ts";
import { targetsTable } from "../../bench/targets.ts";

function series(tool: string, wallSeconds: number, fields: Partial<Series> = {}): Series {
  const sample = { wallSeconds, cpuSeconds: 2 * wallSeconds, peakRssBytes: 0, loadBefore: 0 };
  return { data: "linux", operation: "save", level: 3, tool, archiveBytes: 100, samples: [sample], ...fields };
}

function result(name: string, results: readonly Series[]): Result {
  const machine = { commit: "", date: name, cpu: "", processors: 2, memoryBytes: 0, kernel: "", node: "", tools: {} };
  return { name, machine, results };
}

function rowOf(words: string, results: readonly Result[]): string | undefined {
  return targetsTable(pairsOf(results))
    .split("\n")
    .find((line) => line.includes(words));
}

test("tsfsa is compared with a peer of the same run, of the newest run that has the peer", () => {
  const old = result("monday", [series("tsfsa", 1), series("tar+zstd", 4), series("dar", 8)]);
  const recent = result("tuesday", [series("tsfsa", 3), series("tar+zstd", 4)]);
  const walls = pairsOf([old, recent]).map(({ tsfsa, peer }) => [
    peer.tool,
    tsfsa.samples[0]?.wallSeconds,
    peer.samples[0]?.wallSeconds,
  ]);
  expect(walls).toEqual([
    ["tar+zstd", 3, 4],
    ["dar", 1, 8],
  ]);
});

test("another level, operation or data set makes no pair", () => {
  const results = [series("tsfsa", 1), series("tar+zstd", 4, { level: 1 }), series("dar", 4, { operation: "list" })];
  expect(pairsOf([result("monday", results)])).toEqual([]);
});

test("a target says met, missed or not measured, and shows each figure that misses in bold", () => {
  const met = result("monday", [series("tsfsa", 1), series("fsarchiver", 2)]);
  const missed = result("monday", [series("tsfsa", 2), series("fsarchiver", 3)]);
  const half = result("monday", [
    series("tsfsa", 1),
    series("fsarchiver", 2, { samples: [{ wallSeconds: 2, cpuSeconds: 3, peakRssBytes: 0, loadBefore: 0 }] }),
  ]);
  expect(rowOf("| fsarchiver | wall ≤ 0.50 · CPU ≤ 0.60", [met])).toContain("| 0.50 · 0.50 | met |");
  expect(rowOf("| fsarchiver | wall ≤ 0.50 · CPU ≤ 0.60", [missed])).toContain("| **0.67** · **0.67** | **missed** |");
  expect(rowOf("| fsarchiver | wall ≤ 0.50 · CPU ≤ 0.60", [half])).toContain("| 0.50 · **0.67** | **missed** |");
  expect(rowOf("| fsarchiver | wall ≤ 0.50 · CPU ≤ 0.60", [])).toContain("| – · – | not measured |");
});

test("the best peer is the one that leaves tsfsa the highest ratio; one that failed is none", () => {
  const level = { level: "lz4" } as const;
  const peers = [series("tar+lz4", 4, level), series("squashfs", 2, level), series("fsarchiver", 1, level)];
  const failed = { ...level, samples: [], failure: "save failed" };
  const results = [series("tsfsa", 1, level), ...peers.slice(0, 2), series("fsarchiver", 0, failed)];
  expect(rowOf("`-z 1`", [result("monday", results)])).toContain("| best peer: squashfs | wall ≤ 0.75 | 0.50 | met |");
});

test("a bar ends at the edge where its figure does not, and what is unknown has none", () => {
  const svg = barChart("tsfsa & peers", [{ label: "a < b", wall: 60, CPU: Number.NaN }]);
  expect(svg).toContain("<title>tsfsa &amp; peers</title>");
  expect(svg).toContain("a &lt; b");
  expect(svg).toContain(">60.00</text>");
  expect(svg).toContain('width="470.0"');
  expect(svg.match(/font-weight="bold">/g)).toHaveLength(2);
});
