// A bad sector at every boundary of an archive: only the blocks whose frames it touches lose their files. Records have a second copy or are made again.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDigest } from "../../src/codec/digest.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, fileDigest, forge, type ForgedEntry, type ForgedGroup, root } from "../support/forge.ts";
import { inlineExtract, inlineRestore, inlineSalvage, inlineVerify } from "../support/inline.ts";
import { recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { differences, treeState } from "../support/tree-state.ts";
import { noise } from "../support/trees.ts";
import { DamageLab, isExhaustive } from "./damage.ts";

requireOrSkip("root");

const record = { head: 1, block: 2, segment: 3 } as const;
const megabyte = 1 << 20;

interface Sector {
  readonly start: number;
  readonly end: number;
}

/** A record, and the frame behind it. */
interface Part {
  readonly type: number;
  readonly start: number;
  readonly frame: number;
  readonly end: number;
  /** Entries of the block. */
  readonly names: readonly string[];
}

/** It stands in the catalog only. */
const socket: ForgedEntry = { kind: EntryKind.socket, depth: 1, name: "m2-socket", only: "catalog" };

const names: readonly (readonly string[])[] = [
  ["", "a1", "a2"],
  ["b1", "b2"],
  ["c1", "c2"],
  ["d", "d/e", "l-large"],
  ["l-large"],
  ["l-large"],
  ["m1", "m2-socket"],
  ["n1"],
  [],
];

/** Three groups of three blocks; a file of three blocks. `length`: bytes that do not compress in each file, or each of its parts. */
async function groups(length: number, sockets: readonly ForgedEntry[]): Promise<ForgedGroup[]> {
  const digest = await createDigest("xxh128");
  const content = (seed: number): Buffer => noise(length, seed);
  const large = Buffer.alloc(2 * megabyte + 5000, "pattern ");
  for (const part of [0, 1, 2]) large.set(content(7 + part), part * megabyte);
  const entry = 9;
  const more = { damaged: false, changed: false, damagedRanges: [] };
  return [
    {
      blocks: [
        { entries: [root, file(1, "a1", content(1)), file(1, "a2", content(2))] },
        { entries: [file(1, "b1", content(3)), file(1, "b2", content(4))] },
        { entries: [file(1, "c1", content(5)), file(1, "c2", content(6))] },
      ],
    },
    {
      blocks: [
        { entries: [directory(1, "d"), file(2, "e", "e"), file(1, "l-large", large, { contentHere: megabyte })] },
        {
          slice: large.subarray(megabyte, 2 * megabyte),
          record: { continuation: { entry, fileOffset: megabyte } },
        },
        { slice: large.subarray(2 * megabyte), record: { continuation: { entry, fileOffset: 2 * megabyte } } },
      ],
      ancestors: [""],
      completions: [{ entry, digest: fileDigest(digest, large), ...more }],
    },
    {
      blocks: [{ entries: [file(1, "m1", content(10)), ...sockets] }, { entries: [file(1, "n1", content(11))] }],
      ancestors: [""],
    },
  ];
}

function partsOf(archive: Buffer): Part[] {
  const records = recordsOf(archive);
  let block = 0;
  return records.map(({ offset, type, end: frame }, i) => {
    const end = records[i + 1]?.offset ?? archive.length;
    return {
      type,
      start: offset,
      frame,
      end,
      names: type === record.block ? (names[block++] ?? []) : [],
    };
  });
}

/** Places of bad sectors: over each boundary of records and frames, just before it and just behind it, of aligned ones those around them. Two of five, or all. */
function sectorsAt(parts: readonly Part[], length: number, isAligned: boolean): Sector[] {
  const boundaries = new Set([0, ...parts.flatMap(({ start, frame, end }) => [start, frame, end])]);
  const sectors = [...boundaries].flatMap((at, i) =>
    [512, 4096].flatMap((size) => {
      const starts = [at - size, at - size + 100, at - (size >> 1), at - 100, at];
      const chosen = isExhaustive ? starts : [starts[i % 5], starts[(i + 2) % 5]];
      return chosen.map((place = 0) => {
        const start = isAligned ? place - (place % size) : place;
        return { start: Math.max(0, start), end: Math.min(length, start + size) };
      });
    }),
  );
  return sectors.filter(({ start, end }) => start < end);
}

const ways = ["file", "pipe", "extract", "salvage --to", "salvage --out"] as const;
/** Codec, level, format version, bytes of each file. In archives of format 1 a sector can touch two frames, and hold a whole one with the next record. */
const archives = [
  ["zstd", 3, 1, 5000],
  ["lz4", 1, 1, 5000],
  ["zstd", 3, 2, 5000],
  ["lz4", 1, 2, 5000],
  ["zstd", 0, 2, 5000],
  ["zstd", 3, 2, 200],
  ["lz4", 1, 2, 200],
] as const;

describe.each(archives)(
  "an archive (%s, level %i, format %i, %i bytes) with a bad sector",
  (codec, level, format, length) => {
    let lab: DamageLab;
    let dir: string;
    let parts: Part[];
    let expected: ReadonlyMap<string, string>;
    beforeAll(async () => {
      lab = await DamageLab.of(
        await forge({ groups: await groups(length, format > 1 ? [socket] : []), head: { codec, level, format } }),
      );
      parts = partsOf(lab.archive);
      dir = mkdtempSync("/dev/shm/tsfsa-sectors-");
      writeFileSync(join(dir, "whole"), lab.archive);
      await inlineRestore(join(dir, "whole"), join(dir, "source"));
      expected = treeState(join(dir, "source"), false);
    });
    afterAll(() => {
      lab.close();
      rmSync(dir, { recursive: true, force: true });
    });

    /** Paths that did not come back as they were. */
    async function lostOn(way: (typeof ways)[number], bytes: Buffer, what: string): Promise<string[]> {
      if (way === "file" || way === "pipe") {
        const { missing, wrong } = await lab.expectHonest(bytes, what, way, () => true);
        return [...missing, ...wrong];
      }
      const [damaged, to, out] = ["damaged", "to", "out"].map((name) => join(dir, name)) as [string, string, string];
      for (const path of [to, out]) rmSync(path, { recursive: true, force: true });
      writeFileSync(damaged, bytes);
      if (way === "extract") await inlineExtract(damaged, to, false);
      else if (way === "salvage --to")
        expect((await inlineSalvage(damaged, { directory: to })).status, what).toBeLessThan(2);
      else {
        expect((await inlineSalvage(damaged, { archive: out })).status, what).toBeLessThan(2);
        expect((await inlineVerify(out)).status, what).toBe(0);
        await inlineRestore(out, to);
      }
      return differences(expected, treeState(to, false));
    }

    /** In archives of format 1 a block whose record is lost together with the catalog segment before it: nothing proves it. */
    function isUnproved(index: number, isHit: (from: number, to: number) => boolean): boolean {
      const before = parts.slice(0, index).findLast(({ type }) => type !== record.head);
      return format === 1 && before?.type === record.segment && isHit(before.start, before.end);
    }

    it("loses at most the files of the blocks whose frames it touches, which is one since format 2", async () => {
      for (const [i, { start, end }] of sectorsAt(parts, lab.archive.length, format > 1).entries()) {
        const isHit = (from: number, to: number): boolean => from < end && to > start;
        const touched = parts.filter(
          (part, index) => part.type === record.block && (isHit(part.frame, part.end) || isUnproved(index, isHit)),
        );
        if (format > 1) expect(touched.length, `${start} to ${end}`).toBeLessThanOrEqual(1);
        const isHeadless = isHit(0, parts[0]?.end ?? 0);
        const damaged = Buffer.from(lab.archive).fill(i % 2 === 0 ? 0 : 0x8f, start, end);
        if (damaged.equals(lab.archive)) continue;
        for (const way of isExhaustive ? ways : [ways[i % ways.length] as (typeof ways)[number]]) {
          if (way === "pipe" && isHeadless) continue; // it cannot go on to the copy and come back
          const what = `${way}, ${start} to ${end}`;
          const lost = await lostOn(way, damaged, what);
          const others = lost.filter((path) => path !== "" && !touched.some((part) => part.names.includes(path)));
          expect(others, what).toEqual([]);
        }
      }
    }, 600_000);
  },
);
