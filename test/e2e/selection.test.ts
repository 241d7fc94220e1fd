// What is saved, listed and shown: excludes, caches, lists of files, patterns, text and JSON.

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath } from "../support/cli.ts";
import { formatVersion } from "../../src/format/version.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { type DirectoryNode, buildTree, bytes, directory, file, link, symlink } from "../support/trees.ts";

requireOrSkip("root", "loop");

const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache.\n";

function tree(): DirectoryNode {
  const shared = file("shared", { mtime: "1500000000.25" });
  return directory({
    cache: directory({ "CACHEDIR.TAG": file(cacheTag), deep: directory({ object: file("o") }), object: file("o") }),
    "false-cache": directory({ "CACHEDIR.TAG": file("not the signature"), object: file("o") }),
    home: directory({
      ".cache": directory({ x: file("x") }),
      "keep.log": file("k"),
      "drop.log": file("d"),
      text: file("t"),
    }),
    shared,
    second: link(shared),
    tmp: directory({ x: file("x") }),
    "to-shared": symlink("shared"),
  });
}

describe("what is saved", () => {
  it("leaves out what patterns exclude, with all below, and takes back what a later pattern says", async () => {
    await withLab(async (lab) => {
      const words = ["-e", "*.log", "-e", "!keep.log", "-e", "/tmp/*", "-e", ".cache/"];
      expect(await saved(lab, words)).toEqual([
        "",
        "cache",
        "cache/CACHEDIR.TAG",
        "cache/deep",
        "cache/deep/object",
        "cache/object",
        "false-cache",
        "false-cache/CACHEDIR.TAG",
        "false-cache/object",
        "home",
        "home/keep.log",
        "home/text",
        "second",
        "shared",
        "tmp",
        "to-shared",
      ]);
    });
  });

  it("leaves out the content of tagged caches, but keeps the tag", async () => {
    await withLab(async (lab) => {
      const paths = await saved(lab, ["--exclude-caches"]);
      expect(paths.filter((path) => path.startsWith("cache"))).toEqual(["cache", "cache/CACHEDIR.TAG"]);
      expect(paths).toContain("false-cache/object");
    });
  });

  it.each([
    ["lines", "home/text\nshared\n"],
    ["NUL-separated names", "home/text\0shared\0"],
  ])("is limited to the %s of --files-from", async (_, content) => {
    await withLab(async (lab) => {
      const list = lab.path("list");
      writeFileSync(list, content);
      expect(await saved(lab, ["--files-from", list])).toEqual(["", "home", "home/text", "shared"]);
      expect(await saved(lab, ["--files-from", "-"], content)).toEqual(["", "home", "home/text", "shared"]);
    });
  });

  it("excludes in a whole file system as in a directory", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(image);
      await buildTree(mountpoint, tree());
      await lab.unmount(mountpoint);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, [
        "savefs",
        "-e",
        "/home",
        "-e",
        "/cache",
        "-e",
        "/false-cache",
        "-e",
        "lost+found",
        archive,
        image,
      ]);
      expect((await entries(archive)).map(jsonPath)).toEqual(["", "second", "shared", "tmp", "tmp/x", "to-shared"]);
    });
  });

  it("is shown, and nothing written, with --dry-run", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, tree());
      const out = lab.folder("out");
      const before = statSync(out).mtimeMs;
      await expectStatus(0, ["savedir", "-A", "--dry-run", join(out, "a.tsfsa"), source]);
      expect(statSync(out).mtimeMs).toBe(before);
      expect(readdirSync(out)).toEqual([]);
    });
  });
});

describe("what is restored", () => {
  it("is what --include selects and --exclude leaves", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, []);
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", "--include", "/home", "-e", "*.log", archive, restored]);
      const again = lab.path("again.tsfsa");
      await expectStatus(0, ["savedir", "-A", again, restored]);
      expect((await entries(again)).map(jsonPath)).toEqual(["", "home", "home/.cache", "home/.cache/x", "home/text"]);
    });
  });

  it("is told where nothing fits, before anything is made", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, []);
      const destination = lab.path("restored");
      const refused = await expectStatus(2, ["restdir", "--include", "/nowhere", archive, destination]);
      expect(refused.stderr).toContain('holds nothing that fits "/nowhere"');
      expect(existsSync(destination)).toBe(false);
    });
  });

  it("is told at the end where nothing in a stream fits, and the target is named as half made", async () => {
    await withLab(async (lab) => {
      const input = readFileSync(await archiveOf(lab, []));
      const into = (pattern: string) => ["restdir", "--include", pattern, "-", lab.folder("restored")];
      const refused = await expectStatus(2, into("/nowhere"), { input });
      expect(refused.stderr).toContain('holds nothing that fits "/nowhere"');
      await expectStatus(0, into("/home"), { input });

      const source = await lab.filesystem(recipes.ext4);
      const target = lab.image("target", recipes.ext4.sizeBytes);
      const archive = lab.path("fs.tsfsa");
      await expectStatus(0, ["savefs", archive, source]);
      const words = ["restfs", "--yes", "--overwrite", "--include"];
      const at = ["-", `id=0,dest=${target}`];
      const fs = readFileSync(archive);
      const empty = await expectStatus(2, [...words, "/nowhere", ...at], { input: fs });
      expect(empty.stderr).toContain('holds nothing that fits "/nowhere"');
      expect(empty.stderr).toContain(`${target}: it is half made`);
      await expectStatus(0, [...words, "/lost+found", ...at], { input: fs });
    });
  });

  it("loses leading components with --strip-components", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, []);
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", "--include", "/home", "--strip-components", "1", archive, restored]);
      expect(statSync(join(restored, "text")).isFile()).toBe(true);
    });
  });
});

describe("list", () => {
  it("shows rows as ls -l does, names escaped", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      const odd = file("x", { mode: 0o4755, uid: 12, gid: 34, mtime: "1500000000" });
      await buildTree(source, { kind: "directory", entries: [[bytes("\x1b[31mred\n\xff"), odd]] });
      await buildTree(
        source,
        directory({
          pipe: { kind: "fifo" },
          null: { kind: "charDevice", major: 1, minor: 3 },
          "to-it": symlink("pipe"),
        }),
      );
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      const text = (await expectStatus(0, ["list", archive])).stdout.toString("latin1");
      expect(text).not.toContain("\x1b");
      expect(text).toMatch(/^-rwsr-xr-x +12 +34 +1 2017-07-14T02:40:00Z \\033\[31mred\\n\\377$/m);
      expect(text).toMatch(/^crw-r--r-- +0 +0 +1, 3 .* null$/m);
      expect(text).toMatch(/^l.* to-it -> pipe$/m);
      expect(text).toMatch(/^prw/m);
    });
  });

  it("selects by patterns, with all below, and names the object of a hard link", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, []);
      const home = jsonLines((await expectStatus(0, ["list", "--json", archive, "/home"])).stdout).filter(isEntry);
      expect(home.map(jsonPath)).toEqual([
        "home",
        "home/.cache",
        "home/.cache/x",
        "home/drop.log",
        "home/keep.log",
        "home/text",
      ]);
      const links = (await entries(archive)).filter((line) => line["link"] !== undefined);
      expect(links.map((line) => [jsonPath(line), line["link"]])).toEqual([["shared", "second"]]);
    });
  });

  it("gives exact bytes in JSON", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, { kind: "directory", entries: [[bytes("\xff\n"), file("x", { mtime: "-1.5" })]] });
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", archive, source]);
      const [, entry] = await entries(archive);
      expect(entry).toMatchObject({ pathBase64: "/wo=", size: 1, mtime: { seconds: -2, nanoseconds: 500_000_000 } });
    });
  });
});

describe("archinfo and verify", () => {
  it("show identity, counts and sizes of each file system", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-L", "my label", archive, image]);
      const text = (await expectStatus(0, ["archinfo", archive])).stdout.toString();
      for (const word of ["my label", "ext4", "root fs", "zstd"]) expect(text).toContain(word);
      const [line] = jsonLines((await expectStatus(0, ["archinfo", "--json", archive])).stdout).filter(
        ({ type }) => type === "archive",
      );
      expect(line).toMatchObject({
        archiveBytes: statSync(archive).size,
        head: {
          format: formatVersion,
          label: "my label",
          codec: "zstd",
          sources: [{ kind: "filesystem", filesystem: { type: "ext4", label: "root fs" } }],
        },
        summary: { entries: 2, sources: [{ directories: 2, files: 0 }] },
      });
    });
  });

  it("read an archive from a pipe", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, []);
      const input = readFileSync(archive);
      await expectStatus(0, ["verify", "-"], { input });
      await expectStatus(0, ["archinfo", "-"], { input });
      const rows = jsonLines((await expectStatus(0, ["list", "--json", "-"], { input })).stdout).filter(isEntry);
      expect(rows.map(jsonPath)).toEqual((await entries(archive)).map(jsonPath));
    });
  });

  it("verify after writing with --verify, and quickly with --quick", async () => {
    await withLab(async (lab) => {
      const archive = await archiveOf(lab, ["--verify"]);
      await expectStatus(0, ["verify", "--quick", archive]);
      const summary = jsonLines((await expectStatus(0, ["verify", "--json", archive])).stdout).at(-1);
      expect(summary).toMatchObject({
        type: "summary",
        status: 0,
        warnings: 0,
        entries: (await entries(archive)).length,
      });
    });
  });
});

async function archiveOf(lab: Lab, words: readonly string[], input = ""): Promise<string> {
  const source = lab.folder("source");
  await buildTree(source, tree());
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-A", ...words, archive, source], { input });
  return archive;
}

async function saved(lab: Lab, words: readonly string[], input = ""): Promise<string[]> {
  return (await entries(await archiveOf(lab, words, input))).map(jsonPath);
}

async function entries(archive: string): Promise<ReturnType<typeof jsonLines>> {
  return jsonLines((await expectStatus(0, ["list", "--json", archive])).stdout).filter(isEntry);
}

function isEntry({ type }: { readonly type: string }): boolean {
  return type === "entry";
}
