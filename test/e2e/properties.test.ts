// Whole-archive round trips of random trees. A failure prints seed and path: replay it with fc.assert(…, { seed, path }).

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectStatus, pipe, tsfsaArgv } from "../support/cli.ts";
import { type FilesystemRecipe, recipes, withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { buildTree, treeArbitrary } from "../support/trees.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root", "loop");

const options = fc.record({
  level: fc.constantFrom("-z0", "-z1", "-z2", "-z3"),
  workers: fc.integer({ min: 1, max: 3 }),
  digest: fc.constantFrom("xxh128", "sha256", "blake3"),
  through: fc.constantFrom("file", "pipe"),
});

describe("a random tree", () => {
  it.each<readonly [FilesystemRecipe]>([[recipes.ext4], [recipes.xfs], [recipes.btrfs]])(
    "comes back as it was on $name",
    async (recipe) => {
      await withLab(async (lab) => {
        const mountpoint = await lab.mount(await lab.filesystem(recipe));
        let round = 0;
        const property = fc.asyncProperty(
          treeArbitrary({ root: true }),
          options,
          async (tree, { level, workers, digest, through }) => {
            const source = join(mountpoint, `source-${++round}`);
            const restored = join(mountpoint, `restored-${round}`);
            mkdirSync(source);
            mkdirSync(restored);
            try {
              await buildTree(source, tree);
              await must(["sync", "-f", mountpoint]);
              const save = ["savedir", "-q", "-A", level, `-j${workers}`, "--digest", digest];
              if (through === "file") {
                const archive = lab.path("a.tsfsa");
                await expectStatus(0, [...save, archive, source]);
                await expectStatus(0, ["verify", "-q", `-j${workers}`, archive]);
                await expectStatus(0, ["restdir", "-q", `-j${workers}`, archive, restored]);
              } else {
                const { from, to } = await pipe(
                  tsfsaArgv(...save, "-", source),
                  tsfsaArgv("restdir", "-q", "-", restored),
                );
                expect([from.status, to.status], `${from.stderr}${to.stderr}`).toEqual([0, 0]);
              }
              await must(["sync", "-f", mountpoint]);
              expect(await compareTrees(source, restored)).toEqual([]);
            } finally {
              await must(["rm", "-rf", source, restored]);
            }
          },
        );
        await fc.assert(property, { numRuns: draws(8) });
      });
    },
    900_000,
  );
});
