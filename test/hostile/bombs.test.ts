// Small archives that declare much: sizes, counts, depths, maps, names, attributes (docs/SAFETY.md; CVE-2024-28863, CVE-2018-20482). Each is refused, or
// done, in little time and memory.

import { describe, expect, it } from "vitest";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { createEncoder } from "../../src/codec/codec.ts";
import { encodeSegmentContent, RowEncoder } from "../../src/format/segment.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, forge, forgeEntries, type ForgedEntry, hardlink, root } from "../support/forge.ts";
import { inlineList, inlineRestore, inlineVerify } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { catalogRow } from "../support/rows.ts";
import { Canary } from "./canary.ts";

requireOrSkip("root");

/** Far above what any of these needs; a bomb that goes off takes gigabytes. */
const memoryMax = 700 << 20;

async function defuse(
  archive: Buffer,
  statuses: { restore: number[]; verify: number[]; list: number[] },
): Promise<void> {
  const canary = new Canary();
  try {
    const path = canary.archive(archive);
    const before = process.memoryUsage.rss();
    const verified = await inlineVerify(path);
    expect(statuses.verify, `verify: ${verified.error?.message}`).toContain(verified.status);
    const restored = await inlineRestore(path, canary.destination);
    expect(statuses.restore, `restdir: ${restored.error?.message}`).toContain(restored.status);
    const listed = await inlineList(path);
    expect(statuses.list, `list: ${listed.error?.message}`).toContain(listed.status);
    expect(process.memoryUsage.rss() - before).toBeLessThan(memoryMax);
    canary.expectUntouched();
  } finally {
    canary.remove();
  }
}

const refused = { restore: [10, 11], verify: [10, 11], list: [0, 10, 11] };

describe("an archive that declares", () => {
  it("millions of rows for one block is refused before they are read", async () => {
    const encoder = new RowEncoder();
    const count = limits.blockEntries + 1;
    encoder.add(socketRow(1, "s"));
    const { rows: one } = encoder.finish();
    const rows = new Uint8Array(one.length * count);
    rows.set(one);
    for (let filled = one.length; filled < rows.length; filled *= 2) rows.copyWithin(filled, 0, filled);
    const content = encodeSegmentContent({
      ancestors: [""].map(utf8),
      blocks: [{ count, rows, digests: new Uint8Array(0) }],
      completions: [],
    });
    const segment = { entryCount: count };
    const groups = [
      { blocks: [{ entries: [root] }] },
      { blocks: [{ entries: [file(1, "a")], record: { entryCount: count } }], content, segment },
    ];
    await defuse(await forge({ groups }), refused);
  });

  it("a path of megabytes is refused", async () => {
    const names = Array.from({ length: 4200 }, (_, i) => ghost(directory(i + 1, "n".repeat(250)), i));
    const canary = new Canary();
    try {
      const verified = await inlineVerify(canary.archive(await forgeEntries([root, ...names])));
      expect(verified.status).toBe(11);
      expect(verified.error?.message).toMatch(/over 1 MiB/);
    } finally {
      canary.remove();
    }
  });

  it("60,000 directories one in the other ends", async () => {
    const names = Array.from({ length: 60_000 }, (_, i) => ghost(directory(i + 1, "d"), i));
    const canary = new Canary();
    try {
      const archive = canary.archive(await forgeEntries([root, ...names]));
      expect([10, 11]).toContain((await inlineVerify(archive)).status);
    } finally {
      canary.remove();
    }
  });

  it("more names to link to than fit its block is refused", async () => {
    const deep = Array.from({ length: 400 }, (_, i) => ghost(directory(i + 1, "n".repeat(250)), i));
    const linked = Array.from({ length: 1000 }, (_, i) =>
      ghost(file(401, String(i).padStart(5, "0"), "", { row: { linked: true } }), 400 + i),
    );
    await defuse(await forgeEntries([root, ...deep, ...linked]), refused);
  });

  it("100,000 entries that could not be saved names each, in time", async () => {
    const absent = Array.from(
      { length: 100_000 },
      (_, i): ForgedEntry => ({
        kind: EntryKind.absent,
        depth: 1,
        name: String(i).padStart(6, "0"),
        row: { absentReason: "EACCES" },
      }),
    );
    await defuse(await forgeEntries([root, ...absent, file(1, "a")]), { restore: [1], verify: [0], list: [0] });
  }, 20_000);

  it("a file of 8 PiB of holes is made of holes, or not at all", async () => {
    const realSize = 2 ** 53 - 512;
    const sparse = { realSize, segments: [{ offset: 2 ** 52, length: 512 }] };
    const content = new Uint8Array(512).fill(1);
    const entry = file(1, "a", content, {
      member: { sparse },
      row: { size: realSize, sparse: true, digest: undefined },
    });
    await defuse(await forgeEntries([root, entry]), { restore: [0, 1], verify: [0], list: [0] });
  });

  it("a file of 8 PiB that is not there is refused", async () => {
    const size = 2 ** 53 - 512;
    const entry = file(1, "a", "x", { contentHere: 1, member: { size }, row: { size } });
    await defuse(await forgeEntries([root, entry]), refused);
  });

  it("a sparse map whose data are not there is refused", async () => {
    const segments = Array.from({ length: 100_000 }, (_, i) => ({ offset: 1024 * i, length: 512 }));
    const sparse = { realSize: 1024 * segments.length, segments };
    const entry = file(1, "a", "", { member: { sparse }, row: { size: sparse.realSize, sparse: true } });
    await defuse(await forgeEntries([root, entry, file(1, "b", "b")]), refused);
  });

  it("terabytes of preallocated space goes without it", async () => {
    const row = { unwrittenExtents: [{ offset: 0, length: 2 ** 52 }] };
    await defuse(await forgeEntries([root, file(1, "a", "x", { row })]), { restore: [1], verify: [0], list: [0] });
  });

  it("attributes of 40 MiB for directories in directories is refused when they are too many to hold", async () => {
    const value = new Uint8Array(40 << 20);
    const attributes = [{ name: utf8("user.large"), value }];
    const groups = [
      { blocks: [{ entries: [root, directory(1, "a", { member: { attributes } })] }] },
      {
        blocks: [{ entries: [directory(2, "b", { member: { attributes } }), file(3, "f", "x")] }],
        ancestors: ["", "a"],
      },
    ];
    await defuse(await forge({ groups }), { restore: [11], verify: [0], list: [0] });
  });

  it("a frame that grows past its block is refused", async () => {
    const encoder = await createEncoder("zstd", 3);
    const frame = (): Uint8Array => {
      const bomb = new Uint8Array(60 << 20);
      const target = new Uint8Array(encoder.bound(bomb.length));
      return target.slice(0, encoder.compress(target, 0, bomb, 0, bomb.length));
    };
    await defuse(await forge({ groups: [{ blocks: [{ entries: [root, file(1, "a", "x")], frame }] }] }), refused);
  });

  it("an LZ4 frame that grows past its block is refused", async () => {
    const encoder = await createEncoder("lz4", 1);
    const frame = (): Uint8Array => {
      const bomb = new Uint8Array(60 << 20);
      const target = new Uint8Array(encoder.bound(bomb.length));
      return target.slice(0, encoder.compress(target, 0, bomb, 0, bomb.length));
    };
    const groups = [{ blocks: [{ entries: [root, file(1, "a", "x")], frame }] }];
    await defuse(await forge({ groups, head: { codec: "lz4", level: 1 } }), refused);
  });

  it("a segment that grows past its length is refused", async () => {
    const content = concatBytes([
      encodeSegmentContent({ ancestors: [], blocks: [], completions: [] }),
      new Uint8Array(1 << 20),
    ]);
    const groups = [{ blocks: [{ entries: [root, file(1, "a", "x")] }], content, segment: { contentLength: 4 } }];
    await defuse(await forge({ groups }), refused);
  });

  it("parts of a file twice, overlapping, or behind its end is refused", async () => {
    const megabyte = 1 << 20;
    const content = new Uint8Array(3 * megabyte).fill(1);
    const entry = file(1, "a", content, { contentHere: megabyte });
    const slice = (fileOffset: number, length = megabyte) => ({
      slice: content.subarray(0, length),
      record: { continuation: { entry: 1, fileOffset } },
    });
    const variants = [
      [slice(megabyte), slice(megabyte)],
      [slice(2 * megabyte), slice(megabyte)],
      [slice(megabyte, 2 * megabyte), slice(2 * megabyte)],
      [slice(0), slice(megabyte)],
      [slice(megabyte), slice(2 ** 40)],
      [slice(megabyte), slice(3 * megabyte)],
    ];
    for (const slices of variants) {
      const completion = { entry: 1, damaged: false, changed: false, digest: new Uint8Array(16), damagedRanges: [] };
      const archive = await forge({
        groups: [{ blocks: [{ entries: [root, entry] }, ...slices], completions: [completion] }],
      });
      await defuse(archive, { ...refused, list: [0] });
    }
  });

  it("that many names for one object are one object", async () => {
    const names = Array.from({ length: 2000 }, (_, i) => hardlink(1, `l${String(i).padStart(4, "0")}`, "./a", 1));
    await defuse(await forgeEntries([root, file(1, "a", "x", { row: { linked: true } }), ...names]), {
      restore: [0],
      verify: [0],
      list: [0],
    });
  });
});

/** An entry that only the catalog tells of; it claims a place in the tar stream. */
function ghost(entry: ForgedEntry, index: number): ForgedEntry {
  return { ...entry, only: "catalog", row: { ...entry.row, offset: 512 * (index + 1) } };
}

function socketRow(depth: number, name: string): CatalogRow {
  return catalogRow({ kind: EntryKind.socket, depth, name: utf8(name), mode: 0 });
}
