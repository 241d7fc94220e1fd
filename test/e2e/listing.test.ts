// list and du: forms, orders, sums.

import { lstatSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath } from "../support/cli.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import {
  buildTree,
  type DirectoryNode,
  directory,
  file,
  link,
  makeSourceTree,
  sparse,
  symlink,
} from "../support/trees.ts";

requireOrSkip("root");

function tree(): DirectoryNode {
  const shared = file("x".repeat(1000), { mtime: "1000000003.5" });
  return directory({
    b: directory({ "a file": file("12345", { mtime: "1000000002.5" }), deep: directory({ z: shared }) }),
    "b-side": directory({ again: link(shared) }),
    holes: sparse(1_000_000, []),
    link: symlink("b"),
  });
}

describe("list", () => {
  it("shows paths alone with --short, names below their directories with --tree", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab);
      expect(await text("list", "-s", archive)).toBe(
        ".\nb\nb/a file\nb/deep\nb/deep/z\nb-side\nb-side/again\nholes\nlink\n",
      );
      expect(await text("list", "--tree", archive)).toBe(
        ".\n  b/\n    a file\n    deep/\n      z\n  b-side/\n    again\n  holes\n  link\n",
      );
      expect(await text("list", "--tree", archive, "z", "/b-side/again")).toBe(
        ".\n  b/\n    deep/\n      z\n  b-side/\n    again\n",
      );
      const long = await text("list", "-l", archive);
      expect(long).toBe(await text("list", archive));
      const indented = (await text("list", "--tree", "-l", archive)).split("\n");
      expect(indented[2]).toMatch(/^-rw-r--r-- +0 +0 +5 2001-09-09T01:46:42Z {5}a file$/);
    });
  });

  it.each(["list", "du"])("%s says when a pattern fits nothing", async (command) => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab);
      const { stdout, stderr } = await expectStatus(2, [command, archive, "/b/none"]);
      expect(stdout.length).toBe(0);
      expect(stderr).toContain('holds nothing that fits "/b/none"');
    });
  });

  it.each([
    ["size", ["holes", "b/deep/z", "b/a file"]],
    ["mtime", ["b/deep/z", "b/a file"]],
  ])("sorts by %s, the first first", async (order, expected) => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab);
      const lines = (await text("list", "-s", "--sort", order, archive, "/b", "/holes")).split("\n");
      const files = lines.filter((line) => expected.includes(line));
      expect(files).toEqual(expected);
    });
  });

  it("sorts by name and by path as bytes, and tells the same rows in JSON", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab);
      expect(await text("list", "-s", "--sort", "path", archive)).toBe(
        ".\nb\nb-side\nb-side/again\nb/a file\nb/deep\nb/deep/z\nholes\nlink\n",
      );
      expect(await text("list", "-s", "--sort", "name", archive)).toBe(
        ".\nb/a file\nb-side/again\nb\nb-side\nb/deep\nholes\nlink\nb/deep/z\n",
      );
      const bySize = rows(await text("list", "--json", "--sort", "size", archive));
      const plain = rows(await text("list", "--json", archive));
      expect(bySize).toHaveLength(plain.length);
      expect(new Set(bySize.map((row) => JSON.stringify(row)))).toEqual(
        new Set(plain.map((row) => JSON.stringify(row))),
      );
    });
  });

  it.each([
    ["--sort", "date"],
    ["--tree", "--sort", "size"],
    ["-s", "-l"],
    ["--tree", "-s"],
    ["--id", "-1"],
  ])("refuses %s %s %s", async (...words) => {
    await expectStatus(64, ["list", ...words.filter((word) => word !== undefined), "a.tsfsa"]);
  });
});

describe("du", () => {
  it("sums up what is below each directory, as a walk of the tree does", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeSourceTree(source, 300);
      writeFileSync(join(source, "top"), "12");
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
      const lines = jsonLines(await text("du", "--json", archive)).filter(({ type }) => type === "directory");
      const expected = sums(source, "");
      expect(lines.map((line) => [jsonPath(line), line["bytes"], line["entries"], line["files"]])).toEqual(expected);
      const shallow = jsonLines(await text("du", "--json", "-d", "1", archive)).filter(
        ({ type }) => type === "directory",
      );
      expect(shallow.map(jsonPath)).toEqual(expected.map(([path]) => path).filter((path) => !path.includes("/")));
      expect(shallow.at(-1)).toMatchObject({ depth: 0, path: "" });
    });
  });

  it("counts a file with several names once, and only what patterns select", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab);
      expect(await text("du", archive)).toBe(
        "    1000 B           1 b/deep\n    1005 B           3 b\n       0 B           1 b-side\n   978 KiB           8 .\n",
      );
      expect(await text("du", archive, "/b/deep")).toBe(
        "    1000 B           1 b/deep\n    1000 B           2 b\n    1000 B           2 .\n",
      );
    });
  });
});

/** Directories after what they hold, in the order of their names' bytes. */
function sums(root: string, path: string): [path: string, bytes: number, entries: number, files: number][] {
  const found: [string, number, number, number][] = [];
  let [bytes, entries, files] = [0, 0, 0];
  for (const name of readdirSync(join(root, path)).toSorted()) {
    const below = path === "" ? name : `${path}/${name}`;
    const stat = lstatSync(join(root, below));
    entries++;
    if (stat.isDirectory()) {
      const inner = sums(root, below);
      const [, innerBytes, innerEntries, innerFiles] = inner.at(-1) as (typeof inner)[number];
      found.push(...inner);
      [bytes, entries, files] = [bytes + innerBytes, entries + innerEntries, files + innerFiles];
    } else {
      [bytes, files] = [bytes + stat.size, files + 1];
    }
  }
  return [...found, [path, bytes, entries, files]];
}

async function archiveOf(lab: Lab): Promise<string> {
  const source = lab.folder("source");
  await buildTree(source, tree());
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", archive, source]);
  return archive;
}

function rows(output: string): unknown[] {
  return jsonLines(output).filter(({ type }) => type === "entry");
}

async function text(...words: string[]): Promise<string> {
  return (await expectStatus(0, words)).stdout.toString();
}
