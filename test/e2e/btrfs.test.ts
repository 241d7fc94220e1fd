// btrfs whole: subvolumes, what they are to each other, and what only btrfs keeps of a file; judged by btrfs-progs.

import { appendFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { expectSameTree } from "../support/judges.ts";
import { expectClean } from "../support/judges/filesystems.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";

requireOrSkip("root", "loop");

const topLevel = { options: "ro,subvolid=5" };

/** A read-only snapshot, a writable one, a nested subvolume, a default that is not the top level; compressed and nodatacow files. */
async function makeSource(lab: Lab): Promise<string> {
  const image = await lab.filesystem(recipes.btrfs);
  const mount = await lab.mount(image);
  const subvolume = (...words: string[]) => must(["btrfs", "subvolume", ...words]);
  for (const name of ["@", "@/nested", "data"]) await subvolume("create", join(mount, name));
  for (const [i, name] of ["@", "@/nested", "data"].entries())
    writeFileSync(join(mount, name, "file"), `content ${i}\n`);
  await must(["ln", join(mount, "@/file"), join(mount, "@/link")]);
  mkdirSync(join(mount, "data/compressed"));
  await must(["btrfs", "property", "set", join(mount, "data/compressed"), "compression", "zstd"]);
  writeFileSync(join(mount, "data/compressed/zstd"), "a line that compresses well\n".repeat(20_000));
  writeFileSync(join(mount, "data/lzo"), "");
  await must(["chattr", "+A", join(mount, "data/lzo")]);
  await must(["btrfs", "property", "set", join(mount, "data/lzo"), "compression", "lzo"]);
  appendFileSync(join(mount, "data/lzo"), "another line of the same kind\n".repeat(20_000));
  writeFileSync(join(mount, "data/nocow"), "");
  await must(["chattr", "+C", join(mount, "data/nocow")]);
  appendFileSync(join(mount, "data/nocow"), Buffer.alloc(100_000, "nocow"));
  await subvolume("snapshot", "-r", join(mount, "@"), join(mount, "snapshot"));
  await subvolume("snapshot", join(mount, "data"), join(mount, "copy"));
  writeFileSync(join(mount, "copy/file"), "written after the snapshot\n");
  await subvolume("set-default", join(mount, "@"));
  await lab.unmount(mount);
  return image;
}

/** Path and flags of every subvolume, and which is the default, without what no tool can set. */
async function subvolumes(mount: string): Promise<string[]> {
  const { stdout } = await must(["btrfs", "subvolume", "list", "-uqR", mount]);
  const paths = stdout
    .toString()
    .split("\n")
    .flatMap((line) => / path (.*)$/.exec(line)?.[1] ?? []);
  const { stdout: chosen } = await must(["btrfs", "subvolume", "get-default", mount]);
  const isDefault = / path (.*)$/.exec(chosen.toString().trim())?.[1];
  const told: string[] = [];
  for (const path of paths.toSorted()) {
    const { stdout: flag } = await must(["btrfs", "property", "get", join(mount, path), "ro"]);
    told.push(`${path} ${flag.toString().trim()}${path === isDefault ? " default" : ""}`);
  }
  return told;
}

async function compressionOf(path: string): Promise<string> {
  return (await must(["btrfs", "property", "get", path, "compression"])).stdout.toString().trim();
}

/** Bytes that the data takes on the disk. */
async function usedBytes(mount: string): Promise<number> {
  const { stdout } = await must(["btrfs", "filesystem", "df", "-b", mount]);
  return Number(/^Data.*used=(\d+)$/m.exec(stdout.toString())?.[1]);
}

const expected = ["@ ro=false default", "@/nested ro=false", "copy ro=false", "data ro=false", "snapshot ro=true"];

describe("a btrfs with subvolumes", () => {
  it("comes back whole: nested, read-only and default subvolumes, compression, nodatacow", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      await expectStatus(0, ["verify", archive]);
      const again = lab.path("again.tsfsa");
      await expectStatus(0, ["savefs", again, source, "-j", "1"]);
      await expectStatus(0, ["diff", archive, again]);

      const rows = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout);
      const told = rows.filter((row) => row["subvolume"] !== undefined);
      expect(told.map((row) => row["path"])).toEqual(["@", "@/nested", "copy", "data", "snapshot"]);
      const uuids = new Map(told.map((row) => [row["path"], row["subvolume"] as Record<string, unknown>]));
      expect(uuids.get("snapshot")).toMatchObject({ readOnly: true, parentUuid: uuids.get("@")?.["uuid"] });
      const information = (await expectStatus(0, ["archinfo", archive])).stdout.toString();
      expect(information).toContain("5 are btrfs subvolumes");
      const listing = (await expectStatus(0, ["list", "-l", archive])).stdout.toString();
      expect(listing).toMatch(/ @ \(default subvolume\)\n[^]* snapshot \(read-only subvolume\)\n/);

      const target = lab.image("target", recipes.btrfs.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${target}`]);
      await expectStatus(0, ["diff", archive, target]);
      await expectClean(target, "btrfs");
      const before = await lab.mount(source, topLevel);
      const after = await lab.mount(target, topLevel);
      expect(await subvolumes(before)).toEqual(expected);
      expect(await subvolumes(after)).toEqual(expected);
      for (const path of ["data/compressed", "data/compressed/zstd", "data/lzo", "copy/lzo"]) {
        expect(await compressionOf(join(after, path)), path).toBe(await compressionOf(join(before, path)));
      }
      expect(await usedBytes(after), "restored compressed, and shared with the snapshots").toBeLessThanOrEqual(
        (await usedBytes(before)) + 64 * 1024,
      );
      // Times of the placeholder of a subvolume in a snapshot are those of whoever looks.
      await expectSameTree(before, after, { skip: (path) => path === "snapshot/nested" });
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("becomes directories elsewhere, which one warning names", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      const target = lab.image("target", recipes.ext4.sizeBytes);
      const { stdout } = await expectStatus(1, ["restfs", "--json", archive, `id=0,dest=${target},mkfs=ext4`]);
      const warnings = jsonLines(stdout).filter(({ code }) => code === "SUBVOLUMES_FLATTENED");
      expect(warnings).toHaveLength(1);
      for (const path of ["@", "@/nested", "copy", "data", "snapshot"]) {
        expect(warnings[0]?.["message"]).toMatch(new RegExp(`[ ,]${path}(,|$)`));
      }
      const before = await lab.mount(source, topLevel);
      const after = await lab.mount(target, { options: "ro" });
      const differing = await run(["diff", "-r", before, after]);
      expect(differing.stdout.toString()).toBe("");
    });
  });

  it("is restored by stock tar, as directories", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      const folder = lab.folder("stock");
      const tar = lab.path("a.tar");
      await must(["zstd", "-q", "-d", archive, "-o", tar]);
      await must(["tar", "-xpf", tar, "-C", folder, "--numeric-owner"]);
      const before = await lab.mount(source, topLevel);
      expect((await run(["diff", "-r", before, folder])).stdout.toString()).toBe("");
    });
  });

  it("is saved below a mount point: its own subvolumes, not what is mounted", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab);
      const mount = await lab.mount(source, { options: "ro,subvol=@" });
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, mount]);
      const paths = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout)
        .filter(({ type }) => type === "entry")
        .map(({ path }) => path);
      expect(paths).toEqual(["", "file", "link", "nested", "nested/file"]);
    });
  });

  it("savedir goes into subvolumes and not into mounts; restdir makes them where it can, and never the default", async () => {
    await withLab(async (lab) => {
      const source = await makeSource(lab);
      const mount = await lab.mount(source, { options: "subvolid=5" });
      await must(["mount", "--bind", join(mount, "data"), join(mount, "@/nested")]);
      const archive = lab.path("a.tsfsa");
      try {
        await expectStatus(0, ["savedir", "--allow-rw", archive, mount, "-e", "/copy/"]);
      } finally {
        await must(["umount", join(mount, "@/nested")]);
      }
      const other = await lab.mount(await lab.filesystem(recipes.btrfs));
      await expectStatus(0, ["restdir", archive, other]);
      expect(await subvolumes(other)).toEqual(["@ ro=false", "data ro=false", "snapshot ro=true"]);
      expect(readdirSync(join(other, "@/nested")), "what is mounted is another's").toEqual([]);
      expect(statSync(join(other, "@/nested")).ino).not.toBe(256);
    });
  });

  it("is restored over itself, its UUID kept", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.btrfs);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, image]);
      await expectStatus(0, ["restfs", "--overwrite", "--yes", archive, `id=0,dest=${image}`]);
      await expectStatus(0, ["restfs", "--overwrite", "--yes", archive, `id=0,dest=${await lab.attach(image)}`]);
      await expectStatus(0, ["diff", archive, image]);
    });
  });

  it("is not made beside the original: refused before the target is touched, but with another UUID", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.btrfs);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, image]);
      const original = await lab.attach(image);
      const target = await lab.filesystem({ ...recipes.ext4, sizeBytes: recipes.btrfs.sizeBytes });
      const words = ["restfs", "--overwrite", "--yes", archive];
      const { stderr } = await expectStatus(12, [...words, `id=0,dest=${target}`]);
      expect(stderr).toContain(`${original} has the UUID`);
      expect((await must(["blkid", "-p", "-o", "value", "-s", "TYPE", target])).stdout.toString()).toBe("ext4\n");
      await expectStatus(0, [...words, `id=0,dest=${target},uuid=new`]);
    });
  });

  it("keeps files of the same inode number in different subvolumes apart", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.btrfs);
      const mount = await lab.mount(image);
      for (const name of ["one", "two"]) {
        await must(["btrfs", "subvolume", "create", join(mount, name)]);
        writeFileSync(join(mount, name, "file"), name);
        await must(["ln", join(mount, name, "file"), join(mount, name, "link")]);
      }
      expect(statSync(join(mount, "one/file")).ino).toBe(statSync(join(mount, "two/file")).ino);
      await lab.unmount(mount);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, image]);
      const target = lab.image("target", recipes.btrfs.sizeBytes);
      await expectStatus(0, ["restfs", archive, `id=0,dest=${target}`]);
      const before = await lab.mount(image, topLevel);
      await expectSameTree(before, await lab.mount(target, topLevel));
    });
  });
});
