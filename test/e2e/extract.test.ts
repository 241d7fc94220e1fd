// Parts of an archive: extract and cat, from a file and from a pipe.

import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, tsfsa } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import {
  buildTree,
  bytes,
  type DirectoryNode,
  directory,
  file,
  link,
  noise,
  prose,
  sparse,
  symlink,
  treeArbitrary,
} from "../support/trees.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;

/** What tmpfs cannot hold, and what a part of a tree has otherwise: names that were not taken are missing from the groups. */
const partOnTmpfs = ["flags", "project", "unwritten", "atime", "hardlinks"] as const;

function sampleTree(): DirectoryNode {
  const shared = file(prose(5000, 3), { mode: 0o4750, uid: 7, gid: 8, xattrs: [[bytes("user.k"), bytes("v")]] });
  const large = file(noise(9 * MiB + 77, 5), { mtime: "1300000000.5", xattrs: [[bytes("user.large"), bytes("x")]] });
  return directory(
    {
      a: directory({ deep: directory({ shared, "to-it": symlink("shared") }, { mode: 0o700 }), large }),
      b: directory({
        "again-large": link(large),
        "again-shared": link(shared),
        empty: directory({}, { mode: 0o1777 }),
        holes: sparse(12 * MiB, [
          { offset: 3 * MiB + 4096, bytes: noise(8192, 7) },
          { offset: 11 * MiB, bytes: noise(100, 8) },
        ]),
        noise: file(noise(3 * MiB, 9)),
        "third-shared": link(shared),
      }),
      c: directory(
        { "text.c": file("int x;\n"), "text.h": file("extern int x;\n") },
        { mode: 0o750, uid: 5, gid: 6, acl: "u:99:rwx", mtime: "1111111111.25" },
      ),
      sockets: directory({ s: { kind: "socket", mode: 0o600 }, zero: file("") }),
    },
    { mode: 0o711 },
  );
}

describe("extract", () => {
  it("brings one file with all its metadata, and its directories with theirs, but leaves the destination alone", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const target = lab.folder("target");
      utimesSync(target, 5, 5);
      await expectStatus(0, ["extract", "--to", target, archive, "/c/text.c"]);
      expect(names(target)).toEqual(["c", "c/text.c"]);
      const skip = (path: string): boolean => !["c", "c/text.c"].includes(path);
      expect(await differences(source, target, skip)).toEqual([]);
      expect(statSync(target).mode & 0o777).toBe(0o755);
    });
  });

  it("reads no block that it does not need", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab, ["--block-size", "1MiB"]);
      const whole = readFileSync(archive);
      const blocks = recordsOf(whole).filter(({ type }) => type === 2);
      expect(blocks.length).toBeGreaterThan(6);
      // All frames but the first and the last two: what c/ and the root stand in.
      let damaged: Uint8Array = whole;
      for (const { end } of blocks.slice(1, -2)) damaged = flipped(damaged, end + 40, 1);
      const copy = lab.path("damaged.tsfsa");
      writeFileSync(copy, damaged);
      await expectStatus(10, ["verify", copy]);
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "--to", target, copy, "c/text.h"]);
      expect(readFileSync(join(target, "c/text.h"), "utf8")).toBe("extern int x;\n");
      expect((await expectStatus(0, ["cat", copy, "/c/text.h"])).stdout.toString()).toBe("extern int x;\n");
      const lost = await tsfsa(["extract", "--to", target, copy, "/a/large"]);
      expect(lost.status).toBe(10);
      expect(lost.stderr).toContain("a/large");
      expect(names(target)).not.toContain("a/large");
    });
  });

  it("takes directories, patterns and exceptions, and makes no directory of which nothing is taken", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      const of = async (...patterns: string[]): Promise<string[]> => {
        const target = lab.folder("target");
        await expectStatus(0, ["extract", "-q", "--to", target, archive, ...patterns]);
        return names(target);
      };
      expect(await of("*.h")).toEqual(["c", "c/text.h"]);
      expect(await of("/b", "!large", "!*shared", "!noise", "!again-large")).toEqual(["b", "b/empty", "b/holes"]);
      expect(await of("/b/empty/")).toEqual(["b", "b/empty"]);
      expect(await of("s", "zero")).toEqual(["sockets", "sockets/s", "sockets/zero"]);
      expect(await of("!/a", "!/b")).toEqual(["c", "c/text.c", "c/text.h", "sockets", "sockets/s", "sockets/zero"]);
    });
  });

  it("gives a hard link the content of its object where that was not asked for, and keeps names together that were", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "--to", target, archive, "again-*", "third-shared"]);
      expect(names(target)).toEqual(["b", "b/again-large", "b/again-shared", "b/third-shared"]);
      const skip = (path: string): boolean => path === "" || !names(target).includes(path);
      expect(await differences(source, target, skip)).toEqual([]);
      const inode = (name: string): number => statSync(join(target, "b", name)).ino;
      expect(inode("again-shared")).toBe(inode("third-shared"));
      expect(statSync(join(target, "b/again-shared")).nlink).toBe(2);
      expect(statSync(join(target, "b/again-large")).nlink).toBe(1);
    });
  });

  it("does the same from a pipe, but for hard links whose object has passed", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const input = readFileSync(archive);
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "--to", target, "-", "/a", "*.c"], { input });
      const taken = ["a", "a/deep", "a/deep/shared", "a/deep/to-it", "a/large", "c", "c/text.c"];
      expect(names(target)).toEqual(taken);
      const skip = (path: string): boolean => !taken.includes(path);
      expect(await differences(source, target, skip)).toEqual([]);
      const passed = await expectStatus(1, ["extract", "--to", target, "-", "third-shared"], { input });
      expect(passed.stderr).toContain("b/third-shared");
    });
  });

  it("leaves directories that exist as they are, unless they were asked for", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      const target = lab.folder("target");
      mkdirSync(join(target, "c"), { mode: 0o700 });
      await expectStatus(0, ["extract", "--to", target, archive, "/c/text.c"]);
      expect(statSync(join(target, "c")).mode & 0o777).toBe(0o700);
      const again = await expectStatus(1, ["extract", "--to", target, archive, "/c"]);
      expect(again.stderr).toMatch(/c\/text\.c.*exists/);
      await expectStatus(0, ["extract", "-o", "--to", target, archive, "/c"]);
      expect(statSync(join(target, "c")).mode & 0o777).toBe(0o750);
    });
  });

  it("says when nothing fits, before it makes anything", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      const target = lab.path("target");
      const { stderr } = await expectStatus(2, ["extract", "--to", target, archive, "/nowhere"]);
      expect(stderr).toContain('holds nothing that fits "/nowhere"');
      expect(() => statSync(target)).toThrow("ENOENT");
      await expectStatus(64, ["extract", archive, "a//b"]);
    });
  });

  it("puts each of several sources below its name, and one chosen directly below the destination", async () => {
    await withLab(async (lab) => {
      const sources = [recipes.ext4, recipes.xfs].map(async (recipe, i) => {
        const image = await lab.filesystem(recipe);
        const mountpoint = await lab.mount(image);
        await buildTree(
          mountpoint,
          directory({ etc: directory({ host: file(`host ${i}`), [`only-${i}`]: file("") }) }),
        );
        await lab.unmount(mountpoint);
        return image;
      });
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", archive, ...(await Promise.all(sources))]);
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "--to", target, archive, "/etc/host"]);
      expect(names(target)).toEqual(["0", "0/etc", "0/etc/host", "1", "1/etc", "1/etc/host"]);
      const one = lab.folder("one");
      await expectStatus(0, ["extract", "--id", "1", "--to", one, archive, "/etc/host"]);
      expect(readFileSync(join(one, "etc/host"), "utf8")).toBe("host 1");
      await expectStatus(64, ["extract", "--id", "2", "--to", one, archive, "/etc/host"]);
      expect((await expectStatus(64, ["cat", archive, "etc/host"])).stderr).toContain("--id");
      expect((await expectStatus(0, ["cat", "--id", "0", archive, "etc/host"])).stdout.toString()).toBe("host 0");
      expect((await expectStatus(0, ["cat", archive, "etc/only-1"])).stdout.length).toBe(0);
    });
  });

  it("reads an archive without its end front to back, and still says that it is damaged", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      const cut = lab.path("cut.tsfsa");
      writeFileSync(cut, readFileSync(archive).subarray(0, -100));
      const target = lab.folder("target");
      await expectStatus(10, ["extract", "--to", target, cut, "/c"]);
      expect(names(target)).toEqual(["c", "c/text.c", "c/text.h"]);
    });
  });
});

describe("extract and restdir --include", () => {
  it("take the same of a random tree, by the index and front to back", async () => {
    await withLab(async (lab) => {
      const property = fc.asyncProperty(
        treeArbitrary({ root: true }),
        fc.nat(),
        fc.nat(),
        async (tree, first, second) => {
          const folder = lab.folder("round");
          const [source, byIndex, byStream] = ["source", "index", "stream"].map((name) => join(folder, name)) as [
            string,
            string,
            string,
          ];
          for (const path of [source, byIndex, byStream]) mkdirSync(path);
          await buildTree(source, tree);
          const archive = join(folder, "a.tsfsa");
          await expectStatus(0, ["savedir", "-q", "-A", "-j1", archive, source]);
          const listed = jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout)
            .filter(({ type }) => type === "entry")
            .map((line) => line["path"])
            .filter((path) => typeof path === "string" && path !== "");
          if (listed.length > 0) {
            const patterns = [first, second].map((n) => literal(String(listed[n % listed.length])));
            const extracted = await tsfsa(["extract", "-q", "-j1", "--to", byIndex, archive, ...patterns]);
            const includes = patterns.flatMap((pattern) => ["--include", pattern]);
            const restored = await tsfsa(["restdir", "-q", "-j1", ...includes, "-", byStream], {
              input: readFileSync(archive),
            });
            expect(extracted.status, extracted.stderr).toBe(0);
            // Only a link whose object is not selected is a loss, and only in a stream.
            expect([0, 1], restored.stderr).toContain(restored.status);
            if (restored.status === 0) expect(await differences(byStream, byIndex)).toEqual([]);
          }
          await must(["rm", "-rf", folder]);
        },
      );
      await fc.assert(property, { numRuns: draws(8) });
    });
  }, 600_000);
});

describe("restdir --include", () => {
  it("gives hard links the content of objects that were left out, whatever is stripped or excluded", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const target = lab.folder("target");
      const words = ["--include", "/b", "--include", "to-it", "-e", "noise", "-e", "holes", "--strip-components", "1"];
      await expectStatus(0, ["restdir", ...words, archive, target]);
      expect(names(target)).toEqual(["again-large", "again-shared", "deep", "deep/to-it", "empty", "third-shared"]);
      for (const name of ["again-large", "third-shared"]) {
        expect(readFileSync(join(target, name)).equals(readFileSync(join(source, "b", name))), name).toBe(true);
      }
      expect(statSync(join(target, "again-shared")).ino).toBe(statSync(join(target, "third-shared")).ino);
      expect(statSync(join(target, "third-shared")).mode & 0o7777).toBe(0o4750);
    });
  });

  it("makes a file system with only that in it", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(image);
      await buildTree(mountpoint, sampleTree());
      await lab.unmount(mountpoint);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-q", archive, image]);
      const again = lab.image("again", recipes.ext4.sizeBytes);
      await expectStatus(0, ["restfs", "-q", "--include", "third-shared", archive, `id=0,dest=${again}`]);
      const restored = await lab.mount(again, { options: "ro" });
      expect(names(restored)).toEqual(["b", "b/third-shared"]);
      expect(statSync(restored).mode & 0o777).toBe(0o711);
    });
  });
});

describe("cat", () => {
  it("writes the content of files of one block and of many, holes as zeros", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const input = readFileSync(archive);
      for (const path of ["c/text.c", "a/large", "b/holes", "b/noise", "a/deep/shared", "sockets/zero"]) {
        const expected = readFileSync(join(source, path));
        expect((await expectStatus(0, ["cat", archive, path])).stdout.equals(expected), path).toBe(true);
        const piped = await expectStatus(0, ["cat", "-", `/${path}`], { input });
        expect(piped.stdout.equals(expected), `${path} from a pipe`).toBe(true);
      }
      for (const path of ["b/again-large", "b/third-shared"]) {
        const expected = readFileSync(join(source, path));
        expect((await expectStatus(0, ["cat", archive, path])).stdout.equals(expected), path).toBe(true);
        await expectStatus(2, ["cat", "-", path], { input });
      }
    });
  });

  it.each([
    ["a", "a directory"],
    ["a/deep/to-it", "a symbolic link"],
    ["sockets/s", "a socket"],
    ["nowhere", "holds no file"],
  ])("refuses %s: %s", async (path, reason) => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      const result = await expectStatus(2, ["cat", archive, path]);
      expect(result.stderr).toContain(reason);
      expect(result.stdout.length).toBe(0);
    });
  });

  it("says at the end when what it wrote is not what was saved", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab, ["-z0", "--block-size", "1MiB"]);
      const whole = readFileSync(archive);
      const blocks = recordsOf(whole).filter(({ type }) => type === 2);
      const middle = blocks[4]?.end ?? 0;
      const copy = lab.path("damaged.tsfsa");
      writeFileSync(copy, flipped(whole, middle + 4000, 4));
      const result = await tsfsa(["cat", copy, "a/large"]);
      expect(result.status).toBe(10);
      expect(result.stderr).toContain("checksum");
    });
  });
});

/** A path as a pattern that fits nothing else. */
function literal(path: string): string {
  return `/${path.replaceAll(/[\\*?[\]!]/g, (character) => `\\${character}`)}`;
}

/** What differs below the roots, which keep their own metadata. */
async function differences(
  source: string,
  target: string,
  skip: (path: string) => boolean = (path) => path === "",
): Promise<string[]> {
  const found = await compareTrees(source, target, { ignore: partOnTmpfs, skip });
  return found.filter((line) => !line.endsWith(" ./"));
}

async function archiveOf(
  lab: Lab,
  words: readonly string[] = [],
): Promise<{ readonly archive: string; readonly source: string }> {
  const source = lab.folder("source");
  await buildTree(source, sampleTree());
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", ...words, archive, source]);
  return { archive, source };
}

function names(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted();
}
