// Bytes written out by hand from docs/FORMAT.md: if one of these fails, the format has changed, and old archives cannot be read.

import { describe, expect, test } from "vitest";
import { ByteWriter, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { encodeBlock } from "../../src/format/block.ts";
import { MemberEncoder, type MemberFields } from "../../src/format/member.ts";
import { encodeRecord, RecordType } from "../../src/format/record.ts";
import { encodeRow } from "../../src/format/row.ts";
import { encodeSegmentContent } from "../../src/format/segment.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";

const archiveId = fromHex("00112233445566778899aabbccddeeff") as Uint8Array;

const row: CatalogRow = {
  kind: EntryKind.file,
  depth: 2,
  name: utf8("ab"),
  offset: 1024,
  mode: 0o644,
  uid: 1000,
  gid: 100,
  size: 300,
  mtime: { seconds: -1, nanoseconds: 5 },
  atime: { seconds: 1, nanoseconds: 0 },
  btime: { seconds: -2, nanoseconds: 0 },
  inodeFlags: 0x80000,
  projectId: 0,
  linked: true,
  changed: false,
  damaged: true,
  sparse: false,
  attributesLost: false,
  continued: false,
  digest: new Uint8Array(16).fill(0xdd),
  damagedRanges: [{ offset: 0, length: 300 }],
};

const rowHex = [
  "00 15 02 026162 02", // kind, flags digest|linked|damaged, depth, name, offset / 512
  "a403 e807 64 ac02", // mode, uid, gid, size
  "01 05 04 00 01 01 00", // mtime −1 s 5 ns; atime 2 s later; birth time known, 1 s earlier
  "808020 00", // inode flags, project id
  "01 03 03 00ac02", // one extra: tag 3, three bytes, offset 0, length 300
]
  .join("")
  .replaceAll(" ", "");

const plain: MemberFields = {
  kind: EntryKind.file,
  path: utf8("./a"),
  mode: 0o4755,
  uid: 8,
  gid: 0,
  size: 65,
  mtimeSeconds: 8,
  mtimeNanoseconds: 0,
  entryNumber: 3,
};

function member(fields: MemberFields): string {
  const bytes = new Uint8Array(4096);
  const end = new MemberEncoder().encode(bytes, 0, fields);
  return String.fromCharCode(...bytes.subarray(0, end));
}

function zeros(length: number): string {
  return "\0".repeat(length);
}

/** A ustar header as text, group 0, no link, no device, no prefix. */
function header(name: string, mode: string, uid: string, size: string, mtime: string, type: string): string {
  const ids = `${mode}\0${uid}\0${"0".repeat(7)}\0`;
  const start = `${name}${zeros(100 - name.length)}${ids}${size}\0${mtime}\0`;
  const end = `${type}${zeros(100)}ustar\u000000${zeros(64)}0000000\u00000000000\u0000${zeros(167)}`;
  const sum = Buffer.from(`${start}        ${end}`, "latin1").reduce((total, byte) => total + byte, 0);
  return `${start}${sum.toString(8).padStart(6, "0")}\0 ${end}`;
}

describe("the format", () => {
  test("of a record header", () => {
    const record = toHex(encodeRecord(RecordType.summary, archiveId, 258, utf8("{}")));
    expect(record.slice(0, 96)).toBe(
      `5a2a4d183a000000${"8f5453465341 0d0a".replace(" ", "")}0500010002000000${toHex(archiveId)}0201000000000000`,
    );
    expect(record.slice(128)).toBe("7b7d");
  });

  test("of a block record's payload", () => {
    const block = {
      number: 1,
      tarOffset: 1024,
      compressedLength: 3,
      uncompressedLength: 512,
      firstEntry: 4,
      entryCount: 0,
      sourceId: 2,
      codec: "lz4" as const,
      end: false,
      continuation: { entry: 3, fileOffset: 1 << 20 },
      digest: archiveId,
      chain: archiveId,
    };
    expect(toHex(encodeBlock(block, 115))).toBe(
      `0100000000000000000400000000000003000000000200000400000000000000000000000200020103000000000000000000100000000000${toHex(archiveId).repeat(2)}${"00".repeat(27)}`,
    );
  });

  test("of a catalog row", () => {
    const writer = new ByteWriter();
    encodeRow(writer, row);
    expect(toHex(writer.view())).toBe(rowHex);
  });

  test("of a segment's content", () => {
    const content = encodeSegmentContent({
      ancestors: [new Uint8Array(0), utf8("d")],
      blocks: [{ count: 1, rows: fromHex(rowHex) as Uint8Array, digests: row.digest as Uint8Array }],
      completions: [
        {
          entry: 2,
          damaged: false,
          changed: true,
          digest: new Uint8Array(16).fill(0xcc),
          damagedRanges: [{ offset: 1, length: 2 }],
        },
      ],
    });
    expect(toHex(content)).toBe(`010200016401${rowHex}010202${"cc".repeat(16)}010102${"dd".repeat(16)}`);
  });

  test("of a tar header, and of the extended one before it", () => {
    const [none, eight] = ["00000000000", "00000000010"];
    expect(member(plain)).toBe(header("./a", "0004755", "0000010", "00000000101", eight, "0"));
    const text = "17 mtime=8.00005\n";
    expect(member({ ...plain, mtimeNanoseconds: 50_000 })).toBe(
      header("PaxHeaders/3", "0000644", "0000000", "00000000021", none, "x") +
        text +
        zeros(512 - text.length) +
        header("./a", "0004755", "0000010", "00000000101", none, "0"),
    );
  });
});
