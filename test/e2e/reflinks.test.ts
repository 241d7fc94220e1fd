// Files that share storage share it again: judged by filefrag and by what the file system says it uses.

import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, recipes, withLab } from "../support/images.ts";
import { expectSameTree } from "../support/judges.ts";
import { expectClean } from "../support/judges/filesystems.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";

requireOrSkip("root", "loop");

const KiB = 1024;

/** Bytes that do not compress and are the same each time. */
function noise(name: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 64 < length; i++) parts.push(createHash("sha512").update(`${name} ${i}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

/** Whole copies, copies that were written to since, one of several blocks, one that is immutable, one with a capability, one that is alone. */
async function makeSource(lab: Lab, recipe: FilesystemRecipe): Promise<string> {
  const image = await lab.filesystem(recipe);
  const mount = await lab.mount(image);
  const at = (name: string) => join(mount, name);
  const clone = (from: string, to: string) => must(["cp", "--reflink=always", "-p", at(from), at(to)]);
  writeFileSync(at("small"), noise("small", 70_001));
  await clone("small", "small-copy");
  writeFileSync(at("alone"), noise("alone", 50_000));
  writeFileSync(at("large"), noise("large", 6 * KiB * KiB + 5));
  await must(["sync", "-f", mount]);
  await clone("large", "large-changed");
  const fd = openSync(at("large-changed"), "r+");
  for (const block of [3, 300, 1030]) writeSync(fd, noise(`changed ${block}`, 8192), 0, 8192, block * 4096);
  closeSync(fd);
  await clone("large-changed", "later-copy");
  await clone("small", "immutable");
  await must(["chattr", "+i", at("immutable")]);
  await clone("small", "capable");
  await must(["setcap", "cap_net_raw=ep", at("capable")]);
  await lab.unmount(mount);
  return image;
}

/** Bytes of each file in extents that filefrag calls shared. */
async function sharedBytes(mount: string, names: readonly string[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of names) {
    const { stdout } = await must(["filefrag", "-v", "-b512", join(mount, name)]);
    let sectors = 0;
    for (const line of stdout.toString().split("\n")) {
      const length = /^\s*\d+:\s*\d+\.\.\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+):.*shared/.exec(line)?.[1];
      sectors += Number(length ?? 0);
    }
    found[name] = sectors * 512;
  }
  return found;
}

async function usedKiB(mount: string): Promise<number> {
  const { stdout } = await must(["df", "-k", "--output=used", mount]);
  return Number(stdout.toString().trim().split("\n").at(-1));
}

const names = ["small", "small-copy", "alone", "large", "large-changed", "later-copy", "immutable", "capable"];

describe("shared extents", () => {
  it.each([recipes.xfs, recipes.btrfs])(
    "are shared again on $name, and the archive does not depend on -j",
    async (recipe) => {
      await withLab(async (lab) => {
        const source = await makeSource(lab, recipe);
        const env = { SOURCE_DATE_EPOCH: "1700000000" };
        const archive = lab.path("a.tsfsa");
        const other = lab.path("b.tsfsa");
        await expectStatus(0, ["savefs", archive, source, "-j", "2"], { env });
        await expectStatus(0, ["savefs", other, source, "-j", "1"], { env });
        expect(readFileSync(archive).equals(readFileSync(other))).toBe(true);

        const target = lab.image("target", recipe.sizeBytes);
        const { stderr, stdout } = await expectStatus(0, ["restfs", "-v", archive, `id=0,dest=${target}`]);
        expect(stderr + stdout.toString()).toContain("share storage with other files again\n");
        await expectStatus(0, ["diff", "--holes", archive, target]);
        await expectClean(target, recipe.type);
        const before = await lab.mount(source, { options: "ro" });
        const after = await lab.mount(target, { options: recipe.type === "xfs" ? "ro,nouuid" : "ro" });
        const shared = await sharedBytes(before, names);
        expect(shared["alone"]).toBe(0);
        expect(shared["large-changed"]).toBeGreaterThan(6 * KiB * KiB);
        expect(await sharedBytes(after, names)).toEqual(shared);
        expect(Math.abs((await usedKiB(after)) - (await usedKiB(before)))).toBeLessThan(2 * KiB);
        await expectSameTree(before, after);
        expect(lab.leftovers()).toEqual([]);
      });
    },
  );

  it("are separate copies on ext4 and with stock tar, with the same content", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab, recipes.xfs);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      const target = lab.image("target", recipes.ext4.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${target},mkfs=ext4`]);
      const before = await lab.mount(source, { options: "ro" });
      await expectSameTree(before, await lab.mount(target, { options: "ro" }));
      const folder = lab.folder("stock");
      const tar = lab.path("a.tar");
      await must(["zstd", "-q", "-d", archive, "-o", tar]);
      await must(["tar", "-xpf", tar, "-C", folder, "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]);
      await must(["diff", "-r", before, folder]);
    });
  });

  it("cost nothing in the catalog where there are none", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.xfs);
      const mount = await lab.mount(image);
      for (let i = 0; i < 20; i++) writeFileSync(join(mount, `file${i}`), noise(String(i), 10_000));
      await lab.unmount(mount);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, image]);
      const rows = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout);
      expect(rows.filter((row) => row["sharedBytes"] !== undefined)).toEqual([]);
    });
  });
});
