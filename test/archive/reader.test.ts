// The reader's groups: which blocks come with which catalog, what is told of damage, and how it ends.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArchiveIndex } from "../../src/archive/archive-index.ts";
import { ArchiveReader } from "../../src/archive/reader.ts";
import { file, forge, type ForgedEntry, root } from "../support/forge.ts";
import { flipped, recordsOf } from "../support/patch.ts";
import { noise } from "../support/trees.ts";

let dir: string;
let archive: Buffer;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "tsfsa-reader-"));
  archive = await forge({
    groups: [
      { blocks: [{ entries: [root, file(1, "a", "a")] }, { entries: [file(1, "b", "b")] }] },
      { blocks: [{ entries: [file(1, "c", "c")] }, { entries: [file(1, "d", "d")] }], ancestors: [""] },
    ],
  });
});
afterAll(() => rmSync(dir, { recursive: true }));

/** Numbers of the blocks of each group (null: without catalog), and what was wrong. */
async function read(bytes: Uint8Array): Promise<{
  readonly groups: readonly (readonly [catalog: number | null, blocks: readonly number[]])[];
  readonly damages: number;
  readonly complete: boolean;
  readonly flaw: string | undefined;
}> {
  const path = join(dir, "archive");
  writeFileSync(path, bytes);
  const reader = await ArchiveReader.open(path);
  try {
    const groups: [number | null, number[]][] = [];
    let entries = 0;
    for await (const { catalog, blocks } of reader.groups(true)) {
      groups.push([catalog?.header.number ?? null, blocks.map(({ record }) => record.number)]);
      entries += catalog?.header.entryCount ?? 0;
    }
    return { groups, damages: reader.damages.length, complete: reader.complete, flaw: reader.endFlaw(entries) };
  } finally {
    await reader.close();
  }
}

function part(type: number, index: number): { readonly start: number; readonly end: number } {
  const records = recordsOf(archive);
  const of = records.filter((record) => record.type === type);
  const start = of[index]?.offset ?? 0;
  return { start, end: records.find(({ offset }) => offset > start)?.offset ?? archive.length };
}

function without({ start, end }: { readonly start: number; readonly end: number }): Buffer {
  return Buffer.concat([archive.subarray(0, start), archive.subarray(end)]);
}

function files(prefix: string, count: number): ForgedEntry[] {
  return Array.from({ length: count }, (_, i) => file(1, `${prefix}${noise(12, i).toString("hex")}`)).toSorted(
    (a, b) => (a.name < b.name ? -1 : 1),
  );
}

describe("ArchiveReader", () => {
  it("gives out each group with its catalog, and nothing is wrong", async () => {
    const found = await read(archive);
    expect(found.groups.slice(0, 2)).toEqual([
      [0, [0, 1]],
      [1, [2, 3, ...(found.groups[1]?.[1].slice(2) ?? [])]],
    ]);
    expect(found).toMatchObject({ damages: 0, complete: true, flaw: undefined });
  });

  it("makes a block record again that is damaged, wherever it stands in its group", async () => {
    for (const number of [0, 1, 2, 3, 4]) {
      const { start } = part(2, number);
      for (const at of [start + 20, start + 70]) {
        const found = await read(flipped(archive, at));
        expect(found.groups.map(([, blocks]) => blocks)).toEqual([
          [0, 1],
          [2, 3, 4],
        ]);
        expect(found, `block ${number}`).toMatchObject({ damages: 1, complete: true });
      }
    }
  });

  it("loses nothing but frames to a bad sector over the records between two groups", async () => {
    const groups = ["a", "b", "c"].map((name) => ({
      blocks: [
        { entries: [...(name === "a" ? [root] : []), ...files(name, 1000)] },
        { entries: [file(1, `${name}-`, "x")] },
      ],
      ancestors: name === "a" ? [] : [""],
    }));
    const whole = await forge({ groups });
    const records = recordsOf(whole);
    const frames = records.flatMap(({ type, end }, i) =>
      type === 2 ? [{ start: end, end: records[i + 1]?.offset ?? 0 }] : [],
    );
    const [first, last] = [records[2]?.end ?? 0, records.at(-4)?.offset ?? 0];
    expect([records[2]?.type, records[3]?.type]).toEqual([2, 3]);
    expect(records[3]?.length).toBeGreaterThan(3 * 4096);
    let tried = 0;
    for (const size of [512, 4096]) {
      for (let start = first - (first % size); start < last; start += size) {
        const damaged = Buffer.from(whole).fill(0x55, start, start + size);
        const isHit = frames.filter((frame) => frame.start < start + size && frame.end > start).length;
        const found = await read(damaged);
        expect(isHit, `${start}`).toBeLessThanOrEqual(1);
        expect(found.complete, `${start}`).toBe(true);
        expect(
          found.groups.map(([segment]) => segment),
          `${size} bytes at ${start}`,
        ).toEqual([0, 1, 2]);
        expect(
          found.groups.flatMap(([, blocks]) => blocks),
          `${size} bytes at ${start}`,
        ).toEqual([0, 1, 2, 3, 4, 5, 6]);
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(100);
  });

  it("never takes a block whose record and frame are both damaged", async () => {
    for (const index of [0, 1, 2, 3]) {
      const { start, end } = part(2, index);
      const both = flipped(flipped(archive, start + 70), end - 10);
      expect((await read(both)).groups.flatMap(([, blocks]) => blocks)).not.toContain(index);
    }
  });

  it("takes no frame for whole that begins elsewhere than the format says", async () => {
    for (const format of [1, 2]) {
      const groups = [{ blocks: [{ entries: [root, file(1, "a", "a")] }] }];
      const found = await read(await forge({ groups, head: { format }, layout: 1 }));
      expect(found.damages > 0, `${format}`).toBe(format === 2);
    }
  });

  it("makes no record of illegal numbers around a lost one", async () => {
    const entries = [root, file(1, "a", "a")];
    const none = { firstEntry: 0, entryCount: 1 };
    const far = { tarOffset: Number.MAX_SAFE_INTEGER - 511 - 512 };
    for (const [lost, blocks] of [
      [0, [{ entries }, { entries: [file(1, "b", "b")], record: none }]],
      [1, [{ entries, record: far }]],
    ] as const) {
      const hostile = await forge({ groups: [{ blocks }] });
      const { offset } = recordsOf(hostile).filter(({ type }) => type === 2)[lost] as { readonly offset: number };
      const found = await read(flipped(hostile, offset + 20));
      expect(found.groups.flatMap(([, numbers]) => numbers)).not.toContain(lost);
    }
  });

  it("does not stop at an illegal block when it looks for a lost one by the index", async () => {
    const illegal = { entries: [file(1, "c", "c")], record: { continuation: { entry: 0, fileOffset: 1 } } };
    const blocks = [{ entries: [root, file(1, "a", "a")] }, { entries: [file(1, "b", "b")] }, illegal];
    const hostile = await forge({ groups: [{ blocks }] });
    const { offset } = recordsOf(hostile).filter(({ type }) => type === 2)[1] as { readonly offset: number };
    writeFileSync(join(dir, "hostile"), flipped(hostile, offset + 20));
    const reader = await ArchiveReader.open(join(dir, "hostile"));
    try {
      const index = await ArchiveIndex.open(reader);
      expect(index?.blocks).toHaveLength(4);
      expect(await index?.rebuiltBlock(1)).toBeUndefined();
    } finally {
      await reader.close();
    }
  });

  it("goes around a block that is missing, that is damaged, or that stands twice", async () => {
    const { start, end } = part(2, 1);
    const missing = await read(without({ start, end }));
    const damaged = await read(flipped(flipped(archive, start + 70), end - 10));
    for (const found of [missing, damaged]) {
      expect(found.groups[0]).toEqual([0, [0]]);
      expect(found.groups[1]?.[0]).toBe(1);
      expect(found.damages).toBeGreaterThan(0);
      expect(found.complete).toBe(true);
    }
    const doubled = await read(Buffer.concat([archive.subarray(0, end), archive.subarray(start)]));
    expect(doubled.groups[0]).toEqual([0, [0, 1]]);
    expect(doubled.damages).toBeGreaterThan(0);
  });

  it("gives out blocks without catalog where that is lost", async () => {
    const found = await read(without(part(3, 0)));
    expect(found.groups[0]).toEqual([null, [0, 1]]);
    expect(found.groups[1]?.[0]).toBe(1);
    expect(found.damages).toBeGreaterThan(0);
  });

  it("reads on with the copy of a head that is lost", async () => {
    const { start } = part(1, 0);
    const found = await read(flipped(archive, start + 70));
    expect(found.groups[0]).toEqual([0, [0, 1]]);
    expect(found.damages).toBeGreaterThan(0);
    expect(found.complete).toBe(true);
  });

  it("tells of an end that is missing, wherever it was cut", async () => {
    for (const cut of [
      part(2, 2).start,
      part(2, 2).start + 100,
      part(2, 2).end - 1,
      part(6, 0).start,
      archive.length - 1,
    ]) {
      const found = await read(archive.subarray(0, cut));
      expect(found.groups[0]).toEqual([0, [0, 1]]);
      expect(found.complete).toBe(false);
      expect(found.damages).toBeGreaterThan(0);
    }
  });

  it("refuses what is no archive", async () => {
    await expect(read(Buffer.alloc(1000, 5))).rejects.toMatchObject({ code: "ARCHIVE_FOREIGN" });
    await expect(read(Buffer.alloc(0))).rejects.toMatchObject({ code: "ARCHIVE_FOREIGN" });
    await expect(read(archive.subarray(0, part(2, 0).start - 5))).rejects.toMatchObject({ code: "ARCHIVE_DAMAGED" });
  });
});
