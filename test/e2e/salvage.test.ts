// salvage as a user runs it: real archives of real trees, damaged; the judges are those of the other tests.

import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EntryPaths } from "../../src/archive/entry-paths.ts";
import { ArchiveReader } from "../../src/archive/reader.ts";
import { decodeBlockRows } from "../../src/format/segmentDecoder.ts";
import { expectStatus, jsonLines, jsonPath, tsfsa } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { differences, treeState } from "../support/tree-state.ts";
import { makeSourceTree, noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

const onTmpfs = ["flags", "project", "unwritten", "holes", "atime"] as const;
const record = { head: 1, block: 2, segment: 3, table: 4, footer: 6 } as const;

describe("salvage", () => {
  it.each([["-z3"], ["-z1"], ["-z0"]])("gives back every file that is not in the damaged block (%s)", async (level) => {
    await withLab(async (lab) => {
      const { source, archive, bytes } = await makeArchive(lab, [level, "--block-size", "1MiB"]);
      const blocks = recordsOf(bytes).filter(({ type }) => type === record.block);
      const victim = blocks[3] as (typeof blocks)[number];
      writeFileSync(archive, flipped(bytes, victim.end + 5000));
      const to = lab.path("to");
      const { stdout } = await expectStatus(1, ["salvage", "--json", "--to", to, archive]);
      const lines = jsonLines(stdout);
      const named = lines.filter(({ code }) => code === "ENTRY_DAMAGED").map(jsonPath);
      expect(lines.at(-1)).toMatchObject({
        command: "salvage",
        status: 1,
        damagedBlocks: [3],
        lostEntries: named.length,
      });
      const { missing, wrong } = compareFiles(source, to);
      expect(wrong).toEqual([]);
      expect(missing.length).toBeGreaterThan(0);
      expect(missing.length).toBeLessThan(readdirSync(source).length / 3);
      expect(named.toSorted()).toEqual(missing);

      // A new archive of the rest: whole for us and for stock tools.
      const out = lab.path("out.tsfsa");
      await expectStatus(1, ["salvage", "-j2", "--out", out, archive]);
      await expectStatus(0, ["verify", out]);
      await expectStatus(6, ["salvage", "--out", out, archive]);
      const again = lab.path("again");
      await expectStatus(0, ["restdir", out, again]);
      expect(await compareTrees(to, again, { ignore: onTmpfs })).toEqual([]);
      const stock = lab.folder("stock");
      const decoder = level === "-z1" ? "lz4" : "zstd";
      const plain = lab.path("plain.tar");
      await must([decoder, "-dqf", out, ...(decoder === "lz4" ? [plain] : ["-o", plain])]);
      await must(["tar", "-xpf", plain, "-C", stock]);
      expect(compareFiles(to, stock)).toEqual({ missing: [], wrong: [] });
    });
  });

  it("loses nothing with both heads, the catalogs and the end, and no more than a cut", async () => {
    await withLab(async (lab) => {
      const at = namesIn(lab);
      const { source, archive, bytes } = await makeArchive(lab, ["--block-size", "1MiB"]);
      const records = recordsOf(bytes);
      const zeroed = Buffer.from(bytes);
      for (const { type, offset, end } of records) if (type !== record.block) zeroed.fill(0, offset, end);
      writeFileSync(archive, zeroed);
      await expectStatus(10, ["restdir", archive, at("refused")]);
      await expectStatus(1, ["salvage", "--to", at("to"), archive]);
      expect(await compareTrees(source, at("to"), { ignore: onTmpfs })).toEqual([]);

      writeFileSync(archive, bytes.subarray(0, bytes.length >> 1));
      await expectStatus(1, ["salvage", "--to", at("half"), archive]);
      const { missing, wrong } = compareFiles(source, at("half"));
      expect(wrong).toEqual([]);
      expect(missing.length).toBeLessThan(readdirSync(source).length * 0.6);
    });
  });

  // They were left out, with status 0: a file longer than a block was taken for one that goes on in other blocks.
  it("takes files over whose holes make them longer than a block, and small images", async () => {
    await withLab(async (lab) => {
      const at = namesIn(lab);
      mkdirSync(at("source"));
      for (const [name, content] of [
        ["a-data", "a"],
        ["b-hole", ""],
        ["c-data", noise(70_000, 1)],
      ] as const) {
        writeFileSync(join(at("source"), name), content);
        truncateSync(join(at("source"), name), 40 << 20);
      }
      linkSync(join(at("source"), "a-data"), join(at("source"), "z-link"));
      await expectStatus(0, ["savedir", "-A", "-q", at("files"), at("source")]);
      await expectStatus(0, ["saveimg", "-q", at("image"), join(at("source"), "c-data")]);
      for (const archive of ["files", "image"]) {
        await expectStatus(0, ["salvage", "--out", at(`${archive}-again`), at(archive)]);
        await expectStatus(0, ["verify", at(`${archive}-again`)]);
        await expectStatus(0, ["diff", at(archive), at(`${archive}-again`)]);
      }
      await expectStatus(0, ["restdir", at("files-again"), at("to")]);
      expect(await compareTrees(at("source"), at("to"), { ignore: onTmpfs })).toEqual([]);
    });
  });

  it("restores several sources, each to its place, without the head that tells of them", async () => {
    await withLab(async (lab) => {
      const at = namesIn(lab);
      for (const name of ["one", "two"]) {
        mkdirSync(at(name));
        for (let i = 0; i < 9; i++) writeFileSync(join(at(name), `file-${i}`), noise(200_000, i + name.length));
      }
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", "-q", "--block-size", "1MiB", archive, at("one"), at("two")]);
      const whole = lab.folder("whole");
      await expectStatus(0, ["restdir", archive, whole]);
      const bytes = readFileSync(archive);
      for (const { type, offset, end } of recordsOf(bytes)) {
        if (type === record.head) bytes.fill(0, offset, end);
      }
      writeFileSync(archive, bytes);
      await expectStatus(1, ["salvage", "--to", at("to"), archive]);
      // What stands above the sources is not in the archive.
      const expectBoth = async (found: string): Promise<void> => {
        for (const name of ["one", "two"]) {
          const [left, right] = [join(whole, at(name)), join(found, at(name))];
          expect(await compareTrees(left, right, { ignore: onTmpfs })).toEqual([]);
        }
      };
      await expectBoth(at("to"));
      await expectStatus(1, ["salvage", "--out", at("out"), archive]);
      await expectStatus(0, ["verify", at("out")]);
      await expectStatus(0, ["restdir", at("out"), at("again")]);
      await expectBoth(at("again"));
    });
  });

  it("keeps what is left of a large file under a marked name when asked, and nothing of it otherwise", async () => {
    await withLab(async (lab) => {
      const at = namesIn(lab);
      const source = lab.folder("source");
      const content = noise(6_000_000, 5);
      writeFileSync(join(source, "large"), content);
      const archive = lab.path("a.tsfsa");
      await expectStatus(0, ["savedir", "-A", "--block-size", "1MiB", archive, source]);
      const bytes = readFileSync(archive);
      const blocks = recordsOf(bytes).filter(({ type }) => type === record.block);
      const victim = blocks[2] as (typeof blocks)[number];
      writeFileSync(archive, flipped(bytes, victim.end + 5000));
      const plain = await expectStatus(1, ["salvage", "--to", at("plain"), archive]);
      expect(plain.stderr).toMatch(/large: /);
      expect(readdirSync(at("plain"))).toEqual([]);
      const kept = await expectStatus(1, ["salvage", "--keep-damaged", "--to", at("kept"), archive]);
      expect(kept.stderr).toMatch(/kept as large\.tsfsa-damaged/);
      const found = readFileSync(join(at("kept"), "large.tsfsa-damaged"));
      expect(found.length).toBe(content.length);
      const differing = found.reduce((count, byte, i) => count + (byte === content[i] ? 0 : 1), 0);
      expect(differing).toBeGreaterThan(0);
      expect(differing).toBeLessThanOrEqual(1 << 20);
    });
  });

  it("tells of a whole archive that nothing is damaged, and refuses what it cannot use", async () => {
    await withLab(async (lab) => {
      const at = namesIn(lab);
      const { source, archive } = await makeArchive(lab, []);
      const { stderr } = await expectStatus(0, ["salvage", "--to", at("to"), archive]);
      expect(stderr).toMatch(/no damage found/);
      expect(await compareTrees(source, at("to"), { ignore: onTmpfs })).toEqual([]);
      await expectStatus(64, ["salvage", archive]);
      await expectStatus(64, ["salvage", "--to", at("x"), "--out", at("y"), archive]);
      await expectStatus(64, ["salvage", "--keep-damaged", "--out", at("y"), archive]);
      await expectStatus(64, ["salvage", "--to", at("x"), "-"]);
      await expectStatus(7, ["salvage", "--to", at("x"), at("missing")]);
      const foreign = at("foreign");
      copyFileSync("/bin/ls", foreign);
      expect((await tsfsa(["salvage", "--to", at("x"), foreign])).status).toBe(8);
    });
  });
});

describe("salvage of the archive of a file system", () => {
  it.each([recipes.ext4, recipes.xfs, recipes.btrfs])(
    "loses at most the files of one block to a bad sector anywhere ($name)",
    async (recipe) => {
      await withLab(async (lab) => {
        const at = namesIn(lab);
        const source = await lab.mount(await lab.filesystem(recipe));
        makeSourceTree(source, 1200);
        await must(["setfattr", "-n", "trusted.note", "-v", "kept", join(source, "dir-4")]);
        symlinkSync("../nowhere", join(source, "link"));
        await must(["mkfifo", "-m", "622", join(source, "pipe")]);
        const archive = at("a.tsfsa");
        await expectStatus(0, ["savefs", "-q", "--allow-rw", "-z0", "--block-size", "1MiB", archive, source]);
        const bytes = readFileSync(archive);
        const expected = treeState(source);
        const blocks = await blocksOf(archive);
        const records = recordsOf(bytes);
        expect(records.filter(({ type }) => type === record.segment).length).toBeGreaterThan(1);
        expect([...blocks.keys()].toSorted()).toEqual([...expected.keys()].toSorted());

        // A sector of each record but most blocks, and of the frames of some. One may touch the end of a frame and the record behind it.
        const sectorBytes = 4096;
        let lost = 0;
        const parts = records.map((found, i) => ({ ...found, frameEnd: records[i + 1]?.offset ?? bytes.length }));
        const ofBlocks = parts.filter(({ type }) => type === record.block);
        const tried = parts.filter((part) => part.type !== record.block || ofBlocks.indexOf(part) % 9 === 1);
        for (const { type, offset } of tried) {
          for (const place of type === record.block ? [offset, offset + 200_000] : [offset]) {
            const start = place - (place % sectorBytes);
            const isHit = (part: (typeof parts)[number]): boolean =>
              part.end < start + sectorBytes && part.frameEnd > start;
            const touched = ofBlocks.flatMap((part, number) => (isHit(part) ? [number] : []));
            expect(touched.length, `sector at ${start}`).toBeLessThanOrEqual(1);
            writeFileSync(
              at("damaged"),
              Buffer.from(bytes).fill(0, start, Math.min(start + sectorBytes, bytes.length)),
            );
            rmSync(at("to"), { recursive: true, force: true });
            const { status, stderr } = await tsfsa(["salvage", "-q", "--to", at("to"), at("damaged")]);
            expect([0, 1], stderr).toContain(status);
            const found = treeState(at("to"));
            const hit = differences(expected, found).filter((path) => path !== "");
            const others = hit.filter((path) => !touched.includes(blocks.get(path) ?? -1));
            expect(others, `sector at ${start}`).toEqual([]);
            lost += hit.length;
          }
        }
        expect(lost).toBeGreaterThan(3);
      });
    },
    600_000,
  );
});

/** Which block each entry stands in, by path (latin1). */
async function blocksOf(archive: string): Promise<Map<string, number>> {
  const reader = await ArchiveReader.open(archive);
  const blocks = new Map<string, number>();
  const paths = new EntryPaths(1);
  try {
    for await (const group of reader.groups(true)) {
      paths.enter(group);
      for (const [i, outline] of (group.catalog?.blocks ?? []).entries()) {
        const number = (group.catalog?.header.firstBlock ?? 0) + i;
        for (const row of decodeBlockRows(outline, reader.digest.length)) {
          blocks.set(Buffer.from(paths.next(row)).toString("latin1"), number);
        }
      }
    }
  } finally {
    await reader.close();
  }
  return blocks;
}

/** 8 MiB in 40 files that do not compress. */
async function makeArchive(
  lab: Lab,
  words: readonly string[],
): Promise<{ source: string; archive: string; bytes: Buffer }> {
  const source = lab.folder("source");
  for (let i = 0; i < 40; i++) {
    writeFileSync(join(source, `file-${String(i).padStart(2, "0")}`), noise(100_000 + ((i * 7919) % 200_000), i + 1));
  }
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-A", "-q", ...words, archive, source]);
  return { source, archive, bytes: readFileSync(archive) };
}

/** Files that are not there, and those that are there with other content. */
function compareFiles(source: string, found: string): { readonly missing: string[]; readonly wrong: string[] } {
  const names = readdirSync(source).toSorted();
  const there = new Set(readdirSync(found));
  const differs = (name: string): boolean => !readFileSync(join(found, name)).equals(readFileSync(join(source, name)));
  return {
    missing: names.filter((name) => !there.has(name)),
    wrong: names.filter((name) => there.has(name) && differs(name)),
  };
}

/** The same path for the same name. */
function namesIn(lab: Lab): (name: string) => string {
  const paths = new Map<string, string>();
  return (name) => {
    const path = paths.get(name) ?? lab.path(name);
    paths.set(name, path);
    return path;
  };
}
