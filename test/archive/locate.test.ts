// Random archives of many small blocks and segments: what locate finds by the index is what a walk over all entries finds.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArchiveIndex } from "../../src/archive/archive-index.ts";
import { locate, type Part } from "../../src/archive/locate.ts";
import { PartReader } from "../../src/archive/part-reader.ts";
import { ArchiveReader } from "../../src/archive/reader.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { compileSelection } from "../../src/base/pattern.ts";
import { createEncoder } from "../../src/codec/codec.ts";
import { createDigest } from "../../src/codec/digest.ts";
import { RowEncoder } from "../../src/format/segment.ts";
import { emptyTotals } from "../../src/format/summary.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { catalogRow } from "../support/rows.ts";
import { draws } from "../support/draws.ts";

interface Entry {
  readonly source: number;
  /** Components below the root; none for the root. */
  readonly path: readonly string[];
  readonly isDirectory: boolean;
  readonly block: number;
}

interface Node {
  readonly [name: string]: Node | null;
}

interface MutableNode {
  [name: string]: MutableNode | null;
}

const signal = new AbortController().signal;
const name = fc.stringMatching(/^[ab-]{1,2}[.x]?$/).filter((text) => text !== "." && text !== "..");
/** Some dozens of entries: with a block for each, a segment holds 16. */
const node: fc.Arbitrary<Node> = fc
  .array(fc.array(name, { minLength: 1, maxLength: 4 }), { size: "max", maxLength: 60 })
  .map((paths) => {
    const root: MutableNode = {};
    for (const path of paths) {
      let directory = root;
      for (const part of path.slice(0, -1)) directory = directory[part] ??= {};
      directory[path.at(-1) as string] ??= null;
    }
    return root;
  });
const pattern = fc.oneof(
  fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join("/")}`),
  fc.constantFrom("*x", "/a*", "/*/b", "**/a.", "a/", "/b/**", "!/a", "!b"),
);

describe("locate", () => {
  it("finds the blocks of what is selected and of the directories above it, and no others", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tsfsa-locate-"));
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(node, { minLength: 1, maxLength: 3 }),
          fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
          fc.array(pattern, { minLength: 1, maxLength: 3 }),
          fc.boolean(),
          async (trees, sizes, patterns, onlyLast) => {
            const file = join(folder, "a.tsfsa");
            const entries = await writeArchive(file, trees, sizes);
            const reader = await ArchiveReader.open(file, signal);
            try {
              const index = (await ArchiveIndex.open(reader)) as ArchiveIndex;
              const sources = onlyLast ? [trees.length - 1] : [...trees.keys()];
              const found = await locate(index, sources, compileSelection(patterns), signal);
              const selected = select(entries, sources, patterns);
              expect(found.entries).toBe(selected.length);
              expect(found.parts.map(({ block }) => block)).toEqual(blocksOf(entries, selected));
              for (const part of found.parts) expect(placeOf(part)).toEqual(expectedPlace(entries, part.block));
              const read: number[] = [];
              for await (const { blocks } of new PartReader(reader, index, found.parts).groups()) {
                read.push(...blocks.map(({ record }) => record.number));
              }
              expect(read).toEqual(found.parts.map(({ block }) => block));
              for (const [entry, { block }] of entries.entries()) expect(index.blockOf(entry)).toBe(block);
            } finally {
              await reader.close();
            }
          },
        ),
        { numRuns: draws(150) },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each(["..", "a/b", "."])("takes no link into a directory called %s", async (bad) => {
    const folder = mkdtempSync(join(tmpdir(), "tsfsa-locate-"));
    try {
      const file = join(folder, "a.tsfsa");
      const base = { kind: EntryKind.fifo, depth: 1, linked: true };
      writeFileSync(
        file,
        await archiveOfRows([
          rowOf({ source: 0, path: [], isDirectory: true, block: 0 }, 0),
          { ...rowOf({ source: 0, path: ["-"], isDirectory: false, block: 0 }, 1), ...base },
          rowOf({ source: 0, path: [bad], isDirectory: true, block: 0 }, 2),
          {
            ...rowOf({ source: 0, path: [bad, "link"], isDirectory: false, block: 0 }, 3),
            kind: EntryKind.hardlink,
            linkEntry: 1,
          },
        ]),
      );
      const reader = await ArchiveReader.open(file, signal);
      const index = (await ArchiveIndex.open(reader)) as ArchiveIndex;
      await expect(locate(index, [0], compileSelection(["link"]), signal)).rejects.toMatchObject({
        code: "ARCHIVE_HOSTILE",
      });
      await reader.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("has no index where the end is cut off", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tsfsa-locate-"));
    try {
      const file = join(folder, "a.tsfsa");
      const bytes = await archiveOf([{ a: null }], [2]);
      for (const length of [bytes.length - 1, bytes.length - 128, bytes.length - 300]) {
        writeFileSync(file, bytes.subarray(0, length));
        const reader = await ArchiveReader.open(file, signal);
        expect(await ArchiveIndex.open(reader)).toBeUndefined();
        await reader.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

function select(entries: readonly Entry[], sources: readonly number[], patterns: readonly string[]): Entry[] {
  const selection = compileSelection(patterns);
  return entries.filter(
    ({ source, path, isDirectory }) =>
      sources.includes(source) && path.length > 0 && selection.selects(Buffer.from(path.join("/")), isDirectory),
  );
}

function blocksOf(entries: readonly Entry[], selected: readonly Entry[]): number[] {
  const blocks = new Set<number>();
  for (const { source, path } of selected) {
    for (const entry of entries) {
      const isAtOrAbove = entry.source === source && entry.path.every((part, i) => part === path[i]);
      if (isAtOrAbove) blocks.add(entry.block);
    }
  }
  return [...blocks].toSorted((a, b) => a - b);
}

function placeOf({ source, ancestors }: Part): unknown {
  return { source, ancestors: ancestors.map((each) => Buffer.from(each).toString()) };
}

function expectedPlace(entries: readonly Entry[], block: number): unknown {
  const first = entries.find((entry) => entry.block === block) as Entry;
  const { source, path } = first;
  return { source, ancestors: path.length === 0 ? [] : ["", ...path.slice(0, -1)] };
}

async function writeArchive(file: string, trees: readonly Node[], sizes: readonly number[]): Promise<Entry[]> {
  writeFileSync(file, await archiveOf(trees, sizes));
  return entriesOf(trees, sizes);
}

/** Entries in the archive's order, cut into blocks of the sizes in turn; a block holds entries of one source. */
function entriesOf(trees: readonly Node[], sizes: readonly number[]): Entry[] {
  const entries: Entry[] = [];
  let block = -1;
  let left = 0;
  let source = 0;
  const add = (path: readonly string[], isDirectory: boolean): void => {
    if (left === 0 || path.length === 0) {
      block++;
      left = sizes[block % sizes.length] as number;
    }
    left--;
    entries.push({ source, path, isDirectory, block });
  };
  const walk = (tree: Node, path: readonly string[]): void => {
    add(path, true);
    for (const key of Object.keys(tree).toSorted()) {
      const below = tree[key];
      if (below === null || below === undefined) add([...path, key], false);
      else walk(below, [...path, key]);
    }
  };
  for (const tree of trees) {
    walk(tree, []);
    source++;
  }
  return entries;
}

function archiveOf(trees: readonly Node[], sizes: readonly number[]): Promise<Uint8Array> {
  const entries = entriesOf(trees, sizes);
  const blocks: Entry[][] = [];
  for (const entry of entries) (blocks[entry.block] ??= []).push(entry);
  return write(
    trees.length,
    blocks.map((block) => {
      const { source, path } = block[0] as Entry;
      const ancestors = path.length === 0 ? [] : ["", ...path.slice(0, -1)];
      return { source, ancestors, rows: block.map(rowOf) };
    }),
  );
}

/** One source, one block. */
function archiveOfRows(rows: readonly CatalogRow[]): Promise<Uint8Array> {
  return write(1, [{ source: 0, ancestors: [], rows }]);
}

interface Block {
  readonly source: number;
  readonly ancestors: readonly string[];
  readonly rows: readonly CatalogRow[];
}

/** An archive whose frames hold nothing of their rows: nobody decodes them here. */
async function write(sources: number, blocks: readonly Block[]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const sink = {
    offset: 0,
    async write(bytes: readonly Uint8Array[]): Promise<void> {
      for (const each of bytes) {
        parts.push(each.slice());
        this.offset += each.length;
      }
    },
  };
  const digest = await createDigest("xxh128");
  const writer = await ArchiveWriter.create(sink, headOf(sources), digest);
  const encoder = await createEncoder("zstd", 1);
  const target = new Uint8Array(encoder.bound(512));
  const frame = target.slice(0, encoder.compress(target, 0, new Uint8Array(512), 0, 512));
  const encoded = new RowEncoder();
  for (const { source, ancestors, rows } of blocks) {
    for (const row of rows) encoded.add(row);
    await writer.writeBlock({
      frame,
      uncompressedLength: 512,
      sourceId: source,
      rows: encoded.finish(),
      digest: digest.block(frame),
      ancestors: ancestors.map((each) => Buffer.from(each)),
    });
  }
  const totals = Array.from({ length: sources }, emptyTotals);
  await writer.finish(totals, 0, undefined);
  return concatBytes(parts);
}

function headOf(sources: number): Parameters<typeof ArchiveWriter.create>[1] {
  return {
    format: 1,
    oldestReader: 1,
    archiveId: "00112233445566778899aabbccddeeff",
    creator: "test",
    created: "2026-01-01T00:00:00Z",
    label: "",
    codec: "zstd",
    level: 1,
    blockSize: 1024 * 1024,
    digest: "xxh128",
    sources: Array.from({ length: sources }, (_, id) => ({ kind: "directory", prefix: `${id}/`, origin: "" })),
  };
}

function rowOf({ path, isDirectory }: Entry, index: number): CatalogRow {
  const kind = isDirectory ? EntryKind.directory : EntryKind.fifo;
  return catalogRow({ kind, depth: path.length, name: Buffer.from(path.at(-1) ?? ""), offset: index * 512 });
}
