import { linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { requireOrSkip } from "../support/require.ts";
import { buildTree, noise, treeArbitrary } from "../support/trees.ts";
import { inFolder } from "./support/folders.ts";
import { readBack } from "./support/read-back.ts";
import { saveTree } from "./support/save-tree.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root");

/** A source that may be written meanwhile has no plain files: all entries become drafts. With a pattern, be it one that fits nothing, each is planned on its own. */
async function expectSameBytes(folder: string, digest: "xxh128" | "sha256" | "blake3"): Promise<void> {
  const plain = await saveTree(folder, { digest });
  const drafted = await saveTree(folder, { digest, live: true });
  const planned = await saveTree(folder, { digest, excludes: ["/fits nothing"] });
  expect(plain.warnings).toEqual([]);
  expect(drafted.warnings).toEqual([]);
  expect(planned.warnings).toEqual([]);
  expect(plain.archive.equals(drafted.archive)).toBe(true);
  expect(plain.archive.equals(planned.archive)).toBe(true);
}

describe("plain files", () => {
  it("have the bytes that they would have as drafts", async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary({ root: true, width: 5 }),
        fc.constantFrom("xxh128" as const, "sha256" as const, "blake3" as const),
        (tree, digest) =>
          inFolder(async (folder) => {
            await buildTree(folder, tree);
            await expectSameBytes(folder, digest);
          }),
      ),
      { numRuns: draws(5) },
    );
  });

  it("are told from those that are nearly plain", async () => {
    await inFolder(async (folder) => {
      for (const length of [1, 60, 96, 97, 98, 99, 100, 101, 200]) {
        writeFileSync(join(folder, "n".repeat(length)), noise(length, length));
      }
      const times = [0, 0.5, 1, 1_700_000_000, 1_700_000_000.25, 0xffff_ffff, 0x1_0000_0000, -1.5];
      for (const [i, time] of times.entries()) {
        writeFileSync(join(folder, `t${i}`), "time");
        utimesSync(join(folder, `t${i}`), time, time);
      }
      for (const size of [0, 1, 511, 512, 513, 1024 * 1024, 1024 * 1024 + 1]) {
        writeFileSync(join(folder, `s${size}`), noise(size, 1));
      }
      writeFileSync(join(folder, "hole"), "");
      truncateSync(join(folder, "hole"), 100_000);
      mkdirSync(join(folder, "d".repeat(98)));
      writeFileSync(join(folder, "d".repeat(98), "x"), "deep");
      symlinkSync("s1", join(folder, "link"));
      await expectSameBytes(folder, "xxh128");
    });
  });

  it("fill blocks as they would one by one", async () => {
    await inFolder(async (folder) => {
      // Jobs that end by their size, by the next file's size, by the number of entries, and in the middle of a directory.
      for (const [name, count, sizeOf] of [
        ["many", 9000, () => 0],
        ["mixed", 700, (i: number) => (i * 7919) % 20_000],
        ["large", 12, (i: number) => (i % 3 === 0 ? 1024 * 1024 + i : 500_000 + i)],
      ] as const) {
        mkdirSync(join(folder, name));
        for (let i = 0; i < count; i++) writeFileSync(join(folder, name, `f${i}`), noise(sizeOf(i), i));
      }
      linkSync(join(folder, "many", "f17"), join(folder, "many", "g"));
      await expectSameBytes(folder, "xxh128");
      expect((await readBack((await saveTree(folder)).archive)).entries).toHaveLength(9717);
    });
  });

  it("keep their order among others, over many blocks", async () => {
    await inFolder(async (folder) => {
      for (let i = 0; i < 900; i++) {
        const name = join(folder, `e${String(i).padStart(4, "0")}`);
        if (i % 7 === 0) symlinkSync(`target-${i}`, name);
        else if (i % 11 === 0) mkdirSync(name);
        else writeFileSync(name, noise(1 + ((i * 37) % 9000), i));
      }
      await expectSameBytes(folder, "xxh128");
      const back = await readBack((await saveTree(folder)).archive);
      expect(back.entries).toHaveLength(901);
    });
  });
});
