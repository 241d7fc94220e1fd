// savefs --reader=block: an ext file system saved from its blocks, by an ordinary user and without a mount, is the archive that root makes through a mount.

import { chmodSync, chownSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, tsfsa } from "../support/cli.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { buildTree, everythingFor, everythingTree } from "../support/trees.ts";

requireOrSkip("root", "loop");

const nobody = { uid: 65_534, gid: 65_534 } as const;
const pinned = { SOURCE_DATE_EPOCH: "1700000000" };

describe("a save from blocks", () => {
  it.each([recipes.ext4, recipes.ext2])("by an ordinary user is that of root's mount: $name", async (recipe) => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipe);
      const where = await lab.mount(image);
      await buildTree(where, everythingTree(everythingFor(recipe)));
      await lab.unmount(where);
      const folder = lab.folder("of-nobody");
      chownSync(folder, nobody.uid, nobody.gid);
      chmodSync(image, 0o444);
      const before = readFileSync(image);
      const mounted = join(folder, "mounted.tsfsa");
      const block = join(folder, "block.tsfsa");
      await expectStatus(0, ["savefs", mounted, image], { env: pinned });
      await expectStatus(0, ["savefs", "--reader=block", "-j3", block, image], { ...nobody, env: pinned });
      const { stdout } = await expectStatus(0, ["diff", mounted, block]);
      expect(stdout.toString()).not.toMatch(/^[-+~]/m);
      expect(readFileSync(block).equals(readFileSync(mounted)), "the archives differ").toBe(true);
      expect(readFileSync(image).equals(before), "the image was written to").toBe(true);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("reads a device, and leaves out and selects what was asked for", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const where = await lab.mount(image);
      await must(["mkdir", "-p", join(where, "keep/deep"), join(where, "drop")]);
      for (const path of ["keep/a.o", "keep/deep/b", "drop/c"])
        await must(["cp", "/proc/self/status", join(where, path)]);
      await lab.unmount(where);
      const device = await lab.attach(image, { readOnly: true });
      const archive = lab.path("device.tsfsa");
      await expectStatus(0, ["savefs", "--reader=block", "-e", "drop", "-e", "*.o", archive, device]);
      const { stdout } = await expectStatus(0, ["list", archive]);
      expect(stdout.toString()).toContain("keep/deep/b");
      expect(stdout.toString()).not.toMatch(/drop|a\.o/);
    });
  });

  it("refuses what is mounted writable, what is no ext, and what is no device", async () => {
    await withLab(async (lab) => {
      const archive = lab.path("never.tsfsa");
      const image = await lab.filesystem(recipes.ext4);
      const where = await lab.mount(image);
      const writable = await tsfsa(["savefs", "--reader=block", archive, image]);
      expect(writable.status).toBe(3);
      expect(writable.stderr).toContain("--snapshot");
      expect(writable.stderr).not.toContain("--allow-rw"); // changes nothing here
      expect((await tsfsa(["savefs", "--reader=block", archive, where])).status).toBe(4);
      const btrfs = await lab.filesystem(recipes.btrfs);
      const refused = await tsfsa(["savefs", "--reader=block", archive, btrfs]);
      expect(refused.status).toBe(2);
      expect(refused.stderr).toContain("found btrfs");
    });
  });
});
