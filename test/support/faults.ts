// Failing system calls: runs the CLI under `strace -e inject`, so that the n-th call of a kind on given paths fails. Counting is done by a run without
// fault; strace counts for each thread by itself, so one run may meet as many faults as it has threads. What must hold then is said by the tests.

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tsfsaArgv } from "./cli.ts";
import type { Lab } from "./images.ts";
import { type RunResult, run } from "./run.ts";
import { fdPath, overEntries, type Walk, walk } from "./walk.ts";

/** Calls that fail one at a time. */
export interface FaultSite {
  readonly what: string;
  readonly calls: string;
  readonly errors: readonly string[];
  /** Only calls on these paths (exactly them, by name or by descriptor); none: all calls of the process. */
  readonly paths: readonly string[];
  /** A further injection that always takes place, as strace writes it. */
  readonly always?: string;
}

export interface FaultRun extends RunResult {
  /** The fault took place. */
  readonly injected: boolean;
}

/** All of them, at every place: `TSFSA_TEST_FAULTS=all`. Else a sample that keeps within a minute. */
const isExhaustive = process.env["TSFSA_TEST_FAULTS"] === "all";
const hangSeconds = 60;

/** How often at most one thread makes the calls of a site. */
export async function countCalls(lab: Lab, site: FaultSite, words: readonly string[]): Promise<number> {
  const log = lab.path("calls");
  const result = await traced(log, site, ["-e", `trace=${site.calls}`], words);
  if (result.status !== 0) throw new Error(`${result.command}: status ${result.status}\n${result.stderr}`);
  const counts = new Map<string, number>();
  for (const line of readFileSync(log, "latin1").split("\n")) {
    if (line === "" || line.includes(" resumed>")) continue;
    const thread = line.slice(0, line.indexOf(" "));
    counts.set(thread, (counts.get(thread) ?? 0) + 1);
  }
  rmSync(log);
  return Math.max(0, ...counts.values());
}

/** Runs the CLI; the n-th call of each thread at the site fails with `error`. */
export async function runWithFault(
  lab: Lab,
  site: FaultSite,
  error: string,
  n: number,
  words: readonly string[],
): Promise<FaultRun> {
  const log = lab.path("fault");
  writeFileSync(log, "");
  const inject = ["-e", `trace=${site.calls}`, "-e", `inject=${site.calls}:error=${error}:when=${n}`];
  const result = await traced(log, site, inject, words);
  const injected = readFileSync(log, "latin1").includes("(INJECTED)");
  rmSync(log);
  return { ...result, injected };
}

/** Which of `count` places are tried: each, or the first, one in the middle and the last. */
export function placesOf(count: number): readonly number[] {
  if (isExhaustive) return Array.from({ length: count }, (_, index) => index + 1);
  return [...new Set([1, Math.ceil(count / 2), count])].filter((place) => place <= count);
}

/** Which errors of a site are tried. */
export function errorsOf(site: FaultSite): readonly string[] {
  return isExhaustive ? site.errors : site.errors.slice(0, 1);
}

/** Names under which unnamed files (O_TMPFILE) made next in a folder of a tmpfs of the lab's own are known: there inodes are numbered in order. */
export function unnamedFiles(folder: string): string[] {
  const probe = join(folder, "probe");
  writeFileSync(probe, "");
  const { ino } = statSync(probe);
  rmSync(probe);
  return Array.from({ length: 8 }, (_, index) => join(folder, `#${ino + 1 + index}`));
}

function traced(
  log: string,
  { paths, always }: FaultSite,
  expressions: readonly string[],
  words: readonly string[],
): Promise<RunResult> {
  const strace = ["strace", "--seccomp-bpf", "-f", "-qq", "-o", log, "-e", "signal=none", ...expressions];
  const further = always === undefined ? [] : ["-e", `inject=${always}`];
  const selected = paths.flatMap((path) => ["-P", path]);
  // The time limit stands inside: killing strace would let the program go on.
  const limit = ["timeout", "--foreground", "-s", "KILL", String(hangSeconds)];
  const argv = [...strace, ...further, ...selected, ...limit, ...tsfsaArgv(...words)];
  return run(argv, { env: { UV_THREADPOOL_SIZE: "1", SOURCE_DATE_EPOCH: "1500000000" }, timeoutMs: 120_000 });
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

/** Paths at which two trees differ. */
export function differingPaths(left: ReadonlyMap<string, string>, right: ReadonlyMap<string, string>): string[] {
  return [...new Set([...left.keys(), ...right.keys()])].filter((path) => left.get(path) !== right.get(path));
}
