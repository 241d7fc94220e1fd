// Blocks of which the main thread decodes directories only are restored as those whose rows it decodes all.

import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { Tree } from "../../src/restore/tree.ts";
import {
  directory,
  file,
  forge,
  type ForgedBlock,
  type ForgedEntry,
  hardlink,
  root,
  symlink,
} from "../support/forge.ts";
import { withLab } from "../support/images.ts";
import { inlineRestore } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root");

/** Selects everything, entry by entry. */
const eachEntry = { empty: false, selects: () => true, mayHold: () => true };

const step = fc.record({
  /** How far up it stands from the directory of the entry before. */
  up: fc.nat(2),
  kind: fc.oneof(
    { weight: 16, arbitrary: fc.constantFrom("file", "file", "file", "directory", "symlink") },
    { weight: 1, arbitrary: fc.constantFrom("fifo", "linked", "damaged") },
  ),
  mode: fc.nat(0o7777),
  uid: fc.constantFrom(0, 0, 1000),
  seconds: fc.nat(2 ** 31),
  hasAttribute: fc.nat(29).map((value) => value === 0),
  endsBlock: fc.nat(3).map((value) => value === 0),
});
const manySteps = fc.array(step, { maxLength: 40, size: "max" });
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** The entries in blocks, the root in a block of its own. */
function blocksOf(steps: readonly Step[]): ForgedBlock[] {
  const blocks: ForgedEntry[][] = [[root], []];
  let deepest = 1;
  for (const [index, { up, kind, mode, uid, seconds, hasAttribute, endsBlock }] of steps.entries()) {
    const depth = Math.max(1, deepest - up);
    const name = `e${String(index).padStart(4, "0")}`;
    const fields = { uid, mtime: { seconds, nanoseconds: index } };
    const attributes = hasAttribute ? [{ name: utf8("user.a"), value: utf8("b") }] : [];
    const row = { ...fields, linked: kind === "linked", damaged: kind === "damaged" };
    const more = { mode, member: { ...fields, attributes }, row };
    const link = { member: fields, row: fields };
    deepest = kind === "directory" ? depth + 1 : depth;
    if (kind === "directory") blocks.at(-1)?.push(directory(depth, name, more));
    else if (kind === "symlink") blocks.at(-1)?.push(symlink(depth, name, "target", link));
    else if (kind === "fifo") blocks.at(-1)?.push({ kind: EntryKind.fifo, depth, name, ...more });
    else blocks.at(-1)?.push(file(depth, name, `content of ${name}`, more));
    if (endsBlock && blocks.at(-1)?.length !== 0) blocks.push([]);
  }
  return blocks.filter((entries) => entries.length > 0).map((entries) => ({ entries }));
}

function describeTree(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((name) => {
      const path = join(folder, name);
      const stat = lstatSync(path, { bigint: true });
      const content = stat.isFile() ? readFileSync(path, "utf8") : stat.isSymbolicLink() ? readlinkSync(path) : "";
      return [name, stat.mode, stat.uid, stat.gid, stat.nlink, stat.mtimeNs, content].join(" ");
    })
    .concat(execFileSync("getfattr", ["-hRd", "-m", "user", "."], { cwd: folder }).toString());
}

afterEach(() => vi.restoreAllMocks());

describe("a restore of everything", () => {
  it("makes and tells what a restore entry by entry makes and tells", async () => {
    const pass = vi.spyOn(Tree.prototype, "pass");
    await withLab(async (lab) => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(manySteps, fc.subarray([0, 1, 2, 3]), async (steps, present) => {
          const folder = lab.path(`run${runs++}`);
          mkdirSync(folder);
          const archive = join(folder, "a.tsfsa");
          writeFileSync(archive, await forge({ groups: [{ blocks: blocksOf(steps) }] }));
          const restore = async (name: string, more: Parameters<typeof inlineRestore>[2]) => {
            const destination = join(folder, name);
            mkdirSync(destination);
            for (const index of present) {
              const path = join(destination, `e000${index}`);
              if (index % 2 === 0) mkdirSync(path, { mode: 0o2777 });
              else writeFileSync(path, "was there");
              utimesSync(path, 1, 1);
            }
            const { status, warnings } = await inlineRestore(archive, destination, more);
            const told = warnings.map(({ path, ...rest }) => ({ path: Buffer.from(path).toString("latin1"), ...rest }));
            return { status, told, tree: describeTree(destination) };
          };
          expect(await restore("whole", {})).toEqual(await restore("each", { selection: eachEntry }));
        }),
        { numRuns: draws(60) },
      );
    });
    const passed = pass.mock.results.filter(({ value }) => value !== undefined);
    // The roots', and some 200 more.
    expect(passed.length).toBeGreaterThan(100);
  });

  it("links to files of blocks before and after such blocks", async () => {
    await withLab(async (lab) => {
      const linked = file(1, "a", "text", { row: { linked: true } });
      const groups = [
        {
          blocks: [
            { entries: [root, linked] },
            { entries: [directory(1, "b"), file(2, "c", "plain")] },
            { entries: [hardlink(2, "d", "./a", 1), file(1, "e", "more")] },
          ],
        },
      ];
      const archive = lab.path("a.tsfsa");
      writeFileSync(archive, await forge({ groups }));
      const destination = lab.folder();
      expect((await inlineRestore(archive, destination)).status).toBe(0);
      expect(lstatSync(join(destination, "a")).ino).toBe(lstatSync(join(destination, "b/d")).ino);
      expect(readFileSync(join(destination, "b/c"), "utf8")).toBe("plain");
    });
  });
});
