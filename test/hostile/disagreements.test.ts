// Archives that tell two stories: catalog and tar stream, PAX and ustar, record and frame, end and middle (docs/SAFETY.md; CVE-2025-62518,
// CVE-2026-53655, CVE-2022-48303). Nothing of a block on which they differ is restored, and verify finds each difference.

import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { encodePreamble } from "../../src/format/comment.ts";
import type { BlockRecord, Footer, Summary, Table, TableBlock, TableSegment } from "../../src/model/archive.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import {
  directory,
  file,
  forge,
  forgeEntries,
  type ForgedEntry,
  type ForgedGroup,
  memberBytes,
  root,
  symlink,
} from "../support/forge.ts";
import { inlineList, inlineRestore, inlineVerify } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary, expectRefused } from "./canary.ts";

requireOrSkip("root");

const groups: readonly ForgedGroup[] = [
  { blocks: [{ entries: [root, directory(1, "d"), file(2, "a", "a")] }, { entries: [file(2, "b", "b")] }] },
  { blocks: [{ entries: [file(2, "c", "c")] }], ancestors: ["", "d"] },
];

describe("a forged archive", () => {
  it("without a lie is whole", async () => {
    await expectRefused(await forge({ groups }), { status: 0, list: 0, inside: ["d", "d/a", "d/b", "d/c"] });
  });
});

describe("a row that differs from its member", () => {
  const fields: readonly [field: string, row: Partial<CatalogRow>][] = [
    ["kind", { kind: EntryKind.fifo, size: 0 }],
    ["name", { name: utf8("other") }],
    ["mode", { mode: 0o4755 }],
    ["uid", { uid: 1000 }],
    ["gid", { gid: 1000 }],
    ["size", { size: 2 }],
    ["mtime", { mtime: { seconds: 1, nanoseconds: 0 } }],
    ["nanoseconds of the mtime", { mtime: { seconds: 1_600_000_000, nanoseconds: 1 } }],
    ["sparse", { sparse: true }],
    ["continued", { continued: true }],
  ];
  it.each(fields)("in its %s is refused", async (_, row) => {
    const { digest: _digest, ...rest } = row;
    const entry = file(1, "a", "x", {
      row: row.kind === undefined && row.continued === undefined ? rest : withoutDigest(rest),
    });
    await expectRefused(await forgeEntries([root, entry, file(1, "z", "z")]), { status: 11, inside: [] });
  });

  it.each([
    ["place", { offset: 2048 }],
    ["depth", { depth: 2 }],
  ])("in its %s breaks the order of rows, and is refused", async (_, row) => {
    const entries = [root, file(1, "a", "x", { row }), file(1, "z", "z")];
    await expectRefused(await forgeEntries(entries), { status: 10, inside: [] });
  });

  const devices: readonly [what: string, entry: ForgedEntry][] = [
    ["device number", { kind: EntryKind.charDevice, depth: 1, name: "a", row: { device: { major: 1, minor: 11 } } }],
    ["kind of device", { kind: EntryKind.charDevice, depth: 1, name: "a", row: { kind: EntryKind.blockDevice } }],
    ["target", symlink(1, "a", "x", { row: { symlinkTarget: utf8("y") } })],
    ["length of the target", symlink(1, "a", "x", { row: { size: 2 } })],
  ];
  it.each(devices)("in its %s is refused", async (_, entry) => {
    await expectRefused(await forgeEntries([root, entry]), { status: 11, inside: [] });
  });

  it("in its digest is told, and the file named", async () => {
    const entry = file(1, "a", "x", { row: { digest: new Uint8Array(16) } });
    const archive = await forgeEntries([root, entry]);
    await expectRefused(archive, { status: 10, says: /digests differ/ });
  });

  it("because only one of the two is there is refused", async () => {
    for (const only of ["tar", "catalog"] as const) {
      const archive = await forgeEntries([root, file(1, "a", "x"), file(1, "b", "y", { only })]);
      await expectRefused(archive, { status: 10, inside: [] });
    }
  });
});

describe("a header that tells a value twice", () => {
  const pax: readonly [what: string, record: string, ustar: readonly [at: number, value: string]][] = [
    ["size", "size=3", [124, "00000000001"]],
    ["uid", "uid=5", [108, "0000001"]],
    ["gid", "gid=5", [116, "0000001"]],
    ["mtime", "mtime=5.5", [136, "00000000001"]],
  ];
  it.each(pax)("is refused: %s", async (_, record, [at, value]) => {
    const tar = withPax("./a", [record], [[at, value]]);
    await expectRefused(await forgeEntries([root, file(1, "a", "x", { tar })]), { status: 11, list: 0, inside: [] });
  });

  const records: readonly [what: string, records: readonly string[], status: number][] = [
    ["a keyword twice", ["path=./a", "path=./b"], 11],
    ["an unknown keyword", ["SCHILY.realsize=5"], 11],
    ["a global-only keyword", ["hdrcharset=BINARY"], 11],
    ["a number over 2^53", ["size=9007199254740993"], 11],
    ["a negative number", ["size=-1"], 11],
    ["a number with a sign", ["size=+1"], 11],
    ["an owner over 2^32", ["uid=4294967295"], 11],
    ["a sparse size without a map", ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=100"], 11],
  ];
  it.each(records)("is refused: %s", async (_, lines, status) => {
    const tar = withPax("./a", lines, [[124, "00000000000"]]);
    await expectRefused(await forgeEntries([root, file(1, "a", "x", { tar })]), { status, list: 0, inside: [] });
  });

  it("is refused: a base-256 size", async () => {
    const tar = memberBytes(file(1, "a", "x"), utf8("./a"), 1);
    tar[124] = 0x80;
    checksum(tar, 0);
    await expectRefused(await forgeEntries([root, file(1, "a", "x", { tar })]), { status: 10, list: 0, inside: [] });
  });

  it("is refused: a member that no catalog row can tell of", async () => {
    const tar = memberBytes(file(1, "a", "x"), utf8("./a"), 1);
    tar[156] = "g".charCodeAt(0);
    checksum(tar, 0);
    await expectRefused(await forgeEntries([root, file(1, "a", "x", { tar })]), { status: 11, list: 0, inside: [] });
  });
});

describe("a block record that differs", () => {
  const records: readonly [what: string, record: Partial<BlockRecord>, status: number][] = [
    ["in its first entry", { firstEntry: 99 }, 11],
    ["in its number of entries", { entryCount: 2 }, 11],
    ["in its number", { number: 7 }, 10],
    ["in its source", { sourceId: 1 }, 11],
    ["in its codec", { codec: "lz4" }, 10],
    ["in the length of its content", { uncompressedLength: 2048 }, 10],
    ["in the length of its frame", { compressedLength: 17 }, 10],
    ["in its digest", { digest: new Uint8Array(16) }, 10],
    ["in the chain", { chain: new Uint8Array(16).fill(1) }, 10],
  ];
  it.each(records)("%s is found", async (_, record, status) => {
    const [first, ...rest] = groups as readonly [ForgedGroup, ...ForgedGroup[]];
    const changed = { ...first, blocks: [first.blocks[0] ?? {}, { ...first.blocks[1], record }] };
    await expectRefused(await forge({ groups: [changed, ...rest] }), { status });
  });

  it("in its place in the tar stream is found by verify, whatever the table says", async () => {
    const [first, ...rest] = groups as readonly [ForgedGroup, ...ForgedGroup[]];
    const changed = {
      ...first,
      blocks: [first.blocks[0] ?? {}, { ...first.blocks[1], record: { tarOffset: 1 << 20 } }],
    };
    await expectRefused(await forge({ groups: [changed, ...rest], table: withTarOffsets }), {
      status: { restore: 0, verify: 10 },
    });
  });
});

describe("a catalog segment that differs", () => {
  const segments: readonly [what: string, segment: ForgedGroup["segment"], status: number][] = [
    ["in its first entry", { firstEntry: 99 }, 11],
    ["in its number of entries", { entryCount: 2 }, 10],
    ["in its first block", { firstBlock: 9 }, 10],
    ["in its number", { number: 9 }, 10],
    ["in the length of its content", { contentLength: 20 }, 10],
  ];
  it.each(segments)("%s is found", async (_, header, status) => {
    const [first, second] = groups as readonly [ForgedGroup, ForgedGroup];
    await expectRefused(await forge({ groups: [first, { ...second, segment: header ?? {} }] }), { status });
  });

  it.each([
    ["none", []],
    ["too few", [""]],
    ["others", ["", "other"]],
    ["too many", ["", "d", "e"]],
  ])("in its ancestors is refused, so that list and restore tell the same: %s", async (_, ancestors) => {
    const [first, second] = groups as readonly [ForgedGroup, ForgedGroup];
    const archive = await forge({ groups: [first, { ...second, ancestors }] });
    const canary = new Canary();
    try {
      const result = await inlineRestore(canary.archive(archive), canary.destination);
      expect([10, 11]).toContain(result.status);
      expect(canary.inside()).toEqual(["d", "d/a", "d/b"]);
      expect([10, 11]).toContain((await inlineVerify(canary.archive(archive))).status);
    } finally {
      canary.remove();
    }
  });

  it("because its rows stand in another order is refused", async () => {
    const archive = await forgeEntries([root, file(1, "b", "b"), file(1, "a", "a")]);
    await expectRefused(archive, { status: 10, inside: [] });
  });
});

describe("an end that differs", () => {
  const ends: readonly [what: string, change: Parameters<typeof forge>[0]][] = [
    ["footer: entries", { groups, footer: (footer: Footer) => ({ ...footer, entries: 9 }) }],
    ["footer: blocks", { groups, footer: (footer) => ({ ...footer, blocks: 9 }) }],
    [
      "footer: place of the table",
      { groups, footer: (footer) => ({ ...footer, tableOffset: footer.tableOffset - 1 }) },
    ],
    [
      "footer: place of the summary",
      { groups, footer: (footer) => ({ ...footer, summaryOffset: footer.summaryOffset + 1 }) },
    ],
    ["summary: entries", { groups, summary: (summary: Summary) => ({ ...summary, entries: 9 }) }],
    ["summary: blocks", { groups, summary: (summary) => ({ ...summary, blocks: 9 }) }],
    ["summary: segments", { groups, summary: (summary) => ({ ...summary, segments: 9 }) }],
    ["summary: tables", { groups, summary: (summary) => ({ ...summary, tables: 9 }) }],
    ["summary: tar bytes", { groups, summary: (summary) => ({ ...summary, tarBytes: 9 }) }],
    ["summary: head", { groups, summary: (summary) => ({ ...summary, headLength: 9 }) }],
    ["summary: copy of the head", { groups, summary: (summary) => ({ ...summary, headOffset2: 9 }) }],
    ...(["compressedLength", "sourceId", "continuation", "end"] as const).map(
      (field): [string, Parameters<typeof forge>[0]] => [`table: ${field} of a block`, { groups, table: block(field) }],
    ),
    ...(["payloadLength", "firstBlock"] as const).map((field): [string, Parameters<typeof forge>[0]] => [
      `table: ${field} of a segment`,
      { groups, table: segment(field) },
    ]),
    ["table: a block less", { groups, table: (table) => ({ ...table, blocks: table.blocks.slice(0, -1) }) }],
    ["table: a segment less", { groups, table: (table) => ({ ...table, segments: table.segments.slice(0, -1) }) }],
  ];
  it.each(ends)("is found by verify: %s", async (_, forgery) => {
    await expectRefused(await forge(forgery), {
      status: { restore: 0, verify: 10 },
      inside: ["d", "d/a", "d/b", "d/c"],
    });
  });

  it("is found by verify: the length of the archive", async () => {
    await expectRefused(
      await forge({ groups, footer: (footer) => ({ ...footer, archiveLength: footer.archiveLength + 1 }) }),
      {
        status: 10,
      },
    );
  });

  it("is found by verify: the chain", async () => {
    await expectRefused(await forge({ groups, footer: (footer) => ({ ...footer, chain: new Uint8Array(16) }) }), {
      status: 10,
    });
  });
});

describe("a preamble", () => {
  it("with a member that only stock tools would see is refused", async () => {
    const planted = memberBytes(file(1, "planted", "x"), utf8("../../outside/planted"), 0);
    const preamble = new Uint8Array([...encodePreamble("zstd"), ...planted]);
    await expectRefused(await forge({ groups, preamble }), { status: 11, list: 11 });
  });

  it("with another keyword than a comment is refused", async () => {
    const preamble = encodePreamble("zstd");
    preamble.set(utf8("mtime1=1"), 516);
    await expectRefused(await forge({ groups, preamble }), { status: 11, list: 11 });
  });
});

describe("a head", () => {
  it.each([
    ["an absolute prefix", "/etc/"],
    ["a prefix upwards", "../"],
    ["a prefix upwards inside", "a/../../b/"],
    ["a prefix without its slash", "a"],
    ["an empty prefix", ""],
    ["a prefix with a NUL", "a\0/"],
  ])("with %s is refused before anything is made", async (_, prefix) => {
    const archive = await forge({ groups, head: { sources: [sourceAt(prefix)] } });
    const canary = new Canary();
    try {
      const result = await inlineRestore(canary.archive(archive), canary.destination);
      expect([10, 11]).toContain(result.status);
      expect(canary.inside()).toEqual([]);
      expect((await inlineList(canary.archive(archive))).status).toBe(result.status);
      canary.expectUntouched();
    } finally {
      canary.remove();
    }
  });

  it("with more sources than the catalog has roots is no reason to write elsewhere", async () => {
    const archive = await forgeEntries([root, file(1, "a", "x")], {
      head: { sources: [sourceAt("0/"), sourceAt("1/")] },
    });
    await expectRefused(archive, { status: 0, inside: ["0", "0/a", "1"] });
  });

  it("with fewer sources than the catalog has roots is refused", async () => {
    await expectRefused(await forgeEntries([root, file(1, "a", "x"), root, file(1, "b", "x")]), { status: 10 });
  });
});

function sourceAt(prefix: string) {
  return { kind: "directory" as const, prefix, origin: "" };
}

/** A table without the lie of a block record. */
function withTarOffsets(table: Table): Table {
  return { ...table, blocks: table.blocks.map((item) => ({ ...item, tarOffset: tarOffsetAt(table, item) })) };
}

/** Where a block would stand in the tar stream by the lengths of those before it. */
function tarOffsetAt({ blocks }: Table, item: TableBlock): number {
  const before = blocks.slice(0, blocks.indexOf(item));
  return (
    (blocks[0] as TableBlock).tarOffset + before.reduce((sum, { uncompressedLength }) => sum + uncompressedLength, 0)
  );
}

function withoutDigest(row: Partial<CatalogRow>): Partial<CatalogRow> {
  return { ...row, digest: undefined };
}

function block(field: keyof TableBlock) {
  return change("blocks", field);
}

function segment(field: keyof TableSegment) {
  return change("segments", field);
}

/** Changes one field of the second-last item, as little as the order of the table allows. */
function change(list: "blocks" | "segments", field: string) {
  return (table: Table): Table => {
    const items = table[list].map((item): Record<string, unknown> => ({ ...item }));
    const at = list === "blocks" ? items.length - 2 : items.length - 1;
    const item = items[at] ?? {};
    const value = item[field];
    items[at] = {
      ...item,
      [field]: typeof value === "boolean" ? !value : (value as number) + (list === "blocks" ? -1 : 1),
    };
    if (field === "sourceId") items[at] = { ...item, [field]: 5 };
    return { ...table, [list]: items };
  };
}

/** A file of the byte `x` with PAX records, and some fields of its ustar header as given. */
function withPax(
  path: string,
  records: readonly string[],
  fields: readonly (readonly [at: number, value: string])[],
): Uint8Array {
  const lines = records.map((record) => {
    let length = record.length + 2;
    while (String(length).length + record.length + 2 !== length) length = String(length).length + record.length + 2;
    return `${length} ${record}\n`;
  });
  const body = utf8(lines.join(""));
  const tar = new Uint8Array(512 + Math.ceil(body.length / 512) * 512 + 1024);
  const plain = memberBytes(file(1, "a", "x"), utf8(path), 1);
  const at = tar.length - 1024;
  tar.set(plain.subarray(0, 512));
  tar.fill(0, 0, 100);
  tar.set(utf8("PaxHeaders/1"));
  tar.set(utf8(body.length.toString(8).padStart(11, "0")), 124);
  tar.set(utf8("00000000000"), 136);
  tar[156] = "x".charCodeAt(0);
  checksum(tar, 0);
  tar.set(body, 512);
  tar.set(plain, at);
  for (const [field, value] of fields) tar.set(utf8(value), at + field);
  checksum(tar, at);
  return tar;
}

function checksum(tar: Uint8Array, at: number): void {
  tar.fill(0x20, at + 148, at + 156);
  const sum = tar.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  tar.set(utf8(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
}
