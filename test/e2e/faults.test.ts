// Signals and kills in the middle of the work: the documented status, and nothing left behind. Failing system calls, one by one,
// are in faults-save.test.ts.

import { spawn } from "node:child_process";
import { linkSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { expectStatus, tsfsaArgv } from "../support/cli.ts";
import { warningsOf } from "../support/faults.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { run } from "../support/run.ts";
import { soonMs, stop } from "../support/signal.ts";
import { buildTree, directory, file, makeSourceTree, noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

describe("a signal", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s in the middle of a save ends with status %i and leaves nothing", async (signal, status) => {
    await withLab(async (lab) => {
      const image = await largeImage(lab);
      const out = lab.folder("out");
      for (const delayMs of [300, 450, 700]) {
        const ended = await interrupted(["savefs", "-Z19", "-j2", join(out, "a.tsfsa"), image], signal, delayMs);
        expect(ended).toBe(status);
        expect(readdirSync(out)).toEqual([]);
        expect(lab.leftovers()).toEqual([]);
      }
    });
  });

  it("in the middle of a restore leaves no mount and no loop device", async () => {
    await withLab(async (lab) => {
      const image = await largeImage(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, image]);
      for (const delayMs of [250, 400, 600]) {
        const target = lab.image("target", recipes.ext4.sizeBytes);
        const ended = await interrupted(["restfs", "-j1", archive, `id=0,dest=${target}`], "SIGTERM", delayMs);
        expect([143, 0]).toContain(ended);
        expect(lab.leftovers()).toEqual([]);
      }
    });
  });

  it("SIGKILL leaves no mount, no loop device and no archive under its name", async () => {
    await withLab(async (lab) => {
      const image = await largeImage(lab);
      const out = lab.folder("out");
      const archive = join(out, "a.tsfsa");
      for (const delayMs of [200, 500, 900]) {
        expect(await interrupted(["savefs", "-Z19", archive, image], "SIGKILL", delayMs)).toBe(137);
        expect(readdirSync(out)).not.toContain("a.tsfsa");
        expect(await lab.leftoversOfKilled()).toEqual([]);
      }
      // The next run under the same name is not in the way of what the killed one left, and clears it.
      await expectStatus(0, ["savefs", archive, image]);
      expect(readdirSync(out)).toEqual(["a.tsfsa"]);
    });
  });
});

describe("a failing system call", () => {
  it("EIO while reading a file leaves that file marked, the rest saved, and status 1", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ bad: file(noise(3 << 20, 1)), good: file("g") }));
      const archive = lab.path("a.tsfsa");
      const inject = "inject=pread64,read,preadv:error=EIO";
      const argv = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "signal=none",
        "-P",
        join(source, "bad"),
        "-e",
        inject,
      ];
      const result = await run([...argv, ...tsfsaArgv("savedir", "-A", "-j1", archive, source)]);
      expect(result.status, result.stderr).toBe(1);
      expect(result.stderr).toMatch(/bad/);
      await expectStatus(0, ["verify", archive]);
    });
  });

  it("EIO on all names of a file leaves no link to nothing: stock tar restores the rest without a word", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ a: file("lost"), good: file("g") }));
      const names = ["a", "b", "c"].map((name) => join(source, name));
      for (const name of names.slice(1)) linkSync(names[0] as string, name);
      const archive = lab.path("a.tsfsa");
      const only = names.flatMap((name) => ["-P", name]);
      const argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", ...only];
      const words = [
        ...argv,
        "-e",
        "inject=pread64,read,preadv:error=EIO",
        ...tsfsaArgv("savedir", "--json", "-A", archive, source),
      ];
      const result = await run(words);
      expect(result.status, result.stderr).toBe(1);
      const unreadable = ["a", "b", "c"].map((path) => ({ path, code: "ENTRY_UNREADABLE" }));
      expect(warningsOf(result).toSorted((a, b) => (a.path < b.path ? -1 : 1))).toEqual(unreadable);
      const out = lab.folder("out");
      const restored = await run(["bash", "-c", `set -o pipefail; zstd -dc '${archive}' | tar -xpf - -C '${out}'`]);
      expect(restored).toMatchObject({ status: 0, stderr: "" });
      expect(readdirSync(out)).toEqual(["good"]);
    });
  });

  it("a reader that goes away stops a save to standard output", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      writeFileSync(join(source, "large"), noise(20 << 20, 1));
      const words = tsfsaArgv("savedir", "-q", "-A", "-z0", "-", source);
      const result = await run([
        "bash",
        "-c",
        '"$@" | head -c 100000 > /dev/null; exit "${PIPESTATUS[0]}"',
        "bash",
        ...words,
      ]);
      expect([2, 141]).toContain(result.status);
      expect(result.stderr).not.toMatch(/^\s+at /m);
    });
  });
});

async function largeImage(lab: Lab): Promise<string> {
  const image = await lab.filesystem(recipes.ext4);
  const mountpoint = await lab.mount(image);
  makeSourceTree(mountpoint, 4000);
  await lab.unmount(mountpoint);
  return image;
}

/** Starts tsfsa, sends the signal after a while and gives the status it ended with, soon enough, as a shell says it. */
async function interrupted(words: readonly string[], signal: NodeJS.Signals, delayMs: number): Promise<number> {
  const [program = "", ...rest] = tsfsaArgv(...words);
  const child = spawn(program, rest, { stdio: "ignore" });
  await sleep(delayMs);
  const { status, tookMs } = await stop(child, signal);
  expect(tookMs).toBeLessThan(soonMs);
  return status;
}
