// savedir and restdir, as root and as an ordinary user: every directory lies on a file system that is mounted read-write, so
// --allow-rw is given, and nothing that stays as it is may be remarked upon.

import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath, pipe, tsfsa, tsfsaArgv } from "../support/cli.ts";
import { recipes, withLab } from "../support/images.ts";
import { expectSameTree } from "../support/judges.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { buildTree, bytes, directory, everythingFor, everythingTree, file, treeArbitrary } from "../support/trees.ts";

requireOrSkip("root", "loop");

const user = { uid: 1000, gid: 1000 } as const;

describe("savedir and restdir", () => {
  it.each([recipes.ext4, recipes.xfs, recipes.btrfs])(
    "bring back a directory of $name with everything in it",
    async (recipe) => {
      await withLab(async (lab) => {
        const image = await lab.filesystem(recipe);
        let mountpoint = await lab.mount(image);
        const source = join(mountpoint, "source");
        mkdirSync(source);
        await buildTree(source, everythingTree(everythingFor(recipe)));
        // Flushed, so that maps of holes are final.
        mountpoint = await lab.remount(image, mountpoint);
        const archive = lab.path("a.tsfsa");
        await expectStatus(0, ["savedir", archive, join(mountpoint, "source")]);
        const targetImage = await lab.filesystem(recipe);
        const target = await lab.mount(targetImage, { options: recipe.type === "xfs" ? "nouuid" : "rw" });
        const restored = join(target, "restored");
        mkdirSync(restored);
        await expectStatus(0, ["restdir", archive, restored]);
        const settled = await lab
          .remount(targetImage, target)
          .catch(() => lab.mount(targetImage, { options: "ro,nouuid" }));
        await expectSameTree(join(mountpoint, "source"), join(settled, "restored"));
      });
    },
  );

  it("work without root for what the user may read and set", async () => {
    await withLab(async (lab) => {
      const mountpoint = await lab.mount(await lab.filesystem(recipes.ext4));
      for (const name of ["source", "restored", "archives"]) mkdirSync(join(mountpoint, name));
      const [source, restored] = [join(mountpoint, "source"), join(mountpoint, "restored")];
      const [tree] = fc.sample(treeArbitrary({ root: false, width: 12 }), { numRuns: 1, seed: 7 });
      await buildTree(source, tree ?? directory({}));
      await buildTree(restored, directory({}));
      await must(["chown", "-Rh", "1000:1000", source, restored, join(mountpoint, "archives")]);
      await must(["sync", "-f", mountpoint]);
      const archive = join(mountpoint, "archives", "a.tsfsa");
      await expectStatus(0, ["savedir", "--allow-rw", archive, source], user);
      await expectStatus(0, ["verify", archive], user);
      await expectStatus(0, ["restdir", archive, restored], user);
      await must(["sync", "-f", mountpoint]);
      await expectSameTree(source, restored);
    });
  });

  it("keep several directories in one archive under the paths they were given", async () => {
    await withLab(async (lab) => {
      const base = lab.folder();
      for (const name of ["one", "two"]) {
        mkdirSync(join(base, name));
        await buildTree(join(base, name), directory({ [`in-${name}`]: file(name), sub: directory({}) }));
      }
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, "one", "two"], { cwd: base });
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", archive, restored]);
      expect(readdirSync(restored).toSorted()).toEqual(["one", "two"]);
      for (const name of ["one", "two"]) await expectSameTree(join(base, name), join(restored, name), onTmpfs);
    });
  });

  it("stay on one file system unless told otherwise", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ mounted: directory({}), after: file("a") }));
      const inner = await lab.tmpfs(1024 * 1024);
      writeFileSync(join(inner, "inside"), "other file system");
      await must(["mount", "--bind", inner, join(source, "mounted")]);
      try {
        const narrow = lab.path("narrow.tsfsa");
        const wide = lab.path("wide.tsfsa");
        await expectStatus(0, ["savedir", "-A", narrow, source]);
        await expectStatus(0, ["savedir", "-A", "--cross-mounts", wide, source]);
        expect(await paths(narrow)).toEqual(["", "after", "mounted"]);
        expect(await paths(wide)).toEqual(["", "after", "mounted", "mounted/inside"]);
      } finally {
        await must(["umount", join(source, "mounted")]);
      }
    });
  });

  it("run in a pipe, both ways", async () => {
    await withLab(async (lab) => {
      const mountpoint = await lab.mount(await lab.filesystem(recipes.ext4));
      const [source, restored] = [join(mountpoint, "source"), join(mountpoint, "restored")];
      for (const folder of [source, restored]) mkdirSync(folder);
      await buildTree(source, everythingTree(everythingFor(recipes.ext4)));
      await must(["sync", "-f", mountpoint]);
      const { from, to } = await pipe(
        tsfsaArgv("savedir", "-q", "-A", "-", source),
        tsfsaArgv("restdir", "-q", "-", restored),
      );
      expect([from.status, to.status], `${from.stderr}${to.stderr}`).toEqual([0, 0]);
      await must(["sync", "-f", mountpoint]);
      await expectSameTree(source, restored);
    });
  });

  it("save an empty directory, and one file name of every byte", async () => {
    await withLab(async (lab) => {
      const empty = lab.folder("empty");
      const archive = lab.path("empty.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, empty]);
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", archive, restored]);
      await expectSameTree(empty, restored, onTmpfs);

      const names = lab.folder("names");
      const everyByte = Array.from({ length: 255 }, (_, index) => index + 1).filter(
        (byte) => byte !== 0x2f && byte !== 0x2e,
      );
      const entries = everyByte.map((byte) => [Buffer.from([byte]), file(`${byte}`)] as const);
      await buildTree(names, { kind: "directory", entries });
      const second = lab.path("names.tsfsa");
      await expectStatus(0, ["savedir", "-A", second, names]);
      const restoredNames = lab.folder("restored-names");
      await expectStatus(0, ["restdir", second, restoredNames]);
      await expectSameTree(names, restoredNames, onTmpfs);
    });
  });

  it("never save the archive into itself", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ file: file("f") }));
      const archive = join(source, "self.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      expect(await paths(archive)).toEqual(["", "file"]);
      await expectStatus(0, ["savedir", "-A", "-o", archive, source]);
      expect(await paths(archive)).toEqual(["", "file"]);
    });
  });

  it("list what a user may not read, save the rest, and end with status 1, or 2 with --strict", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      const secret = file("secret", { mode: 0o000 });
      const locked = directory({ hidden: file("h") }, { mode: 0o000 });
      await buildTree(
        source,
        directory({ readable: file("r"), secret, locked, [bytes("bad\xff").toString("latin1")]: secret }),
      );
      await must(["chown", "-Rh", "1000:1000", source]);
      const out = lab.folder("out");
      chownSync(out, 1000, 1000);
      const archive = join(out, "a.tsfsa");
      const result = await expectStatus(1, ["savedir", "-A", "--json", archive, source], user);
      const warnings = jsonLines(result.stdout).filter((line) => line.type === "warning");
      expect(warnings.map((line) => `${String(line["code"])} ${jsonPath(line)}`).toSorted()).toEqual([
        "ENTRY_UNREADABLE bad\xff",
        "ENTRY_UNREADABLE locked",
        "ENTRY_UNREADABLE secret",
      ]);
      await expectStatus(0, ["verify", archive]);
      const text = await expectStatus(1, ["savedir", "-A", "-o", archive, source], user);
      expect(text.stderr).toContain("secret");
      expect(text.stderr).toContain("bad\\377");

      const strict = join(out, "strict.tsfsa");
      await expectStatus(2, ["savedir", "-A", "--strict", strict, source], user);
      expect(readdirSync(out)).toEqual(["a.tsfsa"]);
    });
  });

  it("name what is missing in a destination the user may not write", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ file: file("f"), folder: directory({ deep: file("d") }) }));
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      chmodSync(archive, 0o644);
      const restored = lab.folder("restored");
      const result = await tsfsa(["restdir", "--json", archive, restored], user);
      // 1 with every entry named, or 2 at once.
      expect([1, 2]).toContain(result.status);
      const lines = jsonLines(result.stdout);
      const named = lines.filter((line) => line.type === "warning").map(jsonPath);
      if (result.status === 1) expect(named).toEqual(expect.arrayContaining(["file", "folder"]));
      else expect(lines.find((line) => line.type === "error")).toMatchObject({ code: "NO_PERMISSION" });
      expect(readdirSync(restored)).toEqual([]);
    });
  });

  it("name every entry an ordinary user cannot restore whole, and restore the rest", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      const theirs = file("t", { uid: 5, gid: 6 });
      const device = { kind: "charDevice", major: 1, minor: 3 } as const;
      await buildTree(source, directory({ theirs, device, mine: file("m", { uid: 1000, gid: 1000 }) }));
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      chmodSync(archive, 0o644);
      const restored = lab.folder("restored");
      chownSync(restored, 1000, 1000);
      const result = await expectStatus(1, ["restdir", "--json", archive, restored], user);
      const named = jsonLines(result.stdout)
        .filter((line) => line.type === "warning")
        .map(jsonPath);
      expect(named).toEqual(expect.arrayContaining(["device", "theirs"]));
      expect(readdirSync(restored).toSorted()).toEqual(["mine", "theirs"]);
    });
  });
});

/** tmpfs keeps no unwritten extents, has no flags for all kinds, and moves access times when read. */
const onTmpfs = { ignore: ["flags", "project", "unwritten", "holes", "atime"] } as const;

async function paths(archive: string): Promise<string[]> {
  const { stdout } = await expectStatus(0, ["list", "--json", archive]);
  return jsonLines(stdout)
    .filter((line) => line.type === "entry")
    .map(jsonPath);
}
