// `npm run bench:publish`: writes the charts and the tables of docs/PERFORMANCE.md from the results that are kept, without
// measuring. With --check it writes nothing and fails where the documents say something else than the results.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { barChart } from "./chart.ts";
import { levelName, median } from "./report.ts";
import { metrics, middle, type Pair, pairsOf, readResults, type Result } from "./results.ts";
import { figure, markdownTable, peerName, targetsTable } from "./targets.ts";

const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const titles: Readonly<Record<string, string>> = {
  linux: "Linux source tree",
  debian: "Debian root",
  mixed: "Large and sparse files",
  "tiny-1000000": "1,000,000 files of 20 to 220 bytes",
  "links-200000": "200,000 hard links",
  small: "One small file, ten times",
};
const MiB = 1024 * 1024;

function main(): void {
  const check = process.argv.includes("--check");
  const results = readResults();
  const pairs = pairsOf(results).filter(({ tsfsa, peer }) => tsfsa.samples.length > 0 && peer.samples.length > 0);
  const charts = chartsOf(pairs);
  const files = new Map([...charts].map(([name, { svg }]) => [`charts/${name}`, svg]));
  const sections = {
    targets: targetsTable(pairs),
    charts: [...charts].map(([name, { title }]) => `![${title}](charts/${name})`).join("\n"),
    tables: tablesOf(pairs),
    levels: levelsTable(results),
    runs: runsTable(results),
  };
  let page = readFileSync(`${docs}PERFORMANCE.md`, "utf8");
  for (const [name, body] of Object.entries(sections)) page = withSection(page, name, body);
  files.set("PERFORMANCE.md", page);
  if (check) checkFiles(files);
  else writeFiles(files);
}

function checkFiles(files: ReadonlyMap<string, string>): void {
  const stale = [...files].filter(
    ([name, content]) => !existsSync(`${docs}${name}`) || readFileSync(`${docs}${name}`, "utf8") !== content,
  );
  if (stale.length === 0) return;
  const names = stale.map(([name]) => `docs/${name}`).join(", ");
  throw new Error(`${names}: not what bench/results says; run npm run bench:publish`);
}

function writeFiles(files: ReadonlyMap<string, string>): void {
  mkdirSync(`${docs}charts`, { recursive: true });
  for (const name of readdirSync(`${docs}charts`)) if (name.endsWith(".svg")) rmSync(`${docs}charts/${name}`);
  for (const [name, content] of files) writeFileSync(`${docs}${name}`, content);
}

/** Replaces what stands between the two comments of that name. */
function withSection(page: string, name: string, body: string): string {
  const [open, close] = [`<!-- bench: ${name} -->\n`, `<!-- end of ${name} -->`];
  const [start, end] = [page.indexOf(open), page.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`docs/PERFORMANCE.md: no ${open.trim()} … ${close}`);
  return `${page.slice(0, start)}${open}\n${body}\n\n${page.slice(end)}`;
}

/** One for each operation on a data set that was measured against two peers or more, at the level that is the default. */
function chartsOf(pairs: readonly Pair[]): Map<string, { title: string; svg: string }> {
  const charts = new Map<string, { title: string; svg: string }>();
  for (const [key, group] of groupBy(pairs, ({ peer }) => `${peer.data}-${peer.operation}`)) {
    const atDefault = group.filter(({ peer }) => peer.level === 3);
    const [first] = atDefault;
    if (first === undefined || atDefault.length < 2) continue;
    const title = `${first.peer.operation}, ${titleOf(first)}: tsfsa ÷ peer`;
    const rows = atDefault.map((pair) => ({
      label: peerName(pair.peer).replace("\\", ""),
      wall: metrics.wall(pair),
      CPU: metrics.CPU(pair),
    }));
    charts.set(`${key}.svg`, { title, svg: barChart(title, rows) });
  }
  return charts;
}

/** A table for each data set with a row for each pair. */
function tablesOf(pairs: readonly Pair[]): string {
  const head = ["", "peer", "wall s", "CPU s", "peak MiB", "size MiB", "tsfsa: wall s", "CPU s", "peak MiB"];
  const ratios = ["tsfsa ÷ peer: wall", "CPU", "size"];
  return [...groupBy(pairs, ({ peer }) => peer.data)]
    .toSorted(([a], [b]) => placeOf(a) - placeOf(b))
    .map(([, group]) => {
      const rows = group.map((pair) => {
        const { tsfsa, peer } = pair;
        const level = peer.level === 3 ? "" : `, ${levelName(peer.level)}`;
        return [
          `${peer.operation}${level}`,
          peerName(peer),
          ...figuresOf(peer),
          number(peer.archiveBytes / MiB, 1),
          ...figuresOf(tsfsa),
          figure("wall", metrics.wall(pair)),
          figure("CPU", metrics.CPU(pair)),
          figure("size", metrics.size(pair)),
        ];
      });
      return `**${group[0] ? titleOf(group[0]) : ""}**\n\n${markdownTable([...head, ...ratios], rows)}`;
    })
    .join("\n\n");
}

/** Data sets that have a title come first, as the titles stand. */
function placeOf(data: string): number {
  const place = Object.keys(titles).indexOf(data);
  return place < 0 ? Number.MAX_VALUE : place;
}

function figuresOf(series: Pair["peer"]): string[] {
  return [
    number(
      middle(series, (sample) => sample.wallSeconds),
      2,
    ),
    number(
      middle(series, (sample) => sample.cpuSeconds),
      2,
    ),
    number(
      middle(series, (sample) => sample.peakRssBytes / MiB),
      0,
    ),
  ];
}

/** tsfsa alone at several levels, in turn: the result of the set `lz4`. */
function levelsTable(results: readonly Result[]): string {
  const series = results.find(({ name }) => name === "lz4")?.results ?? [];
  const rows = series
    .filter(({ operation }) => operation === "save")
    .map((save) => {
      const also = (operation: string) =>
        series.find((one) => one.operation === operation && one.level === save.level) ?? save;
      return [
        levelName(save.level),
        number(save.archiveBytes / MiB, 1),
        ...figuresOf(save),
        ...figuresOf(also("restore")),
        ...figuresOf(also("verify")),
      ];
    });
  const figures = ["save", "restore", "verify"].flatMap((operation) => [`${operation}: wall s`, "CPU s", "peak MiB"]);
  const head = ["", "size MiB", ...figures];
  return markdownTable(head, rows);
}

function runsTable(results: readonly Result[]): string {
  const rows = results.map(({ name, machine, results: series }) => [
    `[${name}](../bench/results/${name}.json)`,
    machine.date.slice(0, 10),
    machine.commit,
    `${machine.cpu}, ${machine.processors} processors, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB`,
    `Linux ${machine.kernel}, Node ${machine.node}`,
    String(Math.max(...series.map(({ samples }) => samples.length))),
    median(series.flatMap(({ samples }) => samples.map(({ loadBefore }) => loadBefore))).toFixed(1),
  ]);
  return markdownTable(["result", "date", "commit", "machine", "system", "rounds", "load"], rows);
}

function titleOf({ peer }: Pair): string {
  return titles[peer.data] ?? peer.data;
}

function number(value: number, digits: number): string {
  return Number.isFinite(value) && value > 0 ? value.toFixed(digits) : "";
}

function groupBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

try {
  main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
