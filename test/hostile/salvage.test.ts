// salvage on an archive taken apart in every way: what stands in whole blocks comes back byte for byte, whatever else is lost, both below a directory and
// through a new archive, which must be whole. TSFSA_TEST_DAMAGE=all: a bad sector at every place.

import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { encodeRecord, type RecordType } from "../../src/format/record.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, forge, hardlink, root } from "../support/forge.ts";
import { inlineRestore, type InlineResult, inlineSalvage, inlineVerify } from "../support/inline.ts";
import { recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { differences, treeState } from "../support/tree-state.ts";
import { noise } from "../support/trees.ts";
import { isExhaustive } from "./damage.ts";
import { groupsOf, isOf, type Part, partsOf } from "./parts.ts";

requireOrSkip("root");

const record = { head: 1, block: 2, segment: 3, table: 4, summary: 5, footer: 6 } as const;

interface Salvaged {
  readonly result: InlineResult;
  /** Paths that are there and not as they were, but for the root; and paths that are not there. */
  readonly wrong: readonly string[];
  readonly missing: readonly string[];
}

let dir: string;
let archive: Buffer;
let parts: Part[];
let expected: ReadonlyMap<string, string>;

beforeAll(async () => {
  dir = mkdtempSync("/dev/shm/tsfsa-salvage-");
  archive = await forge({ groups: await groupsOf("") });
  parts = partsOf(archive);
  writeFileSync(path("whole"), archive);
  expect((await inlineRestore(path("whole"), path("source"))).status).toBe(0);
  expected = treeState(path("source"), false);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of ["to", "again"]) rmSync(path(name), { recursive: true, force: true });
});

function path(name: string): string {
  return join(dir, name);
}

/** Salvages the bytes both ways; the new archive must verify, and restore to the same tree. */
async function salvaged(bytes: Uint8Array, what: string): Promise<Salvaged> {
  for (const name of ["to", "again", "out"]) rmSync(path(name), { recursive: true, force: true });
  writeFileSync(path("damaged"), bytes);
  const result = await inlineSalvage(path("damaged"), { directory: path("to") });
  expect([0, 1], `${what}: ${result.error?.message}`).toContain(result.status);
  const found = treeState(path("to"), false);
  const rewritten = await inlineSalvage(path("damaged"), { archive: path("out") });
  expect(rewritten.status, `--out, ${what}: ${rewritten.error?.message}`).toBe(result.status);
  const verified = await inlineVerify(path("out"));
  const said = [verified.error?.message, ...verified.warnings.map(({ message }) => message)].join("\n");
  expect(verified.status, `verify of the new archive, ${what}: ${said}`).toBe(0);
  expect((await inlineRestore(path("out"), path("again"))).status, what).toBe(0);
  // Nobody knows the times of directories whose blocks are lost.
  const files = (state: ReadonlyMap<string, string>): Map<string, string> =>
    new Map([...state].filter(([, each]) => !each.startsWith("40")));
  expect(differences(files(found), files(treeState(path("again"), false))), `the new archive, ${what}`).toEqual([]);
  const missing = [...expected.keys()].filter((each) => !found.has(each));
  const wrong = differences(expected, found).filter((each) => found.has(each) && each !== "");
  return { result, missing, wrong };
}

/** Everything but what stands in these parts comes back as it was. */
async function expectOthers(bytes: Uint8Array, hit: readonly Part[], what: string): Promise<Salvaged> {
  const judged = await salvaged(bytes, what);
  const isHit = (each: string): boolean => hit.some((part) => part.type === record.block && isOf(part, each));
  expect(
    judged.missing.filter((each) => !isHit(each)),
    `missing, ${what}`,
  ).toEqual([]);
  expect(
    judged.wrong.filter((each) => !isHit(each)),
    `wrong, ${what}`,
  ).toEqual([]);
  return judged;
}

function bytesOf(part: Part): Buffer {
  return archive.subarray(part.start, part.end);
}

function preamble(): Buffer {
  return archive.subarray(0, parts[0]?.start);
}

/** The archive without the parts that fit. */
function without(isLost: (part: Part) => boolean): Buffer {
  return Buffer.concat([preamble(), ...parts.filter((part) => !isLost(part)).map(bytesOf)]);
}

// A quiet machine needs a second or two for each.
const timeout = isExhaustive ? 3_600_000 : 300_000;

describe("salvage", { timeout }, () => {
  it("takes all of a whole archive, with status 0", async () => {
    const { result } = await expectOthers(archive, [], "whole");
    expect([result.status, result.warnings]).toEqual([0, []]);
  });

  it("loses what stands in a part that is gone, and names it where the catalog is left", async () => {
    for (const part of parts) {
      const { result, missing } = await expectOthers(
        without((each) => each === part),
        [part],
        `without ${part.type} at ${part.start}`,
      );
      if (part.type === record.block && part.names.length > 0) {
        expect(result.status).toBe(1);
        for (const name of missing) expect(result.named, `${name} at ${part.start}`).toContain(name);
        expect(missing.length).toBeGreaterThan(0);
      }
    }
  });

  it("loses what stands in two blocks that are gone with the catalog between them", async () => {
    for (const [index, segment] of parts.entries()) {
      if (segment.type !== record.segment) continue;
      const hit = parts.slice(index - 1, index + 3);
      await expectOthers(
        without((part) => hit.includes(part)),
        hit,
        `without all around ${segment.start}`,
      );
    }
  });

  it("loses at most the files of the blocks that a bad sector touches", async () => {
    const stride = isExhaustive ? 512 : 3072;
    for (let start = 0; start < archive.length; start += stride) {
      const end = Math.min(start + 4096, archive.length);
      const hit = parts.filter((part) => part.start < end && part.end > start);
      await expectOthers(Buffer.from(archive).fill(0, start, end), hit, `zeros from ${start}`);
    }
  });

  it("takes what stands before a cut, wherever that is", async () => {
    for (const [index, { start }] of parts.entries()) {
      for (const cut of isExhaustive ? [start, start + 40, start + 200] : [start + (index % 2) * 200]) {
        if (index < 2) continue; // no block is left
        const hit = parts.filter((part) => part.end > cut);
        await expectOthers(archive.subarray(0, cut), hit, `cut to ${cut}`);
      }
    }
  });

  it("puts parts in order again, and takes each once", async () => {
    const shuffled = parts.map((part, i) => [(i * 7) % parts.length, part] as const).toSorted(([a], [b]) => a - b);
    const orders: readonly [what: string, order: readonly Part[]][] = [
      ["backwards", parts.toReversed()],
      ["shuffled", shuffled.map(([, part]) => part)],
      ["each twice", parts.flatMap((part) => [part, part])],
      ["backwards and forwards", [...parts.toReversed(), ...parts]],
    ];
    for (const [what, order] of orders) {
      await expectOthers(Buffer.concat([preamble(), ...order.map(bytesOf)]), [], what);
    }
  });

  it("does without heads, catalogs and the end", async () => {
    const is =
      (...types: readonly number[]) =>
      (part: Part): boolean =>
        types.includes(part.type);
    const all = [record.table, record.summary, record.footer];
    await expectOthers(without(is(record.head)), [], "without heads");
    await expectOthers(without(is(...all)), [], "without the end");
    await expectOthers(without(is(record.segment)), [], "without catalogs");
    await expectOthers(without(is(record.head, record.segment, ...all)), [], "with blocks alone");
    await expectOthers(
      without(is(record.head, record.segment, ...all)).subarray(3),
      [],
      "with blocks alone, cut in front",
    );
  });

  it("finds records wherever other bytes have moved them", async () => {
    for (const [index, part] of parts.entries()) {
      if (!isExhaustive && index % 3 !== 0) continue;
      const rubbish = Buffer.alloc(1 + ((index * 97) % 700), 0x8f);
      const grown = Buffer.concat([archive.subarray(0, part.start), rubbish, archive.subarray(part.start)]);
      await expectOthers(grown, [], `with other bytes at ${part.start}`);
    }
  });

  it("never takes an archive in the archive for it, nor what follows it", async () => {
    const inner = await forge({ groups: await groupsOf("x"), head: { archiveId: "ffeeddccbbaa99887766554433221100" } });
    await expectOthers(Buffer.concat([archive, inner]), [], "followed by another archive");
    const outer = await forge({
      groups: [{ blocks: [{ entries: [root, file(1, "archive", inner)] }, { entries: [file(1, "b", "b")] }] }],
      head: { level: 0 },
    });
    const [headRecord] = partsOf(outer);
    const headless = Buffer.from(outer).fill(0, 0, headRecord?.end);
    for (const bytes of [outer, headless]) {
      writeFileSync(path("damaged"), bytes);
      rmSync(path("to"), { recursive: true, force: true });
      await inlineSalvage(path("damaged"), { directory: path("to") });
      expect(readFileSync(join(path("to"), "archive")).equals(inner)).toBe(true);
      expect(readdirSync(path("to"))).toEqual(["archive", "b"]);
    }
  });

  it("takes no damaged block for a whole one that has its number", async () => {
    const block = parts.find(({ type, names }) => type === record.block && names.includes("d2a")) as Part;
    const damaged = Buffer.from(bytesOf(block));
    damaged[damaged.length - 100] = (damaged[damaged.length - 100] as number) ^ 1;
    for (const order of [
      [damaged, bytesOf(block)],
      [bytesOf(block), damaged],
    ]) {
      const bytes = Buffer.concat([archive.subarray(0, block.start), ...order, archive.subarray(block.end)]);
      await expectOthers(bytes, [], "a block twice, once damaged");
    }
  });

  it("makes the directories whose own block is lost, and the links whose object is left", async () => {
    const linked = { row: { linked: true } };
    const groups = [
      { blocks: [{ entries: [root, file(1, "a", "a", linked)] }] },
      { blocks: [{ entries: [directory(1, "d", { mode: 0o750 }), file(2, "e", "e", linked)] }], ancestors: [""] },
      {
        blocks: [{ entries: [file(2, "f", "f"), hardlink(2, "g", "./a", 1), hardlink(2, "h", "./d/e", 3)] }],
        ancestors: ["", "d"],
      },
    ];
    const small = await forge({ groups });
    const blocks = partsOf(small).filter(({ type }) => type === record.block);
    const second = blocks[1] as Part;
    for (const alsoCatalog of [false, true]) {
      const end = alsoCatalog ? (partsOf(small).find(({ start }) => start === second.end)?.end ?? 0) : second.end;
      writeFileSync(path("damaged"), Buffer.concat([small.subarray(0, second.start), small.subarray(end)]));
      for (const via of ["to", "out"] as const) {
        rmSync(path("to"), { recursive: true, force: true });
        rmSync(path("out"), { force: true });
        const to = via === "to" ? { directory: path("to") } : { archive: path("out") };
        const result = await inlineSalvage(path("damaged"), to);
        expect(result.status).toBe(1);
        expect(result.named).toContain("d/h");
        if (via === "out") {
          expect((await inlineVerify(path("out"))).status).toBe(0);
          await inlineRestore(path("out"), path("to"));
        }
        expect(readdirSync(path("to"))).toEqual(["a", "d"]);
        expect(readdirSync(join(path("to"), "d"))).toEqual(["f", "g"]);
        expect(statSync(join(path("to"), "d", "g")).ino).toBe(statSync(join(path("to"), "a")).ino);
        expect(statSync(join(path("to"), "d")).mode & 0o777).toBe(alsoCatalog ? 0o700 : 0o750);
      }
    }
  });

  it("keeps links right where the catalog that counted sockets is lost", async () => {
    const linked = { row: { linked: true } };
    const socket = { kind: EntryKind.socket, depth: 1, name: "b" };
    const groups = [
      { blocks: [{ entries: [root, socket, file(1, "c", "c", linked), file(1, "d", "d", linked)] }] },
      { blocks: [{ entries: [hardlink(1, "e", "./c", 2), hardlink(1, "f", "./d", 3)] }], ancestors: [""] },
    ];
    const small = await forge({ groups });
    const segment = partsOf(small).find(({ type }) => type === record.segment) as Part;
    writeFileSync(path("damaged"), Buffer.concat([small.subarray(0, segment.start), small.subarray(segment.end)]));
    const result = await inlineSalvage(path("damaged"), { directory: path("to") });
    expect(result.status, result.error?.message).toBe(1);
    expect(readFileSync(join(path("to"), "e"), "latin1")).toBe("c");
    expect(readFileSync(join(path("to"), "f"), "latin1")).toBe("d");
  });

  it("goes on behind a record that readers must not pass over", async () => {
    const { archiveId, sequence } = recordsOf(archive)[3] as ReturnType<typeof recordsOf>[number];
    const unknown = encodeRecord(9 as RecordType, archiveId, sequence, Buffer.alloc(20));
    const [, , second, third] = parts as [Part, Part, Part, Part];
    const bytes = Buffer.concat([archive.subarray(0, second.start), unknown, archive.subarray(third.start)]);
    await expectOthers(bytes, [second], "a record of a later version in place of a block");
  });

  it("refuses what holds nothing of an archive, or nothing of use", async () => {
    writeFileSync(path("damaged"), Buffer.alloc(10_000, 7));
    expect((await inlineSalvage(path("damaged"), { directory: path("to") })).status).toBe(8);
    const [first] = parts;
    writeFileSync(path("damaged"), archive.subarray(0, first?.end));
    expect((await inlineSalvage(path("damaged"), { directory: path("to") })).status).toBe(10);
    copyFileSync(path("whole"), path("damaged"));
    mkdirSync(path("to"));
    writeFileSync(path("out"), "mine");
    expect((await inlineSalvage(path("damaged"), { archive: path("out") })).status).toBe(6);
    expect(readFileSync(path("out"), "latin1")).toBe("mine");
  });
});

describe("salvage --keep-damaged", { timeout }, () => {
  const content = Buffer.alloc(60_000, "content ");

  it("keeps the files of a damaged block that have their digest, and parts of the others under marked names", async () => {
    const small = await forge({
      groups: [
        {
          blocks: [
            { entries: [root, file(1, "a", "first"), file(1, "b", content, { mode: 0o4755 }), file(1, "c", "last")] },
          ],
        },
      ],
      head: { level: 0 },
    });
    const damaged = Buffer.from(small);
    damaged[small.indexOf("content content") + 20_000] = 0x21;
    writeFileSync(path("damaged"), damaged);
    const plain = await inlineSalvage(path("damaged"), { directory: path("to") });
    expect([plain.status, readdirSync(path("to"))]).toEqual([1, []]);
    writeFileSync(join(path("to"), "b.tsfsa-damaged"), "mine");
    const kept = await inlineSalvage(
      path("damaged"),
      { directory: path("to") },
      { keepDamaged: true, overwrite: true },
    );
    expect(kept.status).toBe(1);
    expect(readdirSync(path("to"))).toEqual(["a", "b.tsfsa-damaged", "b.tsfsa-damaged-2", "c"]);
    expect(readFileSync(join(path("to"), "a"), "latin1")).toBe("first");
    expect(readFileSync(join(path("to"), "c"), "latin1")).toBe("last");
    expect(readFileSync(join(path("to"), "b.tsfsa-damaged"), "latin1")).toBe("mine");
    const found = readFileSync(join(path("to"), "b.tsfsa-damaged-2"));
    expect(found.length).toBe(content.length);
    expect(found.filter((byte, i) => byte !== content[i]).length).toBe(1);
    expect(statSync(join(path("to"), "b.tsfsa-damaged-2")).mode & 0o7777).toBe(0o755);
    expect(kept.named).toContain("b");
    expect(kept.named).not.toContain("a");
  });

  it("keeps what comes before the damage of a compressed block", async () => {
    const noisy = noise(600_000, 3);
    const small = await forge({
      groups: [{ blocks: [{ entries: [root, file(1, "a", "first"), file(1, "b", noisy), file(1, "z", "z")] }] }],
    });
    const block = partsOf(small).find(({ type }) => type === record.block) as Part;
    const cut = block.start + 560_000;
    writeFileSync(path("damaged"), Buffer.concat([small.subarray(0, cut), small.subarray(cut + 1000)]));
    const kept = await inlineSalvage(path("damaged"), { directory: path("to") }, { keepDamaged: true });
    expect(kept.status).toBe(1);
    expect(readdirSync(path("to"))).toContain("a");
    expect(readFileSync(join(path("to"), "a"), "latin1")).toBe("first");
    const part = readFileSync(join(path("to"), "b.tsfsa-damaged"));
    expect(part.length).toBe(noisy.length);
    expect(part.subarray(0, 500_000).equals(noisy.subarray(0, 500_000))).toBe(true);
  });

  it("keeps the parts of a file of several blocks that are left, each at its place", async () => {
    const whole = readFileSync(join(path("source"), "l-large"));
    const blocks = parts.filter((part) => part.type === record.block && isOf(part, "l-large"));
    const megabyte = 1 << 20;
    for (const [index, block] of blocks.entries()) {
      rmSync(path("to"), { recursive: true, force: true });
      writeFileSync(
        path("damaged"),
        without((part) => part === block),
      );
      const kept = await inlineSalvage(path("damaged"), { directory: path("to") }, { keepDamaged: true });
      expect(kept.status).toBe(1);
      expect(kept.named).toContain("l-large");
      expect(readdirSync(path("to"))).not.toContain("l-large");
      const found = readFileSync(join(path("to"), "l-large.tsfsa-damaged"));
      const [from, to] = [index * megabyte, Math.min((index + 1) * megabyte, whole.length)];
      const hole = Buffer.from(whole).fill(0, from, to);
      expect(found.equals(hole), `without part ${index}`).toBe(true);
    }
  });
});
