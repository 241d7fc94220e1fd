// diff and verify against a tree: each planted difference is told, and nothing else.

import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, type JsonLine, jsonLines, jsonPath, tsfsa } from "../support/cli.ts";
import { type FilesystemRecipe, type Lab, recipes, withLab } from "../support/images.ts";
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
  prose,
  sparse,
  symlink,
} from "../support/trees.ts";

requireOrSkip("root", "loop");

const MiB = 1024 * 1024;

describe("an archive and the file system it was made of", () => {
  it.each<readonly [FilesystemRecipe]>([[recipes.ext4], [recipes.xfs], [recipes.btrfs]])(
    "do not differ, holes and times included, on $name: mounted, unmounted and restored",
    async (recipe) => {
      await withLab(async (lab) => {
        const image = await lab.filesystem(recipe);
        const mountpoint = await lab.mount(image);
        await buildTree(mountpoint, everythingTree(everythingFor(recipe)));
        await lab.unmount(mountpoint);
        const archive = lab.path("a.tsfsa");
        await expectStatus(0, ["savefs", "-q", archive, image]);
        const all = ["diff", "--holes", "--atime", "--btime"];
        expect((await expectStatus(0, [...all, archive, image])).stdout.toString()).toBe("");
        const mounted = await lab.mount(image, { options: "ro" });
        expect((await expectStatus(0, [...all, archive, mounted])).stdout.toString()).toBe("");
        expect((await expectStatus(0, [...all, archive, `id=0=${mounted}`])).stdout.toString()).toBe("");
        const again = lab.image("again", recipe.sizeBytes);
        await lab.unmount(mounted);
        // btrfs refuses a second file system with the UUID of one that is attached.
        await expectStatus(0, ["restfs", "-q", archive, `id=0,dest=${again},uuid=new`]);
        expect((await expectStatus(0, ["verify", "-q", "--against", again, archive])).stdout.toString()).toBe("");
        expect((await expectStatus(0, ["diff", "--holes", archive, again])).stdout.toString()).toBe("");
      });
    },
  );
});

function tree(): DirectoryNode {
  const shared = file("shared", { mtime: "1500000000.25" });
  return directory({
    attributes: file("x", {
      xattrs: [
        [bytes("user.k"), bytes("v")],
        [bytes("user.gone"), bytes("v")],
      ],
    }),
    content: file("content"),
    first: shared,
    gone: directory({ below: file("") }),
    kind: file("x"),
    large: file(Buffer.concat([noise(6 * MiB, 1), prose(5 * MiB, 2)])),
    mode: file("x", { mode: 0o4755 }),
    moved: file("m"),
    "owner:": file("x", { uid: 5, gid: 6 }),
    second: link(shared),
    separate: file("s"),
    "small-holes": sparse(3 * MiB, [{ offset: MiB, bytes: noise(4096, 3) }]),
    target: symlink("old"),
    times: directory({}, { mtime: "1400000000.5" }),
    zzz: file("last"),
  });
}

describe("diff", () => {
  it("tells each thing that has changed, in order, and what only one side has", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      expect(await differences(archive, source)).toEqual([]);
      const at = (name: string): string => join(source, name);
      await must(["setfattr", "-n", "user.k", "-v", "other", at("attributes")]);
      await must(["setfattr", "-x", "user.gone", at("attributes")]);
      await must(["setfattr", "-n", "user.new", "-v", "v", at("attributes")]);
      await keepingTimes(at("content"), () => writeFileSync(at("content"), "CONTENT"));
      rmSync(at("gone"), { recursive: true });
      rmSync(at("kind"));
      mkdirSync(at("kind"));
      writeFileSync(join(at("kind"), "inside"), "");
      await keepingTimes(at("large"), () => patch(at("large"), 7 * MiB, "x"));
      await keepingTimes(at("mode"), () => chmodSync(at("mode"), 0o755));
      renameSync(at("moved"), at("moved-away"));
      chownSync(at("owner:"), 6, 6);
      copyFileSync(at("second"), at("second-copy"));
      renameSync(at("second-copy"), at("second"));
      rmSync(at("separate"));
      linkSync(at("first"), at("separate"));
      await keepingTimes(at("small-holes"), () => patch(at("small-holes"), 0, "\0"));
      rmSync(at("target"));
      symlinkSync("new", at("target"));
      utimesSync(at("times"), 0, 1_400_000_000);
      mkdirSync(at("zzzz"));
      writeFileSync(join(at("zzzz"), "below"), "");
      const found = await differences(archive, source);
      expect(found.map((line) => [line["change"], jsonPath(line), fieldsOf(line)])).toEqual([
        ["changed", "", ["mtime"]],
        ["changed", "attributes", ["attribute user.gone", "attribute user.k", "attribute user.new"]],
        ["changed", "content", ["content"]],
        ["removed", "gone", []],
        ["changed", "kind", ["kind"]],
        ["changed", "large", ["content"]],
        ["changed", "mode", ["mode"]],
        ["removed", "moved", []],
        ["added", "moved-away", []],
        ["changed", "owner:", ["owner"]],
        ["changed", "second", ["hardlink"]],
        ["changed", "separate", ["size", "mtime", "hardlink"]],
        ["changed", "target", ["mtime", "target"]],
        ["changed", "times", ["mtime"]],
        ["added", "zzzz", []],
      ]);
      const text = (await expectStatus(1, ["diff", archive, source])).stdout.toString();
      expect(text).toMatch(/^- gone$/m);
      expect(text).toMatch(/^\+ zzzz$/m);
      expect(text).toMatch(/^~ mode: mode 4755 -> 0755$/m);
      expect(text).toMatch(/^~ target: .*target old -> new$/m);
      expect(text).toMatch(/^~ times: mtime 1400000000\.500000000 -> 1400000000\.000000000$/m);
    });
  });

  it("sees holes only when it is asked to", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const mountpoint = await lab.mount(image);
      await buildTree(mountpoint, directory({ holes: sparse(3 * MiB, [{ offset: MiB, bytes: noise(4096, 3) }]) }));
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", archive, mountpoint]);
      await keepingTimes(join(mountpoint, "holes"), () => patch(join(mountpoint, "holes"), 0, "\0"));
      expect(await differences(archive, mountpoint)).toEqual([]);
      const [found] = await differences(archive, mountpoint, "--holes");
      expect(found).toMatchObject({ path: "holes", fields: [{ field: "holes", archived: "1 runs, 4096 bytes" }] });
    });
  });

  it("compares only what is selected", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      for (const name of ["content", "mode", "new.o", "new.c"]) writeFileSync(join(source, name), "other");
      const paths = async (...words: string[]): Promise<string[]> =>
        (await differences(archive, source, ...words)).map(jsonPath);
      expect(await paths("-e", "*.o", "-e", "/mode")).toEqual(["", "content", "new.c"]);
      expect(await paths("--include", "*.c", "--include", "/mode")).toEqual(["mode", "new.c"]);
      expect(await paths("--include", "/zzz")).toEqual([]);
    });
  });

  it("compares each of several sources with its own tree", async () => {
    await withLab(async (lab) => {
      const images = [await lab.filesystem(recipes.ext4), await lab.filesystem(recipes.xfs)];
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savefs", "-q", archive, ...images]);
      for (const [id, image] of images.entries()) await expectStatus(0, ["diff", archive, `id=${id}=${image}`]);
      expect((await expectStatus(64, ["diff", archive, images[0] as string])).stderr).toContain("id=N=");
      expect((await expectStatus(1, ["diff", archive, `id=1=${images[0]}`])).stdout.toString()).toContain("lost+found");
      const restored = lab.folder("restored");
      await expectStatus(0, ["restdir", "-q", archive, restored]);
      await expectStatus(0, ["diff", archive, restored]);
      rmSync(join(restored, "1"), { recursive: true });
      await expectStatus(2, ["diff", archive, restored]);
    });
  });

  it("names what it may not look at, and ends with 1", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      chmodSync(join(source, "gone"), 0);
      chmodSync(join(source, "content"), 0);
      chmodSync(archive, 0o644);
      const result = await tsfsa(["diff", "--json", archive, source], { uid: 1000 });
      expect(result.status).toBe(1);
      const warnings = jsonLines(result.stdout).filter(({ type }) => type === "warning");
      expect(warnings.map((line) => [line["code"], jsonPath(line), line["errno"]])).toEqual(
        expect.arrayContaining([
          ["ENTRY_UNREADABLE", "content", "EACCES"],
          ["ENTRY_UNREADABLE", "gone", "EACCES"],
        ]),
      );
    });
  });

  it("says that an archive is damaged, after it has compared what is whole", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab, ["--block-size", "1MiB"]);
      const whole = readFileSync(archive);
      const first = recordsOf(whole).find(({ type }) => type === 2)?.end ?? 0;
      const copy = lab.path("damaged.tsfsa");
      writeFileSync(copy, flipped(whole, first + 50));
      writeFileSync(join(source, "zzz"), "changed");
      const result = await expectStatus(10, ["diff", copy, source]);
      expect(result.stderr).toContain("block 0");
      expect(result.stdout.toString()).toMatch(/^~ zzz: size 4 -> 7/m);
    });
  });

  it.each([
    [["a.tsfsa", "/nowhere"], 2],
    [["/nowhere", "/"], 7],
    [["a.tsfsa", ""], 64],
    [["a.tsfsa", "-e", "a//b", "/"], 64],
  ] as const)("ends %j with status %i", async (words, status) => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab);
      await expectStatus(status, ["diff", ...words.map((word) => (word === "a.tsfsa" ? archive : word))]);
    });
  });
});

describe("diff of two archives", () => {
  it("tells what changed between two saves, whatever their blocks and codecs", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const same = lab.path("same.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", "-z1", "--block-size", "2MiB", same, source]);
      expect(await differences(archive, same)).toEqual([]);
      await keepingTimes(join(source, "large"), () => patch(join(source, "large"), 100, "other"));
      await keepingTimes(join(source, "content"), () => writeFileSync(join(source, "content"), "CONTENT"));
      rmSync(join(source, "gone"), { recursive: true });
      rmSync(join(source, "first"));
      mkdirSync(join(source, "large-new"));
      writeFileSync(join(source, "large-new/below"), "");
      const later = lab.path("later.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", later, source]);
      const found = (await differences(archive, later)).toSorted((a, b) => (jsonPath(a) < jsonPath(b) ? -1 : 1));
      expect(found.map((line) => [line["change"], jsonPath(line), fieldsOf(line)])).toEqual([
        ["changed", "", ["mtime"]],
        ["changed", "content", ["content"]],
        ["removed", "first", []],
        ["removed", "gone", []],
        ["changed", "large", ["content"]],
        ["added", "large-new", []],
        ["changed", "second", ["hardlink"]],
      ]);
    });
  });

  it("says so where contents can only be compared by size and time", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      const other = lab.path("other.tsfsa");
      await expectStatus(0, ["savedir", "-q", "-A", "--digest", "sha256", other, source]);
      const { stderr } = await expectStatus(0, ["diff", archive, other]);
      expect(stderr).toContain("by size and mtime");
    });
  });
});

describe("verify --quick", () => {
  it("finds a damaged block without decompressing, and names what stands in it", async () => {
    await withLab(async (lab) => {
      const { archive } = await archiveOf(lab, ["--block-size", "1MiB"]);
      await expectStatus(0, ["verify", "--quick", archive]);
      await expectStatus(0, ["verify", "--quick", "-"], { input: readFileSync(archive) });
      const whole = readFileSync(archive);
      const blocks = recordsOf(whole).filter(({ type }) => type === 2);
      const copy = lab.path("damaged.tsfsa");
      const hit = async (block: number): Promise<string> => {
        writeFileSync(copy, flipped(whole, (blocks[block]?.end ?? 0) + 100));
        const quick = await expectStatus(10, ["verify", "--quick", copy]);
        expect(quick.stderr).toContain(`block ${block}`);
        return quick.stderr;
      };
      expect(await hit(0)).toMatch(/^warning: content: /m);
      const inside = await hit(3);
      expect(inside).toMatch(/^warning: large: /m);
      expect(inside).not.toMatch(/^warning: content: /m);
    });
  });
});

describe("verify --against", () => {
  it("verifies, then compares", async () => {
    await withLab(async (lab) => {
      const { archive, source } = await archiveOf(lab);
      await expectStatus(0, ["verify", "--against", source, archive]);
      writeFileSync(join(source, "zzz"), "changed");
      const result = await expectStatus(1, ["verify", "--against", source, archive]);
      expect(result.stdout.toString()).toContain("~ zzz:");
      expect(result.stderr).toContain("no damage found");
      await expectStatus(64, ["verify", "--against", source, "-"]);
    });
  });
});

async function archiveOf(
  lab: Lab,
  words: readonly string[] = [],
): Promise<{ readonly archive: string; readonly source: string }> {
  const source = lab.folder("source");
  await buildTree(source, tree());
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-q", "-A", ...words, archive, source]);
  return { archive, source };
}

async function differences(archive: string, target: string, ...words: string[]): Promise<JsonLine[]> {
  const result = await tsfsa(["diff", "--json", ...words, archive, target]);
  const found = jsonLines(result.stdout).filter(({ type }) => type === "difference");
  expect(result.status, result.stderr).toBe(found.length > 0 ? 1 : 0);
  return found;
}

function fieldsOf(line: JsonLine): string[] {
  const fields = (line["fields"] ?? []) as readonly { readonly field: string; readonly name?: string }[];
  return fields.map(({ field, name }) => (name === undefined ? field : `${field} ${name}`));
}

/** Content changes, the times do not show it. */
async function keepingTimes(path: string, change: () => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tsfsa-times-"));
  const times = join(folder, "times");
  await must(["touch", "-r", path, times]);
  change();
  await must(["touch", "-r", times, path]);
  rmSync(folder, { recursive: true });
}

function patch(path: string, offset: number, text: string): void {
  const fd = openSync(path, "r+");
  writeSync(fd, text, offset, "latin1");
  closeSync(fd);
}
