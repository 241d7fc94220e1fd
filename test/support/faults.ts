// Failing system calls: runs the CLI under `strace -e inject`, so that the n-th call of a kind on given paths fails. Counting is done by a run without
// fault; strace counts for each thread by itself, so one run may meet as many faults as it has threads. What must hold then is said by the tests.

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { jsonLines, jsonPath, tsfsaArgv } from "./cli.ts";
import type { Lab } from "./images.ts";
import { type RunResult, run } from "./run.ts";
import { buildTree, bytes, directory, file, link, noise, sparse, symlink } from "./trees.ts";
import { fdPath, overEntries, type Walk, walk } from "./walk.ts";

/** Calls that fail one at a time. */
export interface FaultSite {
  readonly what: string;
  readonly calls: readonly string[];
  /** Or signals: the program gets one in place of an error. */
  readonly errors: readonly string[];
  /** Only calls on these paths (exactly them, by name or by descriptor), or any calls where there are none; `{pid}` stands for the process id of the CLI. */
  readonly paths: readonly string[];
  /** A call on these paths that always fails, as strace writes it. */
  readonly always?: string;
}

/** The n-th call of each thread fails. */
export interface Fault {
  readonly call: string;
  readonly error: string;
  readonly place: number;
}

export interface FaultRun extends RunResult {
  /** The fault took place. */
  readonly injected: boolean;
  /** It struck a pipe to a child that Node has started already: Node then never tells of the child's end. No kernel fails there. */
  readonly struckPipe: boolean;
}

/** Every place and error: `TSFSA_TEST_FAULTS=all`. Else a sample that keeps within a minute. */
const isExhaustive = process.env["TSFSA_TEST_FAULTS"] === "all";
if (isExhaustive) vi.setConfig({ testTimeout: 3_600_000 });
/** A run that takes longer hangs. */
const hangMs = 60_000;

/** The faults to try at a site: a run without fault tells how often its calls are made. */
export async function faultsAt(lab: Lab, site: FaultSite, words: readonly string[]): Promise<Fault[]> {
  const { result, log } = await traced(lab, site, [], words);
  if (result.status !== 0) throw new Error(`${result.command}: status ${result.status}\n${result.stderr}`);
  const counts = new Map<string, number>();
  for (const line of log.split("\n")) {
    const [, thread, call] = /^(\d+) +([a-z0-9_]+)\(/.exec(line) ?? [];
    if (thread !== undefined) counts.set(`${thread} ${call}`, (counts.get(`${thread} ${call}`) ?? 0) + 1);
  }
  const faults = site.calls.flatMap((call) => {
    const count = Math.max(0, ...[...counts].filter(([key]) => key.endsWith(` ${call}`)).map(([, value]) => value));
    const errors = isExhaustive ? site.errors : site.errors.slice(0, 1);
    return placesOf(count).flatMap((place) => errors.map((error) => ({ call, error, place })));
  });
  if (isExhaustive) console.log(`${words[0]}: ${faults.length} faults of ${site.what}`);
  return faults;
}

/** Each of `count` places, or one in the middle and the last. */
function placesOf(count: number): number[] {
  if (isExhaustive) return Array.from({ length: count }, (_, index) => index + 1);
  return [...new Set([Math.ceil(count / 3), count])].filter((place) => place > 0);
}

/** Runs the CLI with one fault. */
export async function runWithFault(
  lab: Lab,
  site: FaultSite,
  fault: Fault,
  words: readonly string[],
): Promise<FaultRun> {
  const { call, error, place } = fault;
  const what = error.startsWith("SIG") ? `signal=${error}` : `error=${error}`;
  const { result, log } = await traced(lab, site, ["-e", `inject=${call}:${what}:when=${place}`], words);
  const lines = log.split("\n");
  const struck = lines.filter((line) => line.includes(call) && line.includes("(INJECTED)"));
  // A line that another thread cut in two begins earlier.
  const begun = struck
    .filter((line) => line.includes(" resumed>"))
    .flatMap((line) => {
      const [thread = ""] = line.split(" ");
      const before = lines.slice(0, lines.indexOf(line));
      return before.findLast((each) => each.startsWith(`${thread} `) && each.includes("<unfinished")) ?? [];
    });
  const struckPipe = [...struck, ...begun].some((line) => line.includes("FIONBIO"));
  return { ...result, injected: struck.length > 0, struckPipe };
}

/** Names under which unnamed files (O_TMPFILE) made next in a folder of a tmpfs of the lab's own are known: there inodes are numbered in order. */
export function unnamedFiles(folder: string): string[] {
  const probe = join(folder, "probe");
  writeFileSync(probe, "");
  const { ino } = statSync(probe);
  rmSync(probe);
  return Array.from({ length: 8 }, (_, index) => join(folder, `#${ino + 1 + index}`));
}

/** Runs the CLI under strace, which stands beside it (-D): so the process has the id of the shell and can be killed when it hangs. The log has the site's calls. */
export async function traced(
  lab: Lab,
  { calls, paths, always }: Pick<FaultSite, "calls" | "paths" | "always">,
  injection: readonly string[],
  words: readonly string[],
): Promise<{ readonly result: RunResult; readonly log: string }> {
  const path = lab.path("trace");
  const further = always === undefined ? [] : ["-e", `inject=${always}`];
  const shown = [...calls, ...(always === undefined ? [] : [always.slice(0, always.indexOf(":"))])];
  // A signal is delivered at a stop that the filter spares.
  const filter = injection.some((word) => word.includes("signal=")) ? [] : ["--seccomp-bpf"];
  const options = [...filter, "-D", "-f", "-qq", "-o", path, "-e", "signal=none", "-e", `trace=${shown.join()}`];
  const selected = paths.flatMap((selectedPath) => ["-P", selectedPath]);
  const argv = ["strace", ...options, ...further, ...injection, ...selected, ...tsfsaArgv(...words)];
  const result = await run(["bash", "-c", 'exec "${@//"{pid}"/$$}"', "bash", ...argv], {
    env: { UV_THREADPOOL_SIZE: "1", SOURCE_DATE_EPOCH: "1500000000" },
    timeoutMs: hangMs,
  });
  // strace tells of selected paths that are symbolic links.
  const stderr = result.stderr.replaceAll(/^strace: Requested path .*\n/gm, "");
  const log = readFileSync(path, "latin1");
  rmSync(path);
  return { result: { ...result, stderr }, log };
}

/** Tries each fault of a site, wherever its calls are made; `problemOf`: in what a run that was not told as a defect was not as it must be. */
export async function expectHonesty(
  lab: Lab,
  site: Omit<FaultSite, "paths">,
  words: readonly string[],
  prepare: () => void,
  problemOf: (result: FaultRun) => Promise<string | undefined>,
): Promise<void> {
  prepare();
  const placed = { ...site, paths: [] };
  const faults = await faultsAt(lab, placed, words);
  expect(faults.length, `calls of ${site.calls.join()}`).toBeGreaterThan(0);
  const problems: string[] = [];
  for (const fault of faults) {
    prepare();
    const result = await runWithFault(lab, placed, fault, words);
    if (result.struckPipe) continue;
    // The dynamic loader reads, too: then nothing of ours has run.
    if (result.status === 127 && /error while loading shared libraries/.test(result.stderr)) continue;
    const general = fault.error === "SIGKILL" ? undefined : await generalProblem(lab, result);
    const problem = general ?? (await problemOf(result));
    const said = `status ${result.status}: ${result.stderr}${result.stdout.toString()}`;
    if (problem !== undefined) problems.push(`${fault.call} ${fault.error} at ${fault.place}: ${problem}: ${said}`);
  }
  expect(problems).toEqual([]);
}

async function generalProblem(lab: Lab, result: FaultRun): Promise<string | undefined> {
  if (looksLikeDefect(result)) return "it looks like a defect";
  if (result.status > 13 || result.status < 0) return "an unexpected status";
  if (result.status > 1 && !/"type":"error"/.test(result.stdout.toString())) return "no message";
  if (result.status === 1 && warningsOf(result).length === 0) return "status 1 without a warning";
  const left = await lab.leftoversOfKilled();
  return left.length === 0 ? undefined : `${left.join(", ")} was left`;
}

/** What a user sees of each entry but access times, in one text: path (latin1, "" for the root) → description. */
export async function treeState(root: string): Promise<Map<string, string>> {
  const tree = walk(root);
  try {
    const state = new Map<string, string>();
    const links = new Map<bigint, string>();
    for (const chunk of tree.chunks) {
      for (const { path, local, stat } of chunk.entries) {
        const { mode, uid, gid, rdev, ino, mtimeNs } = stat;
        const first = links.get(ino) ?? path;
        links.set(ino, first);
        const size = stat.isDirectory() ? 0n : stat.size;
        const content = stat.isFile()
          ? createHash("md5")
              .update(readFileSync(fdPath(chunk, local)))
              .digest("hex")
          : "";
        const target = stat.isSymbolicLink() ? readlinkSync(fdPath(chunk, local), "latin1") : "";
        state.set(path, [mode.toString(8), uid, gid, rdev, size, mtimeNs, content, target, first].join(" "));
      }
    }
    for (const [path, text] of await attributes(tree)) state.set(path, `${state.get(path)} ${text}`);
    return state;
  } finally {
    tree.close();
  }
}

async function attributes(tree: Walk): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const chunk of tree.chunks) {
    const { stdout } = await overEntries(chunk, chunk.entries, ["getfattr", "-h", "-d", "-m-", "-e", "hex", "--"]);
    for (const block of stdout.split("\n\n")) {
      const [heading = "", ...lines] = block.trim().split("\n");
      const entry = chunk.entries.find(({ local }) => `# file: ${local}` === heading);
      if (entry !== undefined) found.set(entry.path, lines.toSorted().join(" "));
    }
  }
  return found;
}

export interface ToldWarning {
  /** latin1. */
  readonly path: string;
  readonly code: string;
}

/** The warnings of a run with --json. */
export function warningsOf(result: RunResult): ToldWarning[] {
  return jsonLines(result.stdout)
    .filter(({ type }) => type === "warning")
    .map((line) => ({ path: jsonPath(line), code: String(line["code"]) }));
}

/** A stack, a code for defects, or Node's own words for what nobody caught. */
export function looksLikeDefect(result: RunResult): boolean {
  const said = `${result.stderr}${result.stdout.toString()}`;
  return /^\s+at /m.test(result.stderr) || /INTERNAL|defect|Unhandled|Uncaught/i.test(said);
}

/** Paths at which two trees differ although no warning tells of them. */
export function silentLosses(
  expected: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
  told: readonly ToldWarning[],
): string[] {
  const differing = [...new Set([...expected.keys(), ...found.keys()])].filter(
    (path) => expected.get(path) !== found.get(path),
  );
  return differing.filter((path) => !told.some((warning) => isCovered(path, warning)));
}

/** A warning tells of the entry and its other names, or of a directory with all that is below it. */
function isCovered(path: string, { path: told, code }: ToldWarning): boolean {
  const names = path === "other" ? ["other", "d/twin"] : [path];
  if (names.includes(told)) return true;
  return code.startsWith("ENTRY_") && names.some((name) => told === "" || name.startsWith(`${told}/`));
}

/** Every way of reading: slices, holes, small files, links, specials, attributes. */
export function smallTree(): ReturnType<typeof directory> {
  const twin = file("two names", { xattrs: [[bytes("user.twin"), bytes("1")]] });
  return directory({
    d: directory(
      {
        e: directory({ deep: file("deep"), empty: file("") }),
        small: file(noise(5000, 2), { mode: 0o4755, acl: "u:99:rwx" }),
        twin,
      },
      { xattrs: [[bytes("user.d"), bytes("on a directory")]] },
    ),
    fifo: { kind: "fifo" },
    holes: sparse(1 << 20, [{ offset: 64 << 10, bytes: noise(8192, 3) }]),
    large: file(noise(2_300_000, 1)),
    link: symlink("large"),
    other: link(twin),
  });
}

/** An image of ext4 that holds the small tree. */
export async function smallFilesystem(lab: Lab, sizeBytes: number): Promise<string> {
  const mkfs = ["-E", "lazy_itable_init=0"];
  const image = await lab.filesystem({ name: "small", type: "ext4", sizeBytes, mkfs });
  const mountpoint = await lab.mount(image);
  await buildTree(mountpoint, smallTree());
  await lab.unmount(mountpoint);
  return image;
}
