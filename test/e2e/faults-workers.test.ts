// A worker thread that dies in the middle of a run, struck from outside by a module that Node loads first: the run ends at once with the cause, nothing
// half made stays, and a snapshot is given back.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectStatus, tsfsa } from "../support/cli.ts";
import { Lab, recipes } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, type RunResult } from "../support/run.ts";
import { noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

/** In a worker thread only. A pool stores in shared memory when a job begins, lets go of its descriptors, and ends. */
const striking = `
const { isMainThread, parentPort } = require("node:worker_threads");
const { STRIKE, STRIKE_AT } = process.env;
let count = 0;
const isNow = () => ++count === Number(STRIKE_AT);
if (!isMainThread && STRIKE === "inside") {
  const { store } = Atomics;
  Atomics.store = (...words) => (isNow() ? process.exit(3) : store(...words));
} else if (!isMainThread) {
  const { on } = parentPort;
  parentPort.on = function (type, listener) {
    return on.call(this, type, (message) => {
      if (type === "message" && "id" in message && isNow()) {
        if (STRIKE === "exit") process.exit(3);
        throw new Error("struck down");
      }
      listener(message);
    });
  };
}`;

const ways = [
  ["throws between two jobs", "throw", 3, /a worker thread died: struck down/],
  ["ends between two jobs", "exit", 3, /a worker thread died: worker thread exited with code 3/],
  ["ends inside of a job", "inside", 8, /a worker thread died: worker thread exited with code 3/],
] as const;

let lab: Lab;
let source: string;
let archive: string;
let preload: string;
const contents = new Map<string, Buffer>();

beforeAll(async () => {
  lab = new Lab();
  preload = lab.path("strike.cjs");
  writeFileSync(preload, striking);
  source = lab.folder("source");
  for (let i = 10; i < 40; i++) contents.set(`file-${i}`, noise(300_000, i));
  contents.set("large", noise(4_000_000, 1));
  for (const [name, content] of contents) writeFileSync(join(source, name), content);
  archive = lab.path("whole.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", "--block-size", "1MiB", archive, source]);
});
afterAll(() => lab.close());

describe.each(ways)("a worker that %s", (_, strike, at, cause) => {
  /** Runs tsfsa, whose threads each die at a certain job. */
  async function struck(words: readonly string[]): Promise<RunResult> {
    const env = { NODE_OPTIONS: `--require ${preload}`, STRIKE: strike, STRIKE_AT: String(at) };
    const result = await tsfsa(words, { env, timeoutMs: 60_000 });
    expect(result.stderr, result.command).toMatch(cause);
    expect(result.stderr).not.toMatch(/^\s+at /m);
    expect(result.status, result.stderr).toBe(2);
    expect(await lab.leftoversOfKilled()).toEqual([]);
    return result;
  }

  it("ends a save without an archive, and leaves the one that is to be replaced", async () => {
    const out = lab.folder("out");
    const saving = ["savedir", "-q", "-A", "-j2", "--block-size", "1MiB"];
    await struck([...saving, join(out, "a.tsfsa"), source]);
    expect(readdirSync(out)).toEqual([]);
    writeFileSync(join(out, "old"), "an older archive");
    await struck([...saving, "--overwrite", join(out, "old"), source]);
    expect(readdirSync(out)).toEqual(["old"]);
    expect(readFileSync(join(out, "old"), "latin1")).toBe("an older archive");
  });

  it("ends a save to a pipe without a footer", async () => {
    const { stdout } = await struck(["savedir", "-q", "-A", "-j2", "--block-size", "1MiB", "-", source]);
    const cut = lab.path("cut");
    writeFileSync(cut, stdout);
    expect([8, 10]).toContain((await tsfsa(["verify", "-q", cut])).status);
  });

  it("ends a verification, which says nothing of the archive", async () => {
    const { stderr } = await struck(["verify", "-j2", archive]);
    expect(stderr).not.toMatch(/damage/);
  });

  it("ends a restore: what is there is whole", async () => {
    const to = lab.path("to");
    await struck(["restdir", "-q", "-j2", archive, to]);
    const found = readdirSync(to);
    expect(found.length).toBeLessThan(contents.size);
    for (const name of found)
      expect(readFileSync(join(to, name)).equals(contents.get(name) as Buffer), name).toBe(true);
  });

  it("ends a restore of a file system, whose target is named as half made", async () => {
    const image = lab.path("fs.tsfsa");
    const mounted = await mountedSource("ext4");
    await expectStatus(0, ["savefs", "-q", "--allow-rw", "--block-size", "1MiB", image, mounted]);
    await lab.unmount(mounted);
    const target = lab.image("target", recipes.ext4.sizeBytes);
    const { stderr } = await struck(["restfs", "-q", "-j2", image, `id=0,dest=${target}`]);
    expect(stderr).toMatch(/half made/);
  });

  it.each([
    ["freeze", "ext4"],
    ["remount-ro", "ext4"],
    ["btrfs", "btrfs"],
  ] as const)("gives back a snapshot by %s", async (method, type) => {
    const mounted = await mountedSource(type);
    const out = lab.folder("out");
    await struck([
      "savefs",
      "-q",
      "-j2",
      `--snapshot=${method}`,
      "--block-size",
      "1MiB",
      join(out, "a.tsfsa"),
      mounted,
    ]);
    expect(readdirSync(out)).toEqual([]);
    // Freezing what is frozen is refused, and so is what is read-only.
    await must(["timeout", "20", "fsfreeze", "-f", mounted]);
    await must(["fsfreeze", "-u", mounted]);
    writeFileSync(join(mounted, "after"), "");
    if (type === "btrfs") expect((await must(["btrfs", "subvolume", "list", mounted])).stdout.toString()).toBe("");
    await lab.unmount(mounted);
  });

  async function mountedSource(type: "ext4" | "btrfs"): Promise<string> {
    const mounted = await lab.mount(await lab.filesystem(recipes[type]));
    for (const [name, content] of contents) writeFileSync(join(mounted, name), content);
    await must(["sync", "-f", mounted]);
    return mounted;
  }
});
