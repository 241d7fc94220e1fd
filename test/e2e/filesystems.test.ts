// savefs and restfs on every supported file system: what went in comes out, by the word of independent tools.

import { createHash } from "node:crypto";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, pipe, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, recipes, withLab } from "../support/images.ts";
import { expectSameTree } from "../support/judges.ts";
import { expectClean, expectSameFilesystem } from "../support/judges/filesystems.ts";
import { recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { buildTree, everythingFor, everythingTree, noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

const allRecipes: readonly FilesystemRecipe[] = Object.values(recipes);

describe("savefs and restfs", () => {
  it.each(allRecipes)("bring back a whole $name with everything in it, from its image", async (recipe) => {
    await withLab(async (lab) => {
      const source = await everythingImage(lab, recipe);
      const before = await sha256(source);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      expect(await sha256(source), "the source image was written").toBe(before);
      await expectStatus(0, ["verify", archive]);

      const target = lab.image("target", recipe.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${target}`]);
      await expectSameImage(lab, source, target, recipe);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it.each([recipes.ext4, recipes.xfs, recipes.btrfs])(
    "save the same from the image, the device and a read-only mount of $name",
    async (recipe) => {
      await withLab(async (lab) => {
        const image = await everythingImage(lab, recipe);
        const archives = [
          lab.path("image.tsfsa"),
          lab.path("device.tsfsa"),
          lab.path("mount.tsfsa"),
          lab.path("held.tsfsa"),
        ];
        const [fromImage = "", fromDevice = "", fromMount = "", fromMountedDevice = ""] = archives;
        await expectStatus(0, ["savefs", fromImage, image]);

        const device = await lab.attach(image);
        await expectStatus(0, ["savefs", fromDevice, device]);
        await lab.detach(device);

        const readOnly = await lab.attach(image, { readOnly: true });
        const mountpoint = await lab.mount(readOnly, { options: "ro" });
        await expectStatus(0, ["savefs", fromMount, mountpoint]);
        await expectStatus(0, ["savefs", fromMountedDevice, readOnly]);

        const streams = await Promise.all(archives.map(tarDigest));
        expect(new Set(streams).size, streams.join(" ")).toBe(1);
        const listings = await Promise.all(archives.map(listing));
        for (const other of listings) expect(other).toEqual(listings[0]);
        expect(lab.leftovers()).toEqual([]);
      });
    },
  );

  it.each([recipes.ext4, recipes.xfs])("restore $name from a pipe as from a file", async (recipe) => {
    await withLab(async (lab) => {
      const source = await everythingImage(lab, recipe);
      const target = lab.image("target", recipe.sizeBytes);
      const { from, to } = await pipe(
        tsfsaArgv("savefs", "-q", "-", source),
        tsfsaArgv("restfs", "-q", "-", `id=0,dest=${target}`),
      );
      expect([from.status, to.status], `${from.stderr}${to.stderr}`).toEqual([0, 0]);
      await expectSameImage(lab, source, target, recipe);
    });
  });

  it("restore onto a block device", async () => {
    await withLab(async (lab) => {
      const source = await everythingImage(lab, recipes.ext4);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-z1", archive, source]);
      const target = lab.image("target", recipes.ext4.sizeBytes);
      const device = await lab.attach(target);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${device}`]);
      await lab.detach(device);
      await expectSameImage(lab, source, target, recipes.ext4);
    });
  });

  it("keep several file systems in one archive apart, and restore one of them or all", async () => {
    await withLab(async (lab) => {
      const chosen = [recipes.ext2, recipes.xfs, recipes.btrfs];
      const sources = [];
      for (const recipe of chosen) sources.push(await everythingImage(lab, recipe));
      const archive = lab.path("three.tsfsa");
      await expectStatus(0, ["savefs", "-L", "three of them", archive, ...sources]);

      const single = lab.image("single", recipes.btrfs.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=2,dest=${single}`]);
      await expectSameImage(lab, sources[2] ?? "", single, recipes.btrfs);

      const targets = chosen
        .slice(0, 2)
        .map((recipe, id) => [id, lab.image(`target-${id}`, recipe.sizeBytes)] as const);
      await expectStatus(0, ["restfs", archive, ...targets.map(([id, path]) => `id=${id},dest=${path}`)]);
      for (const [id, target] of targets)
        await expectSameImage(lab, sources[id] ?? "", target, chosen[id] ?? recipes.xfs);
    });
  });

  it("give a new label and UUID where asked", async () => {
    await withLab(async (lab) => {
      const source = await everythingImage(lab, recipes.ext4);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      const given = lab.image("given", recipes.ext4.sizeBytes);
      const uuid = "11111111-2222-4333-8444-555555555555";
      await expectStatus(0, ["restfs", archive, `id=0,dest=${given},label=other,uuid=${uuid}`]);
      expect(await blkid(given)).toMatchObject({ LABEL: "other", UUID: uuid });
      const fresh = lab.image("fresh", recipes.ext4.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${fresh},uuid=new`]);
      const { UUID, LABEL } = await blkid(fresh);
      expect(LABEL).toBe((await blkid(source))["LABEL"]);
      expect([uuid, (await blkid(source))["UUID"]]).not.toContain(UUID);
      await expectClean(fresh, "ext4");
    });
  });

  it("lose nothing to a bad sector over records, not even the restore", async () => {
    await withLab(async (lab) => {
      const recipe = recipes.ext4;
      const source = await everythingImage(lab, recipe);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-z1", "--block-size", "1MiB", archive, source]);
      const whole = readFileSync(archive);
      const records = recordsOf(whole);
      const segment = records.findIndex(({ type }) => type === 3);
      const places = [
        0,
        records[segment]?.offset,
        records[segment]?.end,
        records[segment + 2]?.offset,
        records.at(-5)?.offset,
      ];
      for (const place of places) {
        const start = place === undefined ? Number.NaN : place - (place % 4096);
        const isFrame = records.some(({ type, end }, i) => {
          const frameEnd = records[i + 1]?.offset ?? whole.length;
          return type === 2 && end < start + 4096 && frameEnd > start;
        });
        const damaged = lab.path(`damaged-${start}.tsfsa`);
        // What a frame ends with stays: it would cost the files in it.
        const from = isFrame && place !== undefined ? place : start;
        writeFileSync(damaged, Buffer.from(whole).fill(0x55, from, start + 4096));
        const target = lab.image("target", recipe.sizeBytes);
        const { stderr } = await expectStatus(10, ["restfs", damaged, `id=0,dest=${target}`]);
        expect(stderr, `${place}`).toContain("what is whole was restored");
        expect(stderr, `${place}`).not.toMatch(/ENTRY|not restored/);
        await expectSameImage(lab, source, target, recipe);
      }
    });
  });

  it("need no room on the target for what was left out, at the save or at the restore", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(image);
      writeFileSync(join(mountpoint, "large"), noise(24 << 20, 1));
      writeFileSync(join(mountpoint, "small"), "small");
      await lab.unmount(mountpoint);
      const [without, whole] = [lab.path("without.tsfsa"), lab.path("whole.tsfsa")];
      await expectStatus(0, ["savefs", "-e", "/large", without, image]);
      await expectStatus(0, ["savefs", whole, image]);
      const target = (): string => `id=0,dest=${lab.image("target", 16 << 20)}`;
      await expectStatus(13, ["restfs", whole, target()]);
      for (const words of [[without], ["--include", "/small", whole], ["-e", "/large", whole]]) {
        const { status } = await tsfsa(["restfs", ...words, target()]);
        expect(status, "the journal becomes smaller").toBeLessThan(2);
      }
    });
  });

  it("restore onto a larger and onto a smaller target when everything fits", async () => {
    await withLab(async (lab) => {
      const recipe = recipes.ext4SmallBlocks;
      const source = await everythingImage(lab, recipe);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      for (const factor of [2, 0.75]) {
        const target = lab.image("target", recipe.sizeBytes * factor);
        await expectStatus(0, ["restfs", archive, `id=0,dest=${target}`]);
        await expectClean(target, "ext4");
        await expectSameTree(await lab.mount(source, { options: "ro" }), await lab.mount(target, { options: "ro" }));
      }
    });
  });
});

describe("conversion", () => {
  it("carries a tree from ext4 to xfs to btrfs and back to ext4", async () => {
    await withLab(async (lab) => {
      const tree = everythingTree({ ...everythingFor(recipes.ext4), portable: true, projects: false });
      let source = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(source);
      await buildTree(mountpoint, tree);
      await must(["rmdir", `${mountpoint}/lost+found`]);
      await lab.unmount(mountpoint);
      const first = source;
      for (const type of ["xfs", "btrfs", "ext4"] as const) {
        const archive = lab.path(`to-${type}.tsfsa`);
        await expectStatus(0, ["savefs", archive, source]);
        const target = lab.image(type, recipes[type].sizeBytes);
        await expectStatus(0, ["restfs", archive, `id=0,dest=${target},mkfs=${type}`]);
        await expectClean(target, type);
        expect(await blkid(target)).toMatchObject({ TYPE: type, LABEL: "root fs", UUID: (await blkid(first))["UUID"] });
        // Blocks differ in size from type to type, so maps of holes may.
        const mounted = [await lab.mount(first, { options: "ro" }), await lab.mount(target, { options: "ro" })];
        await expectSameTree(mounted[0] ?? "", mounted[1] ?? "", {
          skip: (path) => path === "lost+found",
          ignore: ["holes", "unwritten"],
        });
        // Of two attached file systems with one UUID, mkfs.btrfs refuses to make a third.
        for (const each of mounted) await lab.unmount(each);
        source = target;
      }
    });
  });
});

/** An unmounted image of the recipe that holds the tree of everything. */
async function everythingImage(lab: Lab, recipe: FilesystemRecipe): Promise<string> {
  const image = await lab.filesystem(recipe);
  const mountpoint = await lab.mount(image);
  await buildTree(mountpoint, everythingTree(everythingFor(recipe)));
  await lab.unmount(mountpoint);
  return image;
}

async function expectSameImage(lab: Lab, source: string, target: string, recipe: FilesystemRecipe): Promise<void> {
  await expectClean(target, recipe.type);
  await expectSameFilesystem(source, target, recipe.type);
  const options = recipe.type === "xfs" ? "ro,nouuid" : "ro";
  const mounted = [await lab.mount(source, { options }), await lab.mount(target, { options })];
  await expectSameTree(mounted[0] ?? "", mounted[1] ?? "");
  for (const mountpoint of mounted) await lab.unmount(mountpoint);
}

async function blkid(image: string): Promise<Record<string, string>> {
  const { stdout } = await must(["blkid", "-p", "-o", "export", image]);
  const pairs = stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => line.split("=") as [string, string]);
  return Object.fromEntries(pairs.map(([key, value]) => [key, value.replaceAll("\\ ", " ")]));
}

/** Digest of the tar stream, by stock zstd. */
async function tarDigest(archive: string): Promise<string> {
  const { stdout } = await must(["bash", "-c", 'set -o pipefail; zstd -dc -- "$1" | sha256sum', "bash", archive]);
  return stdout.toString().trim();
}

async function listing(archive: string): Promise<unknown[]> {
  const { stdout } = await expectStatus(0, ["list", "--json", archive]);
  return jsonLines(stdout).filter((line) => line.type === "entry");
}

function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  return new Promise((resolve, reject) => {
    createReadStream(path, { highWaterMark: 1 << 20 })
      .on("data", (bytes) => hash.update(bytes))
      .on("error", reject)
      .on("end", () => resolve(hash.digest("hex")));
  });
}
