// A save in which one system call fails, at every place where it is made: the status tells the truth, no archive that verifies is wrong, an older
// archive stays, nothing is left behind, nothing hangs. TSFSA_TEST_FAULTS=all tries every place and error.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tsfsa } from "../support/cli.ts";
import {
  type FaultRun,
  type FaultSite,
  faultsAt,
  looksLikeDefect,
  runWithFault,
  silentLosses,
  smallTree,
  type ToldWarning,
  treeState,
  unnamedFiles,
  warningsOf,
} from "../support/faults.ts";
import { Lab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { buildTree } from "../support/trees.ts";

requireOrSkip("root");

let lab: Lab;
let source: string;
let out: string;
/** Directories and files of the source, as the CLI names them. */
let directories: string[];
let files: string[];
let reference: Buffer;
let expected: Map<string, string>;

const older = Buffer.from("an older archive");

beforeAll(async () => {
  lab = new Lab();
  const place = await lab.tmpfs(64 << 20);
  source = join(place, "source");
  out = join(place, "out");
  for (const folder of [source, out]) mkdirSync(folder);
  await buildTree(source, smallTree());
  directories = [source, join(source, "d"), join(source, "d/e")];
  expected = await treeState(source);
  files = [...expected.keys()].filter((path) => path !== "").map((path) => join(source, path));
  await saved([]); // settles the access times of symbolic links
  reference = await saved([]);
});

afterAll(async () => lab.close());

/** `place` is filled in when the lab is there. */
const sites: readonly (Omit<FaultSite, "paths"> & { readonly where: "directories" | "entries" | "out" })[] = [
  {
    what: "opening directories and files",
    calls: ["openat"],
    where: "directories",
    errors: ["EMFILE", "EACCES", "EIO", "ENOMEM"],
  },
  { what: "listing directories", calls: ["getdents64"], where: "directories", errors: ["EIO", "ENOMEM"] },
  { what: "statx", calls: ["statx", "newfstatat"], where: "entries", errors: ["EIO", "ENOMEM", "EACCES"] },
  { what: "reading files", calls: ["pread64", "read"], where: "entries", errors: ["EIO", "ENOMEM"] },
  { what: "reading links", calls: ["readlinkat", "readlink"], where: "directories", errors: ["EIO", "ENOMEM"] },
  {
    what: "reading attributes",
    calls: ["flistxattr", "fgetxattr", "listxattr", "llistxattr", "getxattr", "lgetxattr"],
    where: "entries",
    errors: ["EIO", "ENOMEM", "EACCES"],
  },
  { what: "reading flags", calls: ["ioctl"], where: "entries", errors: ["EIO"] },
  { what: "looking for holes", calls: ["lseek"], where: "entries", errors: ["EIO"] },
  { what: "duplicating descriptors", calls: ["fcntl"], where: "entries", errors: ["EMFILE"] },
  {
    what: "opening in the folder of the archive",
    calls: ["openat"],
    where: "out",
    errors: ["ENOSPC", "EACCES", "EIO", "EMFILE"],
  },
  {
    what: "writing",
    calls: ["write", "writev", "pwrite64", "pwritev"],
    where: "out",
    errors: ["ENOSPC", "EIO", "EDQUOT"],
  },
  { what: "syncing", calls: ["fsync", "fdatasync"], where: "out", errors: ["EIO", "ENOSPC"] },
  {
    what: "naming the archive",
    calls: ["linkat", "renameat2", "rename", "renameat"],
    where: "out",
    errors: ["ENOSPC", "EIO", "EACCES"],
  },
];

describe("a save in which a system call fails", () => {
  it.each(sites)("is honest when $what fails", async (site) => {
    await expectHonesty(site, []);
  });

  it.each(sites.filter(({ where }) => where === "out"))(
    "leaves the older archive alone when $what fails while it is replaced",
    async (site) => {
      await expectHonesty(site, ["--overwrite"]);
    },
  );

  it.each(sites.filter(({ where, calls }) => where === "out" && !calls.includes("openat")))(
    "is honest when $what fails where files cannot be made without a name",
    async (site) => {
      await expectHonesty({ ...site, always: "openat:error=EOPNOTSUPP:when=3" }, ["--overwrite"]);
    },
  );
});

async function expectHonesty(
  site: Omit<FaultSite, "paths"> & { readonly where: "directories" | "entries" | "out" },
  options: readonly string[],
): Promise<void> {
  const archive = join(out, "a.tsfsa");
  const words = ["savedir", "--json", "-A", "-j1", "--block-size", "1MiB", ...options, archive, source];
  const prepare = (): void => {
    for (const name of readdirSync(out)) rmSync(join(out, name));
    if (options.includes("--overwrite")) writeFileSync(archive, older);
  };
  prepare();
  const placed = { ...site, paths: pathsOf(site.where) };
  const faults = await faultsAt(lab, placed, words);
  expect(faults.length, `calls of ${site.calls.join()}`).toBeGreaterThan(0);
  const problems: string[] = [];
  for (const fault of faults) {
    prepare();
    const result = await runWithFault(lab, { ...site, paths: pathsOf(site.where) }, fault, words);
    const problem = await problemOf(result, archive, options.includes("--overwrite"));
    if (problem !== undefined) problems.push(`${fault.call} ${fault.error} at ${fault.place}: ${problem}`);
  }
  prepare();
  expect(problems).toEqual([]);
}

function pathsOf(where: "directories" | "entries" | "out"): string[] {
  if (where === "directories") return directories;
  if (where === "entries") return [...directories, ...files];
  return [out, join(out, "a.tsfsa"), join(out, ".a.tsfsa.tsfsa-{pid}"), ...unnamedFiles(out)];
}

/** In what a save was not as it must be. */
async function problemOf(result: FaultRun, archive: string, replaces: boolean): Promise<string | undefined> {
  const { status, stderr, injected } = result;
  const said = `status ${status}: ${stderr}${result.stdout.toString()}`;
  if (!injected) return `the call did not take place: ${said}`;
  if (looksLikeDefect(result)) return `it looks like a defect: ${said}`;
  const names = readdirSync(out);
  if (status === 0) {
    // A map of holes that could not be read only costs the holes.
    return isWhole(names, archive) ? undefined : await lossProblem([], archive);
  }
  if (status !== 1) {
    if (!/"type":"error"/.test(result.stdout.toString())) return `no message: ${said}`;
    if (status !== 2) return `an unexpected status: ${said}`;
    // Only the sync of the folder may fail behind it.
    if (/is whole, but its name/.test(said)) return isWhole(names, archive) ? undefined : `it is not whole: ${said}`;
    if (!replaces) return names.length === 0 ? undefined : `${names.join(" ")} was left: ${said}`;
    const kept = names.length === 1 && names[0] === basename(archive) && readFileSync(archive).equals(older);
    return kept ? undefined : `the older archive is not as it was, ${names.join(" ")}: ${said}`;
  }
  return incompleteProblem(result, archive);
}

function isWhole(names: readonly string[], archive: string): boolean {
  return names.length === 1 && names[0] === basename(archive) && readFileSync(archive).equals(reference);
}

/** Status 1: the archive is whole, and all that is not as it was is named. */
async function incompleteProblem(result: FaultRun, archive: string): Promise<string | undefined> {
  const told = warningsOf(result);
  return told.length === 0 ? "status 1 without a warning" : lossProblem(told, archive);
}

/** In what the archive is not whole, or its content not as it was but for what was told. */
async function lossProblem(told: readonly ToldWarning[], archive: string): Promise<string | undefined> {
  const said = JSON.stringify(told);
  const verified = await tsfsa(["verify", "-j1", archive]);
  if (verified.status !== 0) return `verify ends with ${verified.status}: ${verified.stderr} after ${said}`;
  const restored = lab.folder("restored");
  const restore = await tsfsa(["restdir", "-j1", archive, restored]);
  if (restore.status > 1) return `restdir ends with ${restore.status}: ${restore.stderr} after ${said}`;
  const silent = silentLosses(expected, await treeState(restored), told);
  rmSync(restored, { recursive: true, force: true });
  return silent.length === 0 ? undefined : `${silent.join(", ")} differ, and only ${said} were named`;
}

async function saved(options: readonly string[]): Promise<Buffer> {
  const archive = join(out, "a.tsfsa");
  const words = ["savedir", "-q", "-A", "-j1", "--block-size", "1MiB", ...options, archive, source];
  const result = await tsfsa(words, { env: { SOURCE_DATE_EPOCH: "1500000000" } });
  if (result.status !== 0) throw new Error(`${result.command}: ${result.status} ${result.stderr}`);
  const content = readFileSync(archive);
  rmSync(archive);
  return content;
}
