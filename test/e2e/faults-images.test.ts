// saveimg and restimg in which one system call fails, or during which the program is killed: the status tells the truth, what could not be read is named, an
// older archive or image stays, a device that was written is named as half made. TSFSA_TEST_FAULTS=all tries every place and error.

import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectStatus, tsfsa } from "../support/cli.ts";
import { expectHonesty, type FaultSite, smallFilesystem, warningsOf } from "../support/faults.ts";
import { Lab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";

requireOrSkip("root", "loop");

const sizeBytes = 24 << 20;
const older = Buffer.from("older content");

let lab: Lab;
let source: string;
let device: string;
let expected: Buffer;
let out: string;
let archive: string;

beforeAll(async () => {
  lab = new Lab();
  source = await smallFilesystem(lab, sizeBytes);
  device = await lab.attach(source, { readOnly: true });
  out = lab.folder("out");
  archive = lab.path("whole.tsfsa");
  await expectStatus(0, ["saveimg", "-q", "--block-size", "1MiB", archive, source]);
  expected = await imageOf(archive);
});

afterAll(async () => lab.close());

type Site = Omit<FaultSite, "paths">;

describe("a saveimg in which a system call fails", () => {
  it.each([
    { what: "asking devices", calls: ["ioctl"], errors: ["EIO", "ENOTTY"] },
    { what: "reading", calls: ["pread64"], errors: ["EIO", "ENOMEM"] },
    { what: "writing", calls: ["writev", "pwritev", "pwrite64"], errors: ["ENOSPC", "EIO"] },
    { what: "syncing and naming", calls: ["fsync", "linkat", "renameat2"], errors: ["EIO", "ENOSPC"] },
    { what: "it is killed writing", calls: ["writev", "pread64", "fsync", "renameat2"], errors: ["SIGKILL"] },
  ] as Site[])("is honest when $what fails", async (site) => {
    const saved = join(out, "a.tsfsa");
    const words = ["saveimg", "--json", "-j1", "--block-size", "1MiB", "--overwrite", saved, device];
    await expectHonesty(
      lab,
      site,
      words,
      () => writeFileSync(saved, older),
      async (result) => {
        const isKilled = result.status === 137;
        if (!readdirSync(out).every((name) => name === "a.tsfsa") && !isKilled)
          return `${readdirSync(out).join(" ")} was left`;
        for (const name of readdirSync(out)) if (name !== "a.tsfsa") rmSync(join(out, name));
        const isOld = readFileSync(saved).equals(older);
        if (isOld && result.status > 1) return undefined;
        if (result.status > 1 && !isKilled && !/is whole, but its name/.test(result.stdout.toString())) {
          return "the older archive is not as it was";
        }
        const verified = await tsfsa(["verify", "-j1", saved]);
        if (verified.status !== 0) return `verify ends with ${verified.status}: ${verified.stderr}`;
        // What is not as it was read without a fault is told.
        const isTold = warningsOf(result).length > 0;
        return isTold || isSameWhereUsed(await imageOf(saved)) ? undefined : "the image differs, and nobody says so";
      },
    );
  });
});

describe("a restimg in which a system call fails", () => {
  const sites: readonly Site[] = [
    { what: "reading", calls: ["pread64"], errors: ["EIO", "ENOMEM"] },
    { what: "writing", calls: ["pwrite64"], errors: ["EIO", "ENOSPC"] },
    { what: "syncing and naming", calls: ["fsync", "rename"], errors: ["EIO", "ENOSPC"] },
    { what: "it is killed writing", calls: ["pwrite64", "fsync"], errors: ["SIGKILL"] },
  ];

  it.each(sites)("leaves a file as it was, or whole, when $what fails", async (site) => {
    const target = join(out, "target.img");
    const words = ["restimg", "--json", "--yes", "-j1", "--overwrite", archive, `id=0,dest=${target}`];
    await expectHonesty(
      lab,
      site,
      words,
      () => writeFileSync(target, older),
      async (result) => {
        const others = readdirSync(out).filter((name) => name.startsWith(".tsfsa-"));
        for (const name of others) rmSync(join(out, name));
        if (others.length > 0 && result.status !== 137) return `${others.join(" ")} was left`;
        const content = readFileSync(target);
        if (content.equals(older))
          return result.status > 1 ? undefined : "it says that all is well, and nothing was written";
        // Damage of the archive: what is whole is written, and that is said.
        if (result.status === 10) return undefined;
        return content.equals(expected) ? undefined : "the image differs, and nobody says so";
      },
    );
    rmSync(target, { force: true });
  });

  it.each(sites)("names a device as half made when $what fails", async (site) => {
    const backing = lab.image("target", sizeBytes);
    const target = await lab.attach(backing);
    const blank = readFileSync(backing);
    const words = ["restimg", "--json", "--yes", "-j1", "--overwrite", archive, `id=0,dest=${target}`];
    await expectHonesty(
      lab,
      { ...site, calls: site.calls.filter((call) => call !== "rename") },
      words,
      () => copyFileSync(blankFile(blank), backing),
      async (result) => {
        await must(["blockdev", "--flushbufs", target]);
        if (result.status === 137) return undefined; // nobody is left to say it
        const content = readFileSync(backing);
        if (result.status === 10 || isSameWhereUsed(content)) return undefined;
        if (content.equals(blank)) return result.status > 1 ? undefined : "nothing was written, and nobody says so";
        return /half made/.test(result.stdout.toString()) ? undefined : "the target was changed, and nobody says so";
      },
    );
    await lab.detach(target);
  });
});

let blankPath: string | undefined;

function blankFile(content: Buffer): string {
  if (blankPath === undefined) {
    blankPath = lab.path("blank.img");
    writeFileSync(blankPath, content);
  }
  return blankPath;
}

async function imageOf(from: string): Promise<Buffer> {
  const image = lab.path("image.img");
  const { status, stderr } = await run([
    "sh",
    "-c",
    'zstd -dcq "$1" | tar -xSf - -O --wildcards "*.img" > "$2"',
    "sh",
    from,
    image,
  ]);
  expect([status, stderr]).toEqual([0, ""]);
  const content = readFileSync(image);
  rmSync(image);
  return content;
}

/** Unused blocks of a device keep what they held. */
function isSameWhereUsed(content: Buffer): boolean {
  if (content.length !== expected.length) return false;
  for (let at = 0; at < expected.length; at += 1024) {
    const block = expected.subarray(at, at + 1024);
    if (block.some((byte) => byte !== 0) && !block.equals(content.subarray(at, at + 1024))) return false;
  }
  return true;
}
