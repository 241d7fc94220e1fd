// kill -9 at any moment of a save or a restore leaves nothing mounted, nothing attached and no archive under its name that is not whole; SIGINT and SIGTERM end it
// at once, whatever the run waits for. TSFSA_TEST_FAULTS=all: 50 kills of each.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { expectStatus, tsfsaArgv } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { soonMs, stop } from "../support/signal.ts";
import { makeSourceTree, noise } from "../support/trees.ts";
import { file, forgeEntries, root } from "../support/forge.ts";

requireOrSkip("root", "loop");

const isExhaustive = process.env["TSFSA_TEST_FAULTS"] === "all";
const kills = isExhaustive ? 50 : 3;
/** Of the moments at which runs are killed. */
const seed = 20_261_121;

describe("kill -9", () => {
  it("of a save leaves no archive, mount or loop device", async () => {
    await withLab(async (lab) => {
      const image = await sourceImage(lab);
      const out = lab.folder("out");
      const words = ["savefs", "-q", "-z7", join(out, "a.tsfsa"), image];
      await killAtRandom(
        lab,
        words,
        () => rmSync(join(out, "a.tsfsa"), { force: true }),
        async () => {
          const names = readdirSync(out);
          if (!names.includes("a.tsfsa")) return names.length === 0 ? "no file" : "a hidden file";
          // Killed behind the last step: it got its name because it is whole.
          await expectStatus(0, ["verify", "-q", join(out, "a.tsfsa")]);
          return "a whole archive";
        },
      );
      rmSync(join(out, "a.tsfsa"), { force: true });
      await expectStatus(0, words);
      expect(readdirSync(out), "what was left is cleared").toEqual(["a.tsfsa"]);
    });
  }, 900_000);

  it("of a restore leaves no mount or loop device, and the next one is not in its way", async () => {
    await withLab(async (lab) => {
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-q", archive, await sourceImage(lab)]);
      const target = lab.image("target", recipes.ext4.sizeBytes);
      const words = ["restfs", "-q", "--overwrite", "--yes", archive, `id=0,dest=${target}`];
      await killAtRandom(
        lab,
        words,
        () => {
          truncateSync(target, 0);
          truncateSync(target, recipes.ext4.sizeBytes);
        },
        async () => (statSync(target).blocks === 0 ? "an untouched target" : "a half-made target"),
      );
      await expectStatus(0, words);
      expect(lab.leftovers()).toEqual([]);
    });
  }, 900_000);
});

describe.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s", (signal, status) => {
  let archive: Buffer;
  beforeAll(async () => {
    archive = await forgeEntries([root, ...Array.from({ length: 8 }, (_, i) => file(1, `f${i}`, noise(4 << 20, i)))]);
  });

  it.each(["verify", "list", "archinfo", "restdir"])("ends %s at once, though its pipe is silent", async (command) => {
    await withLab(async (lab) => {
      const words = [command, "-", ...(command === "restdir" ? [lab.folder("out")] : [])];
      for (const sent of [0, 100, archive.length >> 1]) {
        const [program = "", ...argv] = tsfsaArgv(...words);
        const child = spawn(program, argv, { stdio: ["pipe", "ignore", "ignore"] });
        child.stdin.on("error", () => undefined);
        child.stdin.write(archive.subarray(0, sent));
        await sleep(600);
        const { status: ended, tookMs } = await stop(child, signal);
        expect(ended).toBe(status);
        expect(tookMs).toBeLessThan(soonMs);
      }
    });
  });

  it("ends a restore in the middle at once, and leaves no file that only looks whole", async () => {
    await withLab(async (lab) => {
      const path = lab.path("a.tsfsa");
      const source = lab.folder("source");
      writeFileSync(join(source, "large"), noise(200 << 20, 1));
      await expectStatus(0, ["savedir", "-q", "-A", "-z0", path, source]);
      const out = lab.folder("out");
      const [program = "", ...argv] = tsfsaArgv("restdir", "-q", "-j1", path, out);
      const child = spawn(program, argv, { stdio: "ignore" });
      while (readdirSync(out).length === 0 && child.exitCode === null) await sleep(5);
      const { status: ended, tookMs } = await stop(child, signal);
      if (ended === 0) return; // It was done before the signal came.
      expect(ended).toBe(status);
      expect(tookMs).toBeLessThan(soonMs);
      // Its last byte may have been written.
      const whole = readFileSync(join(source, "large"));
      for (const name of readdirSync(out)) expect(readFileSync(join(out, name)).equals(whole), name).toBe(true);
    });
  });
});

/** Kills runs at moments spread over the time that a whole run takes. `found`: what a killed run left, for the count. */
async function killAtRandom(
  lab: Lab,
  words: readonly string[],
  prepare: () => void,
  found: () => Promise<string>,
): Promise<void> {
  const [program = "", ...argv] = tsfsaArgv(...words);
  prepare();
  const since = performance.now();
  await expectStatus(0, words);
  const tookMs = performance.now() - since;
  const counts = new Map<string, number>();
  let state = seed;
  for (let round = 0; round < kills; round++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    prepare();
    const child = spawn(program, argv, { stdio: "ignore" });
    await sleep((tookMs * (round + state / 2 ** 32)) / kills);
    const { status: ended } = await stop(child, "SIGKILL");
    expect(await lab.leftoversOfKilled()).toEqual([]);
    const left = ended === 0 ? "a run that was done" : await found();
    counts.set(left, (counts.get(left) ?? 0) + 1);
  }
  if (isExhaustive) console.log(`${words[0]}, ${kills} kills left:`, Object.fromEntries(counts));
}

async function sourceImage(lab: Lab): Promise<string> {
  const image = await lab.filesystem(recipes.ext4);
  const mountpoint = await lab.mount(image);
  makeSourceTree(mountpoint, 3000);
  await lab.unmount(mountpoint);
  return image;
}
