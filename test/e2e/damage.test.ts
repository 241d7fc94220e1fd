// Damaged archives: any flipped byte and any cut is detected, damage stays local, and nothing hangs.

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines, jsonPath, tsfsa } from "../support/cli.ts";
import { type Lab, withLab } from "../support/images.ts";
import { compareTrees } from "../support/judges.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { buildTree, directory, file, noise, prose, symlink } from "../support/trees.ts";

requireOrSkip("root");

const onTmpfs = ["flags", "project", "unwritten", "holes", "atime"] as const;

describe("a damaged archive", () => {
  it.each([
    ["-z3", 24],
    ["-z1", 10],
    ["-z0", 10],
  ] as const)("is found out by verify and never restored as if it were whole (%s)", async (level, count) => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, smallTree());
      const archive = readFileSync(await saved(lab, source, [level]));
      for (const offset of samples(archive, count)) {
        const damaged = lab.path(`flip-${offset}.tsfsa`);
        writeFileSync(damaged, flipped(archive, offset, 1 << (offset % 8)));
        const verified = await tsfsa(["verify", "-j1", damaged], { timeoutMs: 20_000 });
        expect(isRefusal(verified.status), `verify with byte ${offset} flipped: ${verified.status}`).toBe(true);
        await expectHonestRestore(lab, source, damaged, `byte ${offset} flipped`);
      }
    });
  });

  it("is found out by verify and by restdir wherever it is cut", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, smallTree());
      const archive = readFileSync(await saved(lab, source, []));
      const cuts = [0, 17, archive.length - 1, archive.length - 64, archive.length - 128];
      for (let part = 1; part < 5; part++) cuts.push(Math.floor((archive.length * part) / 5));
      for (const cut of cuts) {
        const damaged = lab.path(`cut-${cut}.tsfsa`);
        writeFileSync(damaged, archive.subarray(0, cut));
        const verified = await tsfsa(["verify", "-j1", damaged], { timeoutMs: 20_000 });
        expect([8, 10], `verify of the first ${cut} bytes`).toContain(verified.status);
        const restored = lab.folder("restored");
        const result = await tsfsa(["restdir", "-j1", damaged, restored], { timeoutMs: 20_000 });
        expect([8, 10], `restdir of the first ${cut} bytes: ${result.stderr}`).toContain(result.status);
        const piped = await tsfsa(["verify", "-"], { input: archive.subarray(0, cut), timeoutMs: 20_000 });
        expect([8, 10], `verify - of the first ${cut} bytes`).toContain(piped.status);
      }
    });
  });

  it("restores all but the files of the one damaged block, and verify names them", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeFiles(source);
      const archive = await saved(lab, source, ["--block-size", "1MiB"]);
      const bytes = readFileSync(archive);
      const blocks = recordsOf(bytes).filter(({ type }) => type === 2);
      expect(blocks.length).toBeGreaterThan(6);
      const victim = blocks[3] as (typeof blocks)[number];
      writeFileSync(archive, flipped(bytes, victim.end + 5000));

      const verified = await expectStatus(10, ["verify", "--json", archive]);
      const named = jsonLines(verified.stdout)
        .filter(({ type }) => type === "warning")
        .map(jsonPath)
        .filter((path) => path !== "");
      expect(named.length).toBeGreaterThan(0);

      for (const input of ["file", "pipe"] as const) {
        const restored = lab.folder("restored");
        const words = ["restdir", input === "file" ? archive : "-", restored];
        await expectStatus(10, words, input === "pipe" ? { input: readFileSync(archive) } : {});
        const present = new Set(readdirSync(restored));
        const wrong = readdirSync(source).filter(
          (name) => !present.has(name) || !readFileSync(join(restored, name)).equals(readFileSync(join(source, name))),
        );
        expect(wrong.length).toBeGreaterThan(0);
        expect(named, `from a ${input}`).toEqual(expect.arrayContaining(wrong));
        expect(wrong.length).toBeLessThan(readdirSync(source).length / 3);
      }
    });
  });

  it("counts each damaged block of a large file once", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      await buildTree(source, directory({ a: file("a"), large: file(noise(6 * 1024 * 1024, 1)), z: file("z") }));
      const archive = await saved(lab, source, ["--block-size", "1MiB"]);
      const bytes = readFileSync(archive);
      const ends = recordsOf(bytes).flatMap(({ type, end }) => (type === 2 ? [end] : []));
      expect(ends.length).toBeGreaterThan(6);
      const first = ends.findIndex((_, number) => number > 0); // the file begins in a block of its own
      for (const numbers of [[first], [first + 2], [first + 1, first + 3], [first, first + 2]]) {
        const damaged = numbers.reduce<Buffer>(
          (result, number) => flipped(result, (ends[number] as number) + 5000),
          bytes,
        );
        writeFileSync(archive, damaged);
        const said = `${numbers.length} damaged or missing ${numbers.length === 1 ? "block" : "blocks"};`;
        const restored = lab.folder("restored");
        for (const words of [
          ["verify", archive],
          ["verify", "--quick", archive],
          ["restdir", archive, restored],
        ]) {
          expect((await expectStatus(10, words)).stderr, `${words[0]}, blocks ${numbers.join()}`).toContain(said);
        }
        expect(readFileSync(join(restored, "z"), "utf8")).toBe("z");
      }
    });
  });

  it("restores up to the cut, and from the catalog when only the end is lost", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeFiles(source);
      const archive = await saved(lab, source, ["--block-size", "1MiB"]);
      const bytes = readFileSync(archive);
      writeFileSync(archive, bytes.subarray(0, bytes.length - 300));
      const whole = lab.folder("whole");
      await expectStatus(10, ["restdir", archive, whole]);
      expect(await compareTrees(source, whole, { ignore: onTmpfs })).toEqual([]);

      writeFileSync(archive, bytes.subarray(0, bytes.length >> 1));
      const half = lab.folder("half");
      await expectStatus(10, ["restdir", archive, half]);
      const names = readdirSync(half);
      expect(names.length).toBeGreaterThan(readdirSync(source).length / 4);
      const right = names.filter((name) => readFileSync(join(half, name)).equals(readFileSync(join(source, name))));
      expect(right.length).toBeGreaterThanOrEqual(names.length - 1);
    });
  });

  it("survives lost, doubled and swapped blocks with an honest status", async () => {
    await withLab(async (lab) => {
      const source = lab.folder("source");
      makeFiles(source);
      const bytes = readFileSync(await saved(lab, source, ["--block-size", "1MiB"]));
      const records = recordsOf(bytes);
      const blocks = records.filter(({ type }) => type === 2);
      const extent = (index: number): Buffer => {
        const start = blocks[index]?.offset ?? 0;
        return bytes.subarray(start, records.find(({ offset }) => offset > start)?.offset);
      };
      const [second, third, fourth] = [extent(1), extent(2), extent(3)];
      const at = blocks[1]?.offset ?? 0;
      const head = bytes.subarray(0, at);
      const rest = bytes.subarray(at + second.length + third.length);
      const variants = {
        lost: [head, third, rest],
        doubled: [head, second, second, third, rest],
        swapped: [head, third, second, rest],
      };
      expect(fourth.length).toBeGreaterThan(0);
      for (const [what, parts] of Object.entries(variants)) {
        const damaged = lab.path(`${what}.tsfsa`);
        writeFileSync(damaged, Buffer.concat(parts));
        await expectStatus(10, ["verify", damaged]);
        await expectHonestRestore(lab, source, damaged, what);
        await expectStatus(10, ["verify", "-"], { input: Buffer.concat(parts) });
      }
    });
  });
});

/** Restores; the status is an error and nobody hung, or the tree is as it was. */
async function expectHonestRestore(lab: Lab, source: string, archive: string, what: string): Promise<void> {
  const restored = lab.folder("restored");
  const result = await tsfsa(["restdir", "-j1", archive, restored], { timeoutMs: 20_000 });
  if (isRefusal(result.status) || result.status === 1) return;
  expect(result.status, `restdir with ${what}: ${result.stderr}`).toBe(0);
  expect(await compareTrees(source, restored, { ignore: onTmpfs }), `restored with ${what}`).toEqual([]);
}

/** Statuses of docs/ERRORS.md that damage may lead to; not a crash, not a kill. */
function isRefusal(status: number): boolean {
  return [8, 9, 10, 11].includes(status);
}

/** Places all over the archive: alternately one in a record (header, payload) and one anywhere. */
function samples(archive: Buffer, count: number): number[] {
  const records = recordsOf(archive);
  const inHeader = [1, 6, 17, 24, 44, 50, 60];
  const offsets = Array.from({ length: count }, (_, index) => {
    const { offset, length } = records[(index * 5) % records.length] as (typeof records)[number];
    if (index % 4 === 0) return offset + (inHeader[(index / 4) % inHeader.length] ?? 0);
    if (index % 4 === 2) return offset + 64 + ((length - 64) >> 1);
    return Math.floor((archive.length * (index + 0.5)) / count);
  });
  return [...new Set(offsets)];
}

function smallTree(): ReturnType<typeof directory> {
  return directory({
    "a-text": file(prose(20_000, 1), { mtime: "1500000000.5" }),
    "b-noise": file(noise(3000, 2)),
    folder: directory({ inner: file("inner"), link: symlink("inner") }),
  });
}

/** 8 MiB in 40 files that do not compress: some of them cross blocks. */
function makeFiles(source: string): void {
  mkdirSync(source, { recursive: true });
  for (let index = 0; index < 40; index++) {
    writeFileSync(
      join(source, `file-${String(index).padStart(2, "0")}`),
      noise(100_000 + ((index * 7919) % 200_000), index + 1),
    );
  }
}

async function saved(lab: Lab, source: string, words: readonly string[]): Promise<string> {
  const archive = lab.path("a.tsfsa");
  await expectStatus(0, ["savedir", "-A", ...words, archive, source]);
  return archive;
}
