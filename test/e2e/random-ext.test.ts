// Random ext file systems of random layouts, with files cut, punched, shifted and grown in place: the block reader makes the archive that the kernel's mount
// makes, byte by byte, and restfs makes a sound file system of it that the judges find the same.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectStatus } from "../support/cli.ts";
import { draws } from "../support/draws.ts";
import { withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";
import { buildTree, noise, treeArbitrary } from "../support/trees.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;

const features = [
  "^dir_index",
  "^extent",
  "^filetype",
  "^flex_bg",
  "^has_journal",
  "^huge_file",
  "^metadata_csum",
  "^64bit",
  "^sparse_super",
  "bigalloc",
  "ea_inode",
  "inline_data",
  "large_dir",
  "meta_bg,^resize_inode",
  "metadata_csum_seed",
  "orphan_file",
  "sparse_super2,^resize_inode",
  "uninit_bg,^metadata_csum",
];

/** Words for mke2fs, which refuses what does not go together. */
const layout = fc
  .tuple(
    fc.constantFrom("ext2", "ext3", "ext4", "ext4", "ext4"),
    fc.constantFrom(1024, 2048, 4096),
    fc.constantFrom(128, 256, 512),
    fc.subarray(features, { maxLength: 4 }),
  )
  .map(([type, blockSize, inodeSize, chosen]) => [
    `mkfs.${type}`,
    "-qF",
    `-b${blockSize}`,
    `-I${inodeSize}`,
    "-N4000",
    ...(chosen.length === 0 ? [] : ["-O", chosen.join()]),
  ]);

const offset = fc.oneof(fc.nat(100), fc.nat(70_000), fc.nat(3_000_000), fc.constantFrom(2 ** 31, 2 ** 33));
const length = fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.integer({ min: 1, max: 2_000_000 }));
const name = fc.constantFrom("f0", "f1", "f2", "f3");
const block = 4096;

/** A command of a shell in a folder with files f0 to f3 and a file of noise as $NOISE; it may fail. */
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(name, offset, length)
      .map(([to, at, n]) => `head -c ${n} "$NOISE" | dd of=${to} bs=64K oflag=seek_bytes seek=${at} conv=notrunc`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom("-p", "-z", "-n", ""), name, offset, length)
      .map(([how, of, at, n]) => `fallocate ${how} -o ${at} -l ${n} ${of}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom("-c", "-i"), name, fc.nat(200), fc.integer({ min: 1, max: 50 }))
      .map(([how, of, at, n]) => `fallocate ${how} -o ${at * block} -l ${n * block} ${of}`),
  },
  fc.tuple(name, offset).map(([of, size]) => `truncate -s ${size} ${of}`),
  fc.tuple(name, name).map(([of, as]) => `ln -f ${of} to-${as}`),
  name.map((of) => `mkdir -p d/e && mv ${of} d/e/`),
  name.map((of) => `rm -f ${of}`),
  fc
    .tuple(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 2, max: 7 }), fc.integer({ min: 1, max: 200 }))
    .map(([count, step, width]) => {
      const names = (by: number): string => `seq -f "many/%0${width}g" 1 ${by} ${count}`;
      return `mkdir -p many; ${names(1)} | xargs touch; ${names(step)} | xargs rm -f`;
    }),
  fc
    .tuple(name, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 3000 }))
    .map(([of, count, size]) => `for i in $(seq ${count}); do setfattr -n user.a$i -v ${"x".repeat(size)} ${of}; done`),
  fc.tuple(name, fc.integer({ min: 1, max: 4000 })).map(([as, n]) => `ln -sfn ${"l".repeat(n)} link-${as}`),
  fc.tuple(fc.constantFrom("A", "d", "S", "D", "T", "s", "u"), name).map(([flag, of]) => `chattr +${flag} ${of}`),
  fc.constant("sync -f ."),
);

describe("a random ext file system", () => {
  it("is read alike by both readers, and comes back", async () => {
    let compared = 0;
    const property = fc.asyncProperty(
      layout,
      treeArbitrary({ root: true }),
      fc.array(command, { maxLength: 25 }),
      fc.integer({ min: 1, max: 3 }),
      async (mkfs, tree, commands, workers) => {
        await withLab(async (lab) => {
          const image = lab.image("ext", 96 * MiB);
          if ((await run([...mkfs, image])).status !== 0) return;
          const where = await lab.mount(image);
          const [built, worked] = [join(where, "tree"), join(where, "work")];
          await must(["mkdir", built, worked]);
          // Times and attributes need not fit into what was drawn.
          await buildTree(built, tree).catch(() => undefined);
          const script = ["touch f0 f1 f2 f3", ...commands].map((line) => `${line} || :`).join("\n");
          const from = lab.path("noise");
          await must(["dd", `of=${from}`, "status=none"], { input: noise(2 * MiB, workers) });
          await run(["bash", "-c", script], { cwd: worked, env: { NOISE: from } });
          await lab.unmount(where);

          const [mounted, blocks] = [lab.path("mounted.tsfsa"), lab.path("blocks.tsfsa")];
          const save = ["savefs", "-q", `-j${workers}`];
          const pinned = { env: { SOURCE_DATE_EPOCH: "1700000000" } };
          await expectStatus(0, [...save, mounted, image], pinned);
          await expectStatus(0, [...save, "--reader=block", blocks, image], pinned);
          const { stdout } = await must(["bash", "-c", 'cmp "$@" || :', "bash", mounted, blocks]);
          expect(stdout.toString(), "the archives differ").toBe("");
          expect(readFileSync(blocks).length).toBeGreaterThan(0);

          const target = lab.image("target", 128 * MiB);
          await expectStatus(0, ["restfs", "-q", `-j${workers}`, mounted, `id=0,dest=${target}`]);
          await must(["e2fsck", "-fn", target]);
          const [left, right] = [await lab.mount(image, { options: "ro" }), await lab.mount(target, { options: "ro" })];
          expect(await compareTrees(left, right)).toEqual([]);
          compared++;
        });
      },
    );
    const numRuns = draws(8);
    await fc.assert(property, { numRuns });
    expect(compared).toBeGreaterThan(numRuns / 4);
  }, 600_000);
});
