// Parts of an archive taken out, doubled, swapped, mixed with another archive's, zeroed or followed by other bytes: always found, and what is lost is at
// most what was hit.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { file, forge, root } from "../support/forge.ts";
import { requireOrSkip } from "../support/require.ts";
import { DamageLab } from "./damage.ts";
import { groupsOf, isOf, type Part, partsOf } from "./parts.ts";

requireOrSkip("root");

let lab: DamageLab;
let other: Buffer;
let parts: Part[];
beforeAll(async () => {
  const archive = await forge({ groups: await groupsOf("") });
  other = await forge({ groups: await groupsOf("x"), head: { archiveId: "ffeeddccbbaa99887766554433221100" } });
  lab = await DamageLab.of(archive);
  parts = partsOf(archive);
});
afterAll(() => lab.close());

describe("an archive", () => {
  it("without one of its parts is found out, and loses only what stood in it", async () => {
    for (const part of parts) {
      const { type, start, end } = part;
      const damaged = Buffer.concat([lab.archive.subarray(0, start), lab.archive.subarray(end)]);
      for (const via of ["file", "pipe"] as const) {
        const what = `without the part of type ${type} at ${start} (${via})`;
        const { missing, restore } = await lab.expectHonest(damaged, what, via);
        // A pipe cannot go on to the copy of the head and come back.
        if (via === "pipe" && start === parts[0]?.start && restore.warnings.length === 0) continue;
        expect(missing.filter((path) => !isOf(part, path))).toEqual([]);
        if (type !== 2) expect(missing).toEqual([]);
      }
    }
  });

  it("without one group is found out, and loses only that", async () => {
    for (const [index, segment] of parts.entries()) {
      if (segment.type !== 3) continue;
      const first = parts.findLastIndex(({ type }, i) => i < index && type !== 2) + 1;
      const start = parts[first]?.start ?? 0;
      const damaged = Buffer.concat([lab.archive.subarray(0, start), lab.archive.subarray(segment.end)]);
      const judged = await lab.expectHonest(
        damaged,
        `without the group of ${segment.names.join()}`,
        "file",
        (path) => isOf(segment, path) || path.startsWith("z-"),
      );
      expect(judged.missing.filter((path) => !isOf(segment, path))).toEqual(
        index > 8 ? [] : judged.missing.filter((path) => path.startsWith("z-")),
      );
    }
  });

  it("with one of its parts doubled is found out, and loses nothing", async () => {
    for (const { type, start, end } of parts) {
      const damaged = Buffer.concat([lab.archive.subarray(0, end), lab.archive.subarray(start)]);
      const { missing, wrong } = await lab.expectHonest(damaged, `with the part of type ${type} at ${start} twice`);
      expect([...missing, ...wrong]).toEqual([]);
    }
  });

  it("with two parts swapped is found out", async () => {
    for (const [index, second] of parts.entries()) {
      const first = parts[index - 1];
      if (first === undefined) continue;
      const pieces = [
        [0, first.start],
        [second.start, second.end],
        [first.start, first.end],
        [second.end, lab.archive.length],
      ];
      const damaged = Buffer.concat(pieces.map(([from, to]) => lab.archive.subarray(from, to)));
      await lab.expectHonest(damaged, `with types ${first.type} and ${second.type} at ${first.start} swapped`);
    }
  });

  it("with a part of another archive, or of its own earlier self, is found out", async () => {
    const self = await forge({ groups: await groupsOf("x") });
    for (const stranger of [other, self]) {
      const strange = partsOf(stranger);
      for (const [index, { start, end, type }] of parts.entries()) {
        const { start: from, end: to } = strange[index] as Part;
        const damaged = Buffer.concat([
          lab.archive.subarray(0, start),
          stranger.subarray(from, to),
          lab.archive.subarray(end),
        ]);
        if (damaged.equals(lab.archive)) continue;
        const { verify } = await lab.judge(damaged);
        expect([10, 11], `part ${index} of type ${type}: ${verify.error?.message}`).toContain(verify.status);
      }
    }
  });

  it("with bytes missing, or too many, in any part loses no more than that part and the next", async () => {
    for (const [index, part] of parts.entries()) {
      const middle = (part.start + part.end) >> 1;
      const cut = Buffer.concat([lab.archive.subarray(0, middle), lab.archive.subarray(middle + 20)]);
      const grown = Buffer.concat([
        lab.archive.subarray(0, middle),
        Buffer.alloc(20, 0x8f),
        lab.archive.subarray(middle),
      ]);
      for (const damaged of [cut, grown]) {
        const what = `with 20 bytes ${damaged === cut ? "less" : "more"} at ${middle}`;
        const near = [part, parts[index + 1]];
        const isNear = (path: string): boolean => near.some((each) => each !== undefined && isOf(each, path));
        // With both a block and its segment hit, nobody knows the names.
        const isNameless = near[1]?.type === 3 ? isNear : undefined;
        const { missing } = await lab.expectHonest(damaged, what, "file", isNameless);
        expect(
          missing.filter((path) => !isNear(path)),
          what,
        ).toEqual([]);
      }
    }
  });

  it("with a sector of zeros anywhere loses only what is in the blocks it touches", async () => {
    for (let start = 0; start < lab.archive.length; start += 2048) {
      const end = Math.min(start + 4096, lab.archive.length);
      const damaged = Buffer.from(lab.archive).fill(0, start, end);
      const touched = parts.filter((part) => part.start < end && part.end > start);
      const hit = touched.filter(({ type }) => type === 2);
      const isNameless = (path: string): boolean => touched.some((part) => part.type === 3 && isOf(part, path));
      const { missing } = await lab.expectHonest(damaged, `zeros from ${start}`, "file", isNameless);
      expect(
        missing.filter((path) => !hit.some((part) => isOf(part, path))),
        `zeros from ${start}`,
      ).toEqual([]);
    }
  });

  it("followed by other bytes is found out, by zeros only is whole", async () => {
    const followers: readonly [what: string, bytes: Buffer, status: number][] = [
      ["zeros", Buffer.alloc(100_000), 0],
      ["more zeros than are read at a time", Buffer.alloc(3_000_000), 0],
      ["one byte", Buffer.of(1), 10],
      ["zeros, then a byte", Buffer.concat([Buffer.alloc(1 << 20), Buffer.of(1)]), 10],
      ["itself", lab.archive, 10],
      ["another archive", other, 10],
    ];
    for (const [what, bytes, status] of followers) {
      for (const via of ["file", "pipe"] as const) {
        const { verify, restore, missing, wrong } = await lab.judge(Buffer.concat([lab.archive, bytes]), via);
        expect([verify.status, restore.status, missing, wrong], `${what} (${via})`).toEqual([status, status, [], []]);
      }
    }
  });

  it("in an archive is never taken for it, whatever is damaged", async () => {
    const inner = await forge({
      groups: await groupsOf("inner-"),
      head: { archiveId: "ffeeddccbbaa99887766554433221100" },
    });
    const groups = [{ blocks: [{ entries: [root, file(1, "archive", inner)] }, { entries: [file(1, "b", "b")] }] }];
    const outer = await DamageLab.of(await forge({ groups, head: { level: 0 } }));
    try {
      for (let start = 0; start < outer.archive.length; start += 1024) {
        const damaged = Buffer.from(outer.archive).fill(0, start, Math.min(start + 600, outer.archive.length));
        if (damaged.equals(outer.archive)) continue; // zeros before a frame
        const { missing } = await outer.expectHonest(damaged, `zeros from ${start}`);
        expect(missing.filter((path) => path !== "archive" && path !== "b")).toEqual([]);
        const { wrong } = await outer.judge(damaged);
        expect(wrong.filter((path) => path !== "")).toEqual([]);
      }
    } finally {
      outer.close();
    }
  });
});
