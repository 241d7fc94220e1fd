// Files inside image archives: list, du, cat, extract and diff of an ext image, against the image mounted by the kernel.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, tsfsa } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, recipes, withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import {
  buildTree,
  bytes,
  type DirectoryNode,
  directory,
  everythingFor,
  everythingTree,
  file,
  link,
  noise,
  symlink,
} from "../support/trees.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;
const inline: FilesystemRecipe = {
  name: "ext4, inline data",
  type: "ext4",
  sizeBytes: 128 * MiB,
  mkfs: ["-b", "4096", "-I", "1024", "-O", "inline_data,ea_inode"],
};

/** What stands at the top: extract leaves the destination itself alone, and lost+found is there already. */
const top = (path: string): boolean => path === "" || path === "lost+found";

/** Content, links, directories and attributes that fit into inodes, and some that do not. */
function shortFiles(): DirectoryNode {
  const lengths = [0, 1, 60, 61, 150, 400, 900, 5000];
  const files = lengths.map((length) => {
    const xattrs = [[bytes("user.some"), bytes("x".repeat(length % 300))]] as const;
    return [`f${length}`, file(noise(length, length), { xattrs, mode: 0o640 })] as const;
  });
  const names = Array.from({ length: 60 }, (_, i) => [`name of some length ${i}`, symlink("s".repeat(i + 1))] as const);
  return directory({
    files: directory(Object.fromEntries(files)),
    few: directory({ a: file("a") }),
    many: directory(Object.fromEntries(names)),
  });
}

async function imageOf(lab: Lab, recipe: FilesystemRecipe): Promise<string> {
  const image = await lab.filesystem(recipe);
  const where = await lab.mount(image);
  await buildTree(where, recipe === inline ? shortFiles() : everythingTree(everythingFor(recipe)));
  await lab.unmount(where);
  return image;
}

const small: FilesystemRecipe = { name: "ext4", type: "ext4", sizeBytes: 48 * MiB, mkfs: ["-b", "4096"] };

async function smallImage(lab: Lab): Promise<string> {
  const image = await lab.filesystem(small);
  const where = await lab.mount(image);
  const large = file(noise(9 * MiB + 77, 5));
  await buildTree(
    where,
    directory({
      a: directory({ large, "to-large": symlink("large") }, { mode: 0o711 }),
      b: directory({ linked: link(large), text: file("some text\n", { mtime: "1300000000.5" }) }),
    }),
  );
  await lab.unmount(where);
  return image;
}

describe("files inside an image", () => {
  it.each([recipes.ext2, recipes.ext4, recipes.ext4SmallBlocks, inline])(
    "come out as a mount shows them: $name",
    async (recipe) => {
      await withLab(async (lab) => {
        const image = await imageOf(lab, recipe);
        const archive = lab.path("a.tsfsa");
        await expectStatus(0, ["saveimg", "-q", archive, image]);
        const target = await lab.mount(await lab.filesystem(recipe));
        // lost+found is there.
        await expectStatus(0, ["extract", "-q", "--to", target, archive, "*", "!/lost+found"]);
        const source = await lab.mount(image, { options: "ro" });
        const differences = await compareTrees(source, target, { skip: top });
        expect(differences.filter((line) => !line.endsWith(" ./"))).toEqual([]);
        await expectStatus(0, ["diff", "-e", "/lost+found", archive, source]);
      });
    },
  );

  it("are listed as those of a save of files are", async () => {
    await withLab(async (lab) => {
      const image = await imageOf(lab, recipes.ext4);
      const [blocks, files] = [lab.path("blocks.tsfsa"), lab.path("files.tsfsa")];
      await expectStatus(0, ["saveimg", "-q", blocks, image]);
      await expectStatus(0, ["savefs", "-q", files, image]);
      const rows = async (archive: string, ...words: string[]): Promise<object[]> => {
        const { stdout } = await expectStatus(0, ["list", "--json", archive, ...words]);
        const entries = jsonLines(stdout).filter(({ type }) => type === "entry");
        // What only reading the file tells.
        return entries.map((row) => ({ ...row, digest: "", flags: "" }));
      };
      expect(await rows(blocks)).toEqual(await rows(files));
      const [some, same] = [await rows(blocks, "*link*"), await rows(files, "*link*")];
      expect(some.map((row) => ({ ...row, number: 0, linkEntry: 0 }))).toEqual(
        same.map((row) => ({ ...row, number: 0, linkEntry: 0 })),
      );
      for (const words of [["-d", "1"], []]) {
        const [du, sums] = [
          await expectStatus(0, ["du", ...words, blocks]),
          await expectStatus(0, ["du", ...words, files]),
        ];
        expect(du.stdout.toString()).toBe(sums.stdout.toString());
      }
      const whole = (await expectStatus(0, ["list", "--image", "-s", blocks])).stdout.toString();
      expect(whole).toMatch(/^\.\n.*\.img\n$/);
    });
  });

  it("are read with the journal that was not replayed", async () => {
    await withLab(async (lab) => {
      const image = lab.image("journal", 64 * MiB);
      await must(["mkfs.ext4", "-q", "-F", "-J", "size=16", image]);
      const where = await lab.mount(image, { options: "commit=300" });
      mkdirSync(join(where, "a"));
      for (let i = 0; i < 200; i++) writeFileSync(join(where, "a", `file ${i}`), `content ${i}`);
      await must(["sync", "-f", where]);
      rmSync(join(where, "a/file 7"));
      await must(["sync", "-f", where]);
      const dirty = lab.path("dirty.img");
      copyFileSync(image, dirty);
      await lab.unmount(where);
      const archive = lab.path("a.tsfsa");
      const saved = await expectStatus(1, ["saveimg", "-q", archive, dirty]);
      expect(saved.stderr).toContain("its journal has not been replayed");
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "-q", "--to", target, archive, "/a"]);
      // The kernel replays it.
      const source = await lab.mount(dirty);
      const differences = await compareTrees(join(source, "a"), join(target, "a"), {
        ignore: ["flags", "atime", "unwritten"],
      });
      expect(differences).toEqual([]);
    });
  });

  it("are read from the blocks they need only; what is lost is named", async () => {
    await withLab(async (lab) => {
      const image = await smallImage(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "-q", "-z0", "--block-size", "1MiB", archive, image]);
      const whole = readFileSync(archive);
      const blocks = recordsOf(whole).filter(({ type }) => type === 2);
      // A byte in the middle of the large file: what stands before and behind it are other blocks.
      const at = whole.indexOf(noise(9 * MiB + 77, 5).subarray(5 * MiB, 5 * MiB + 64));
      expect(at).toBeGreaterThan(0);
      const damaged = blocks.findLastIndex(({ offset }) => offset < at);
      const copy = lab.path("damaged.tsfsa");
      writeFileSync(copy, flipped(whole, at, 1));
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "-q", "--to", target, copy, "/b/text"]);
      expect(readFileSync(join(target, "b/text"), "utf8")).toBe("some text\n");
      expect((await expectStatus(0, ["cat", copy, "/b/text"])).stdout.toString()).toBe("some text\n");
      await expectStatus(0, ["list", copy]);
      const lost = await expectStatus(10, ["extract", "-q", "--to", target, copy, "/a"]);
      expect(lost.stderr).toContain("a/large");
      expect(lost.stderr).toContain(`block ${damaged}`);
      expect(lost.stderr).not.toContain("in the archive");
      // By whatever thread, and however many of them met it.
      for (const jobs of ["-j1", "-j4"]) {
        const again = await expectStatus(10, ["extract", "-q", jobs, "--to", lab.folder("again"), copy, "/a", "/b"]);
        expect(again.stderr).toBe(lost.stderr);
      }
      const [, from, to] = /the image held in bytes (\d+) to (\d+) is lost/.exec(lost.stderr) ?? [];
      const there = readFileSync(image).indexOf(noise(9 * MiB + 77, 5).subarray(5 * MiB, 5 * MiB + 64));
      expect([Number(from) <= there, there < Number(to)]).toEqual([true, true]);
      const cut = await tsfsa(["cat", copy, "/a/large"]);
      expect([cut.status, cut.stdout.length < 9 * MiB]).toEqual([10, true]);
      expect(cut.stderr).toContain(`block ${damaged}`);
      expect(cut.stderr).toContain(`bytes ${from} to ${to}`);
      // Without its end an archive is read front to back.
      const short = lab.path("short.tsfsa");
      writeFileSync(short, whole.subarray(0, -100));
      expect((await expectStatus(0, ["cat", short, "/b/text"])).stdout.toString()).toBe("some text\n");
      // Of the first block is the map of the image.
      writeFileSync(copy, flipped(whole, (blocks[0]?.end ?? 0) + 40, 1));
      const nothing = await expectStatus(10, ["list", copy]);
      expect(nothing.stderr).toContain("map of the image");
    });
  });

  it("of one image of several are below its number", async () => {
    await withLab(async (lab) => {
      const images = [await smallImage(lab), await lab.filesystem(small)];
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "-q", archive, ...images]);
      const target = lab.folder("target");
      await expectStatus(0, ["extract", "-q", "--to", target, archive, "text"]);
      expect(readdirSync(target)).toEqual(["0"]);
      await expectStatus(0, ["extract", "-q", "--id", "0", "--to", target, archive, "text", "to-large"]);
      expect(statSync(join(target, "b/text")).mtimeMs).toBe(1_300_000_000_500);
      expect((await expectStatus(0, ["cat", archive, "b/text"])).stdout.toString()).toBe("some text\n");
      const { stdout } = await expectStatus(0, ["list", "-s", archive]);
      expect(stdout.toString()).toContain("lost+found");
    });
  });

  it("cannot be had of what is no ext, of a pipe, and of paths that are no files", async () => {
    await withLab(async (lab) => {
      const btrfs = lab.path("btrfs.tsfsa");
      await expectStatus(0, ["saveimg", "-q", btrfs, await lab.filesystem(recipes.btrfs)]);
      const target = lab.path("target");
      for (const words of [
        ["list", btrfs],
        ["du", btrfs],
        ["cat", btrfs, "x"],
        ["extract", "--to", target, btrfs, "x"],
      ]) {
        const { stderr } = await expectStatus(2, words);
        expect(stderr).toContain("image of btrfs");
        expect(stderr).toContain("tsfsa restimg");
      }
      await expectStatus(0, ["list", "--image", btrfs]);
      const archive = lab.path("a.tsfsa");
      const image = await smallImage(lab);
      await expectStatus(0, ["saveimg", "-q", archive, image]);
      const piped = await expectStatus(64, ["list", "-"], { input: readFileSync(archive) });
      expect(piped.stderr).toContain("a pipe");
      for (const [path, reason] of [
        ["a", "a directory"],
        ["a/to-large", "a symbolic link"],
        ["a/to-large/x", "holds no file"],
        ["nowhere", "holds no file"],
      ] as const) {
        expect((await expectStatus(2, ["cat", archive, path])).stderr).toContain(reason);
      }
      await expectStatus(2, ["extract", "--to", target, archive, "nowhere"]);
      expect(() => statSync(target)).toThrow("ENOENT");
      const raw = await expectStatus(0, ["cat", "--image", archive, image.split("/").at(-1) as string]);
      expect(raw.stdout.equals(readFileSync(image))).toBe(true);
    });
  });

  it("never follow what stands in the way of an extract", async () => {
    await withLab(async (lab) => {
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "-q", archive, await smallImage(lab)]);
      const [target, elsewhere] = [lab.folder("target"), lab.folder("elsewhere")];
      await must(["ln", "-s", elsewhere, join(target, "b")]);
      const refused = await tsfsa(["extract", "-q", "--to", target, archive, "/b"]);
      expect(refused.status).not.toBe(0);
      expect(readdirSync(elsewhere)).toEqual([]);
    });
  });
});

describe("diff of images", () => {
  it("names the files that differ from a directory, and the blocks that differ from an image or another archive", async () => {
    await withLab(async (lab) => {
      const image = await smallImage(lab);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["saveimg", "-q", archive, image]);
      await expectStatus(0, ["diff", archive, image]);
      const changed = lab.path("changed.img");
      copyFileSync(image, changed);
      const where = await lab.mount(changed);
      await expectStatus(0, ["diff", archive, where]);
      writeFileSync(join(where, "b/text"), "other text");
      const files = await expectStatus(1, ["diff", archive, where]);
      expect(files.stdout.toString()).toMatch(/^~ b\/text: .*content/m);
      await lab.unmount(where);
      const other = await expectStatus(1, ["diff", archive, changed]);
      expect(other.stdout.toString()).toMatch(/^~ .*\.img: content at bytes \d+ to \d+/m);
      const later = lab.path("b.tsfsa");
      await expectStatus(0, ["saveimg", "-q", later, changed]);
      const both = await expectStatus(1, ["diff", archive, later]);
      const piped = await expectStatus(64, ["diff", "-", later], { input: readFileSync(archive) });
      expect(piped.stderr).toContain("a pipe");
      const tree = lab.path("tree.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", tree, lab.folder("tree")]);
      await expectStatus(0, ["diff", "-", tree], { input: readFileSync(tree) });
      expect(both.stdout.toString()).toMatch(/content at bytes \d+ to \d+/);
    });
  });
});
