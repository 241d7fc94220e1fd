// The plan, not the timing, decides the bytes: the same tree gives the same archive for any number of workers, in a file or a pipe.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectStatus } from "../support/cli.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { buildTree, everythingFor, everythingTree, makeSourceTree } from "../support/trees.ts";

requireOrSkip("root", "loop");

const pinned = { env: { SOURCE_DATE_EPOCH: "1700000000" } };

describe("an archive", () => {
  it("has the same bytes for any number of workers, in a file and in a pipe", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(image);
      await buildTree(mountpoint, everythingTree(everythingFor(recipes.ext4)));
      await lab.unmount(mountpoint);
      const archive = lab.path("reference.tsfsa");
      await expectStatus(0, ["savefs", "-j1", archive, image], pinned);
      const reference = readFileSync(archive);
      for (const workers of [2, 3]) {
        const other = lab.path(`j${workers}.tsfsa`);
        await expectStatus(0, ["savefs", `-j${workers}`, other, image], pinned);
        expect(readFileSync(other).equals(reference), `-j${workers} differs from -j1`).toBe(true);
      }
      const { stdout } = await expectStatus(0, ["savefs", "-j2", "-", image], pinned);
      expect(stdout.equals(reference), "standard output differs from a file").toBe(true);
    });
  });

  it.each(["-z0", "-z1", "-z5"])("has the same bytes for many small files at %s", async (level) => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeSourceTree(source, 1500);
      const archives: Buffer[] = [];
      for (const workers of [1, 3]) {
        const { stdout } = await expectStatus(
          0,
          ["savedir", "-A", level, `-j${workers}`, "--block-size", "1MiB", "-", source],
          pinned,
        );
        archives.push(stdout);
      }
      expect(archives[0]?.equals(archives[1] ?? Buffer.alloc(0))).toBe(true);
    });
  });

  it("differs in its id, time and origin only when nothing is pinned", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      const first = (await expectStatus(0, ["savedir", "-A", "-", source])).stdout;
      const second = (await expectStatus(0, ["savedir", "-A", "-", source])).stdout;
      expect(first.equals(second)).toBe(false);
    });
  });
});
