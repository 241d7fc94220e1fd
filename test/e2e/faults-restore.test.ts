// A restore in which one system call fails, at every place where it is made: the status tells the truth, all that is not as it was is named, nothing
// hangs. TSFSA_TEST_FAULTS=all tries every place and error.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectStatus } from "../support/cli.ts";
import {
  type FaultRun,
  type FaultSite,
  faultsAt,
  looksLikeDefect,
  runWithFault,
  silentLosses,
  smallTree,
  treeState,
  warningsOf,
} from "../support/faults.ts";
import { Lab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { buildTree } from "../support/trees.ts";

requireOrSkip("root");

type Where = "directories" | "entries" | "archive";

let lab: Lab;
let archive: string;
let destination: string;
let expected: Map<string, string>;

beforeAll(async () => {
  lab = new Lab();
  const source = lab.folder("source");
  await buildTree(source, smallTree());
  archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", "--block-size", "1MiB", archive, source]);
  destination = join(lab.folder("restored"), "here");
  expected = await treeState(source);
});

afterAll(async () => lab.close());

const sites: readonly (Omit<FaultSite, "paths"> & { readonly where: Where })[] = [
  {
    what: "making directories",
    calls: ["mkdir", "mkdirat"],
    where: "directories",
    errors: ["EACCES", "ENOSPC", "EIO"],
  },
  {
    what: "opening",
    calls: ["openat", "openat2"],
    where: "directories",
    errors: ["EMFILE", "EACCES", "EIO", "ENOSPC"],
  },
  { what: "duplicating descriptors", calls: ["fcntl"], where: "directories", errors: ["EMFILE"] },
  { what: "statx", calls: ["statx", "newfstatat"], where: "entries", errors: ["EIO", "ENOMEM"] },
  { what: "writing", calls: ["write", "pwrite64"], where: "entries", errors: ["EIO", "ENOSPC", "EDQUOT"] },
  { what: "setting lengths", calls: ["ftruncate", "fallocate"], where: "entries", errors: ["EIO", "ENOSPC"] },
  {
    what: "making other entries",
    calls: ["symlinkat", "linkat", "mknodat"],
    where: "directories",
    errors: ["EIO", "ENOSPC", "EACCES"],
  },
  {
    what: "setting owners and modes",
    calls: ["fchown", "fchownat", "fchmod", "fchmodat"],
    where: "entries",
    errors: ["EPERM", "EIO"],
  },
  {
    what: "setting attributes",
    calls: ["fsetxattr", "setxattr", "lsetxattr"],
    where: "entries",
    errors: ["ENOSPC", "EIO", "EOPNOTSUPP"],
  },
  { what: "setting times", calls: ["utimensat"], where: "entries", errors: ["EIO"] },
  { what: "reading flags", calls: ["ioctl"], where: "entries", errors: ["EIO"] },
  { what: "reading the archive", calls: ["pread64", "read"], where: "archive", errors: ["EIO", "ENOMEM"] },
  { what: "opening the archive", calls: ["openat", "statx"], where: "archive", errors: ["EIO", "EACCES", "EMFILE"] },
];

describe("a restore in which a system call fails", () => {
  it.each(sites)("is honest when $what fails", async (site) => {
    const words = ["restdir", "--json", "-j1", archive, destination];
    const placed = { ...site, paths: pathsOf(site.where) };
    rmSync(destination, { recursive: true, force: true });
    const faults = await faultsAt(lab, placed, words);
    expect(faults.length, `calls of ${site.calls.join()}`).toBeGreaterThan(0);
    const problems: string[] = [];
    for (const fault of faults) {
      rmSync(destination, { recursive: true, force: true });
      const problem = await problemOf(await runWithFault(lab, placed, fault, words), fault.error);
      if (problem !== undefined) problems.push(`${fault.call} ${fault.error} at ${fault.place}: ${problem}`);
    }
    expect(problems).toEqual([]);
  });
});

function pathsOf(where: Where): string[] {
  if (where === "archive") return [archive];
  const directories = ["", "d", "d/e"].map((path) => join(destination, path));
  if (where === "directories") return directories;
  return [...new Set([...directories, ...[...expected.keys()].map((path) => join(destination, path))])];
}

/** In what a restore was not as it must be. */
async function problemOf(result: FaultRun, error: string): Promise<string | undefined> {
  const { status, injected } = result;
  const said = `status ${status}: ${result.stderr}${result.stdout.toString()}`;
  if (!injected) return `the call did not take place: ${said}`;
  if (looksLikeDefect(result)) return `it looks like a defect: ${said}`;
  if (![0, 1, 2, 10, 12].includes(status)) return `an unexpected status: ${said}`;
  if (status > 1 && !/"type":"error"/.test(result.stdout.toString())) return `no message: ${said}`;
  if (status === 2 || status === 12) {
    if ((error === "ENOSPC" || error === "EDQUOT") && !/"code":"NO_SPACE"/.test(said))
      return `not told as full: ${said}`;
    return undefined;
  }
  const silent = silentLosses(expected, await treeState(destination), warningsOf(result));
  return silent.length === 0 ? undefined : `${silent.join(", ")} differ and were not named: ${said}`;
}
