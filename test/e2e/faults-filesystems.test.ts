// savefs and restfs in which one system call fails, tools included: the status tells the truth, nothing stays mounted or attached, a target is as it was or
// named as half made, no archive that verifies is wrong, an older one stays. TSFSA_TEST_FAULTS=all tries every place and error.

import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { expectStatus, tsfsa } from "../support/cli.ts";
import {
  expectHonesty,
  type FaultSite,
  silentLosses,
  smallFilesystem,
  treeState,
  warningsOf,
} from "../support/faults.ts";
import { Lab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { run } from "../support/run.ts";

requireOrSkip("root", "loop");

const sizeBytes = 24 << 20;
const older = Buffer.from("an older archive");

let lab: Lab;
let source: string;
let out: string;
let archive: string;
let expected: Map<string, string>;

beforeAll(async () => {
  lab = new Lab();
  source = await smallFilesystem(lab, sizeBytes);
  expected = await stateOf(source);
  out = lab.folder("out");
  archive = lab.path("whole.tsfsa");
  await expectStatus(0, ["savefs", "-q", "--block-size", "1MiB", archive, source]);
});

afterAll(async () => lab.close());

type Site = Omit<FaultSite, "paths">;

const mounting: readonly Site[] = [
  { what: "attaching loop devices and asking devices", calls: ["ioctl"], errors: ["EIO", "EBUSY", "ENOMEM"] },
  { what: "mounting", calls: ["fsopen", "fsconfig", "fsmount"], errors: ["EPERM", "EIO", "ENOMEM"] },
];

describe("a savefs in which a system call fails", () => {
  it.each([
    ...mounting,
    { what: "listing", calls: ["getdents64"], errors: ["EIO", "ENOMEM"] },
    { what: "reading", calls: ["pread64"], errors: ["EIO", "ENOMEM"] },
    { what: "reading attributes", calls: ["flistxattr", "fgetxattr"], errors: ["EIO"] },
    { what: "syncing and naming", calls: ["fsync", "linkat", "renameat2"], errors: ["EIO", "ENOSPC"] },
  ] as Site[])("is honest when $what fails", async (site) => {
    const saved = join(out, "a.tsfsa");
    const words = ["savefs", "--json", "-j1", "--block-size", "1MiB", "--overwrite", saved, source];
    await expectHonesty(
      lab,
      site,
      words,
      () => writeFileSync(saved, older),
      async (result) => {
        if (!readdirSync(out).every((name) => name === "a.tsfsa")) return `${readdirSync(out).join(" ")} was left`;
        if (result.status > 1 && !/is whole, but its name/.test(result.stdout.toString())) {
          return readFileSync(saved).equals(older) ? undefined : "the older archive is not as it was";
        }
        const verified = await tsfsa(["verify", "-j1", saved]);
        if (verified.status !== 0) return `verify ends with ${verified.status}: ${verified.stderr}`;
        const restored = lab.folder("restored");
        await tsfsa(["restdir", "-q", "-j1", saved, restored]);
        const silent = silentLosses(expected, await treeState(restored), warningsOf(result));
        rmSync(restored, { recursive: true });
        return silent.length === 0 ? undefined : `${silent.join(", ")} differ and were not named`;
      },
    );
  });
});

describe("a restfs in which a system call fails", () => {
  it.each([
    ...mounting,
    { what: "starting mkfs", calls: ["execve"], errors: ["ENOENT", "EACCES", "ENOMEM"] },
    { what: "writing, of mkfs and of files", calls: ["pwrite64"], errors: ["EIO", "ENOSPC", "EDQUOT"] },
    { what: "syncing", calls: ["fsync", "fdatasync", "syncfs"], errors: ["EIO"] },
    {
      what: "making entries",
      calls: ["mkdirat", "symlinkat", "linkat", "mknodat"],
      errors: ["EDQUOT", "ENOSPC", "EIO"],
    },
    {
      what: "setting metadata",
      calls: ["fchown", "fchmod", "fsetxattr", "utimensat"],
      errors: ["EIO", "ENOSPC", "EDQUOT"],
    },
    { what: "reading", calls: ["pread64"], errors: ["EIO", "ENOMEM"] },
  ] as Site[])("is honest when $what fails", async (site) => {
    const target = lab.image("target", sizeBytes);
    const words = ["restfs", "--json", "-j1", archive, `id=0,dest=${target}`];
    const prepare = (): void => {
      truncateSync(target, 0);
      truncateSync(target, sizeBytes);
    };
    await expectHonesty(lab, site, words, prepare, async (result) => {
      if (result.status > 1) {
        if (statSync(target).blocks === 0 || /half made/.test(result.stdout.toString())) return undefined;
        // Damage of the archive: what is whole was restored, all else is named.
        if (result.status !== 10) return "the target was changed, and nobody says so";
      }
      const checked = await run(["e2fsck", "-fn", target]);
      if (checked.status !== 0) return `e2fsck: ${checked.stdout.toString()}`;
      const silent = silentLosses(expected, await stateOf(target), warningsOf(result));
      return silent.length === 0 ? undefined : `${silent.join(", ")} differ and were not named`;
    });
    rmSync(target);
  });
});

async function stateOf(image: string): Promise<Map<string, string>> {
  const mountpoint = await lab.mount(image, { options: "ro,noload" });
  const state = await treeState(mountpoint);
  await lab.unmount(mountpoint);
  return state;
}
