// The payloads of fixed layout and the JSON ones: block, footer, table, head, summary.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { blockPayloadLengthAt, decodeBlock, encodeBlock } from "../../src/format/block.ts";
import { extendChain, startChain } from "../../src/format/chain.ts";
import { xxh64 } from "../../src/format/checksum.ts";
import { decodeFooter, encodeFooter } from "../../src/format/footer.ts";
import { decodeHead, encodeHead, prefixBytes } from "../../src/format/head.ts";
import { decodeSummary, emptyTotals, encodeSummary } from "../../src/format/summary.ts";
import { decodeTable, encodeTable, tableCapacity } from "../../src/format/table.ts";
import type { Head, Summary, TableBlock, TableSegment } from "../../src/model/archive.ts";
import { codeOf } from "./expect.ts";

const MiB = 1024 * 1024;
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });

const block = fc
  .record({
    number: fc.maxSafeNat(),
    tarOffset: fc.nat(2 ** 40).map((value) => value * 512),
    compressedLength: fc.integer({ min: 1, max: 65 * MiB }),
    uncompressedLength: fc.integer({ min: 1, max: 64 * 2048 }).map((value) => value * 512),
    firstEntry: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    sourceId: fc.nat(4095),
    codec: fc.constantFrom("zstd", "lz4"),
    digest: sixteen,
    chain: sixteen,
  })
  .chain((common) =>
    fc.oneof(
      fc.integer({ min: 1, max: 0xffff_ffff }).map((entryCount) => ({ ...common, entryCount, end: false })),
      fc
        .record({ entry: fc.nat(common.firstEntry - 1), fileOffset: fc.nat(2 ** 32).map((value) => value * MiB) })
        .map((continuation) => ({ ...common, entryCount: 0, end: false, continuation })),
      fc
        .nat(1000)
        .map((entryCount) => ({ ...common, entryCount, end: true, sourceId: 0xffff, uncompressedLength: 1024 })),
    ),
  );

describe("a block record", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(block, fc.integer({ min: 112, max: 4207 }), (value, length) => {
        const payload = encodeBlock(value, length);
        expect(payload).toHaveLength(length);
        expect(decodeBlock(payload)).toEqual(value);
      }),
    );
  });

  test("ends where its frame is aligned, and in archives of format 1 at once", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), (offset) => {
        const length = blockPayloadLengthAt(offset, 2);
        expect(length).toBeGreaterThanOrEqual(112);
        expect(length).toBeLessThan(112 + 4096);
        expect((offset + 64 + length) % 4096).toBe(0);
        expect(blockPayloadLengthAt(offset, 1)).toBe(112);
      }),
    );
    expect([4096 - 176, 4096 - 175, 4096].map((at) => blockPayloadLengthAt(at, 2))).toEqual([112, 4207, 4032]);
  });

  test("with any illegal field is damage", () => {
    const fields = {
      number: 3,
      tarOffset: 1024,
      compressedLength: 100,
      uncompressedLength: 512,
      firstEntry: 9,
      entryCount: 1,
      sourceId: 0,
      codec: "zstd" as const,
      end: false,
      digest: new Uint8Array(16),
      chain: new Uint8Array(16),
    };
    const plain = encodeBlock(fields, 120);
    const changed = (at: number, byte: number): Uint8Array => {
      const bytes = plain.slice();
      bytes[at] = byte;
      return bytes;
    };
    const illegal: [number, number][] = [
      [8, 1], // tar offset no multiple of 512
      [7, 1], // number over 2^53
      [19, 0xff], // compressed length over 65 MiB
      [16, 0], // compressed length 0
      [20, 1], // uncompressed length no multiple of 512
      [23, 0xff], // over 64 MiB
      [21, 0], // 0
      [32, 0], // a plain block without entries
      [37, 0xff], // source id over 4095
      [38, 3], // codec
      [39, 1], // continuation with entries
      [39, 2], // end with a source
      [39, 4], // reserved flag
      [40, 1], // continuation field in a plain block
      [88, 1], // reserved
      [112, 1], // before the frame
      [119, 1],
      [111, 1],
    ];
    for (const [at, byte] of illegal) expect(codeOf(() => decodeBlock(changed(at, byte)))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => decodeBlock(plain.subarray(1)))).toBe("ARCHIVE_DAMAGED");
  });
});

describe("a footer", () => {
  test("comes back as it was", () => {
    const footer = {
      tableOffset: 4096,
      summaryOffset: 5000,
      archiveLength: 2 ** 50,
      entries: 12,
      chain: Uint8Array.from({ length: 16 }, (_, index) => index),
      blocks: 3,
    };
    expect(encodeFooter(footer)).toHaveLength(64);
    expect(decodeFooter(encodeFooter(footer))).toEqual(footer);
    expect(codeOf(() => decodeFooter(encodeFooter({ ...footer, summaryOffset: 4096 })))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => decodeFooter(encodeFooter({ ...footer, archiveLength: 5000 })))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => decodeFooter(encodeFooter(footer).subarray(1)))).toBe("ARCHIVE_DAMAGED");
  });

  test("made of random bytes throws nothing but damage", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(["none", "ARCHIVE_DAMAGED"]).toContain(codeOf(() => decodeFooter(bytes)));
      }),
    );
  });
});

const tableSteps = fc.array(
  fc.record({
    gap: fc.nat(1000),
    compressedLength: fc.integer({ min: 1, max: 5 * MiB }),
    uncompressedLength: fc.integer({ min: 1, max: 9000 }).map((value) => value * 512),
    entryCount: fc.nat(5000),
    sourceId: fc.constantFrom(0, 1, 0xffff),
    continuation: fc.boolean(),
    end: fc.boolean(),
  }),
  { maxLength: 40 },
);

function tableOf(steps: readonly (Omit<TableBlock, "offset" | "firstEntry" | "tarOffset"> & { gap: number })[]): {
  blocks: TableBlock[];
  segments: TableSegment[];
} {
  const blocks: TableBlock[] = [];
  const segments: TableSegment[] = [];
  let [offset, firstEntry, tarOffset] = [700, 0, 1024];
  for (const { gap, ...step } of steps) {
    offset += gap;
    blocks.push({ ...step, offset, firstEntry, tarOffset });
    segments.push({
      offset,
      payloadLength: 24,
      entryCount: step.entryCount,
      firstEntry,
      firstBlock: blocks.length - 1,
    });
    offset += step.compressedLength + 24;
    firstEntry += step.entryCount;
    tarOffset += step.uncompressedLength;
  }
  return { blocks, segments };
}

describe("a table", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(tableSteps.map(tableOf), (table) => {
        expect(decodeTable(encodeTable(table))).toEqual(table);
      }),
    );
  });

  test("whose blocks or segments are out of order is damage", () => {
    fc.assert(
      fc.property(tableSteps.map(tableOf), (table) => {
        fc.pre(table.blocks.length > 1);
        const blocks = table.blocks.toReversed();
        const segments = table.segments.toReversed();
        expect(codeOf(() => decodeTable(encodeTable({ ...table, blocks })))).toBe("ARCHIVE_DAMAGED");
        expect(codeOf(() => decodeTable(encodeTable({ ...table, segments })))).toBe("ARCHIVE_DAMAGED");
      }),
    );
  });

  test("that claims more rows than it has is damage, before anything is allocated", () => {
    const bytes = encodeTable({ blocks: [], segments: [] });
    bytes[4] = 0xff;
    expect(codeOf(() => decodeTable(bytes))).toBe("ARCHIVE_DAMAGED");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        expect(["none", "ARCHIVE_DAMAGED"]).toContain(codeOf(() => decodeTable(random)));
      }),
    );
  });

  test("holds about 13 million blocks", () => {
    expect(tableCapacity(0)).toBeGreaterThan(13_000_000);
    expect(tableCapacity(1000)).toBe(tableCapacity(0) - 800);
  });
});

const head: Head = {
  format: 2,
  oldestReader: 2,
  archiveId: "00112233445566778899aabbccddeeff",
  creator: "tsfsa 0.1.0",
  created: "2026-11-21T12:00:00Z",
  label: "nächtlich",
  codec: "zstd",
  level: 3,
  blockSize: 4 * MiB,
  digest: "xxh128",
  preamble: { length: 600, digest: "00".repeat(16) },
  sources: [
    {
      kind: "filesystem",
      prefix: "0/",
      origin: "/dev/vda1",
      filesystem: {
        type: "ext4",
        label: null,
        labelBase64: "/w==",
        uuid: "0c5d1c3c-0000-4000-8000-000000000000",
        sizeBytes: 2 ** 40,
        usedBytes: 5,
        blockSize: 4096,
        parameters: { features: ["extent"], deep: { er: [1, null] } },
      },
    },
    { kind: "directory", prefix: "home/\ufffd/", prefixBase64: "aG9tZS//Lw==", origin: "/home" },
  ],
};

function headWith(change: (value: Record<string, unknown>) => void): Uint8Array {
  const value = structuredClone(head) as unknown as Record<string, unknown>;
  change(value);
  return utf8(JSON.stringify(value));
}

describe("a head", () => {
  test("comes back as it was, and unknown keys are passed over", () => {
    expect(decodeHead(encodeHead(head))).toEqual(head);
    expect(decodeHead(headWith((value) => Object.assign(value, { future: { x: 1 } })))).toEqual(head);
    expect(prefixBytes(head.sources[1] as (typeof head.sources)[1])).toEqual(
      Uint8Array.from([...utf8("home/"), 0xff, 0x2f]),
    );
  });

  test("that needs a newer reader is refused as such, whatever else it says", () => {
    const newer = headWith((value) => Object.assign(value, { oldestReader: 3, codec: "brotli", sources: 5 }));
    expect(codeOf(() => decodeHead(newer))).toBe("ARCHIVE_VERSION");
    expect(codeOf(() => decodeHead(headWith((value) => Object.assign(value, { format: 3 }))))).toBe("none");
    expect(decodeHead(headWith((value) => Object.assign(value, { format: 1, oldestReader: 1 })))).toMatchObject({
      format: 1,
    });
  });

  test("with an illegal or missing field is damage", () => {
    const illegal: Record<string, unknown[]> = {
      format: [0, "1", 1.5, null],
      oldestReader: [0, "1"],
      archiveId: ["00".repeat(16), "AA".repeat(16), "00", 5],
      creator: [5, null],
      created: ["2026-11-21", "2026-13-21T12:00:00Z", "2026-11-21T12:00:00.5Z"],
      label: [null],
      codec: ["gzip"],
      level: [23, -200_000, "3"],
      blockSize: [0, 512 * 1024, 33 * MiB, 4 * MiB + 1],
      digest: ["md5"],
      preamble: [null, [], { length: 0, digest: "00".repeat(16) }, { length: 5, digest: "00".repeat(32) }],
      sources: [[], {}, [null], Array.from({ length: 4097 }, () => head.sources[0])],
    };
    for (const [key, values] of Object.entries(illegal)) {
      expect(codeOf(() => decodeHead(headWith((value) => delete value[key])))).toBe("ARCHIVE_DAMAGED");
      for (const illegalValue of values) {
        const payload = headWith((value) => Object.assign(value, { [key]: illegalValue }));
        expect([key, codeOf(() => decodeHead(payload))]).toEqual([key, "ARCHIVE_DAMAGED"]);
      }
    }
  });

  test("whose source would lead out of its directory or is half described is damage", () => {
    const directory = { kind: "directory", prefix: "./", origin: "/" };
    const illegal = [
      ...["", "/", "a", "../", "a/../", "./a/", "a//", "\0/", `${"x".repeat(256)}/`, "./."].map((prefix) => ({
        ...directory,
        prefix,
      })),
      { ...directory, prefixBase64: "!" },
      { ...directory, kind: "tape" },
      { ...directory, kind: "filesystem" },
      { ...directory, filesystem: head.sources[0]?.filesystem },
      { ...directory, kind: "filesystem", filesystem: { ...head.sources[0]?.filesystem, type: "ext4 -F" } },
      { ...directory, kind: "filesystem", filesystem: { ...head.sources[0]?.filesystem, label: 5 } },
    ];
    for (const source of illegal) {
      const payload = headWith((value) => Object.assign(value, { sources: [source] }));
      expect([source, codeOf(() => decodeHead(payload))]).toEqual([source, "ARCHIVE_DAMAGED"]);
    }
  });

  test("that is not JSON, holds a key twice or is nested too deep is damage", () => {
    const text = JSON.stringify(head);
    const twice = text.replace('"level":3', '"level":3,"l\\u0065vel":4');
    expect(JSON.parse(twice)).toMatchObject({ level: 4 });
    for (const payload of [
      twice,
      text.replace('"extent"', '{"a":1,"a":1}'),
      `${text} x`,
      "",
      "[]",
      "null",
      `{"x":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`,
    ]) {
      expect(codeOf(() => decodeHead(utf8(payload)))).toBe("ARCHIVE_DAMAGED");
    }
    expect(codeOf(() => decodeHead(Uint8Array.from([...utf8('{"a":"'), 0xff, ...utf8('"}')])))).toBe("ARCHIVE_DAMAGED");
    const sameKeyElsewhere = headWith((value) => Object.assign(value, { a: { level: 1 }, b: '"level":5' }));
    expect(decodeHead(sameKeyElsewhere)).toEqual(head);
  });
});

describe("a summary", () => {
  const summary: Summary = {
    entries: 5,
    members: 4,
    blocks: 2,
    segments: 1,
    tables: 1,
    tarBytes: 4096,
    headLength: 900,
    headOffset2: 5000,
    sources: [{ ...emptyTotals(), entries: 5, bytes: 2 ** 50 }],
  };

  test("comes back as it was, with what the front end added", () => {
    expect(decodeSummary(encodeSummary(summary))).toEqual(summary);
    const withSnapshot = { ...summary, snapshot: { kind: "none" } };
    expect(decodeSummary(encodeSummary(withSnapshot))).toEqual(withSnapshot);
  });

  test("with an illegal or missing total is damage", () => {
    for (const value of [{ ...summary, entries: -1 }, { ...summary, sources: [{ entries: 1 }] }, { entries: 1 }]) {
      expect(codeOf(() => decodeSummary(utf8(JSON.stringify(value))))).toBe("ARCHIVE_DAMAGED");
    }
  });
});

/** Any function of bytes to 32 bytes. */
function hash(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(32);
  digest.set(xxh64(bytes));
  return digest;
}

describe("the chain", () => {
  test("covers every record and their order", () => {
    const [a, b] = [utf8("record a"), utf8("record b")];
    const start = startChain(hash, utf8("head"));
    expect(start).toEqual(hash(utf8("head")).slice(0, 16));
    const forward = extendChain(hash, extendChain(hash, start, a), b);
    expect(forward).toHaveLength(16);
    expect(forward).not.toEqual(extendChain(hash, extendChain(hash, start, b), a));
    expect(extendChain(hash, start, a)).toEqual(hash(Uint8Array.from([...start, ...a])).slice(0, 16));
  });
});
