// Allocation maps against partclone's and against the tools of the file systems; hostile metadata.

import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../../src/filesystem/crc32c.ts";
import { type Allocation, allocationOf } from "../../../src/filesystem/image/allocation.ts";
import { type ByteReader, readerOfFd } from "../../../src/filesystem/reader.ts";
import { identify } from "../../../src/filesystem/superblock/identify.ts";
import { missing, partcloneMap } from "../../support/partclone.ts";
import { must } from "../../support/run.ts";

const MiB = 1024 * 1024;
let folder: string;
let content: string;
let count = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsfsa-maps-"));
  content = join(folder, "content");
  for (let i = 0; i < 20; i++) {
    mkdirSync(join(content, `d${i}`), { recursive: true });
    for (let j = 0; j < 5; j++)
      writeFileSync(join(content, `d${i}`, `f${j}`), Buffer.alloc(700 * (i + 1) * (j + 1), i + 1));
  }
  cpSync(join(content, "d1"), join(content, "copy"), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function make(sizeBytes: number, argv: (image: string) => readonly string[]): Promise<string> {
  const image = join(folder, `${count++}.img`);
  writeFileSync(image, "");
  truncateSync(image, sizeBytes);
  await must(argv(image));
  return image;
}

async function withReader<T>(image: string, body: (reader: ByteReader) => Promise<T>): Promise<T> {
  const fd = openSync(image, "r");
  try {
    return await body(readerOfFd(fd));
  } finally {
    closeSync(fd);
  }
}

async function mapOf(reader: ByteReader): Promise<Allocation> {
  return allocationOf(reader, await identify(reader));
}

function sum(runs: Float64Array): number {
  return runs.reduce((total, value, i) => (i % 2 === 1 ? total + value : total), 0);
}

const extGeometries: readonly [string, number, readonly string[]][] = [
  ["ext2", 40, ["-t", "ext2", "-b", "1024"]],
  ["ext3", 40, ["-t", "ext3", "-b", "4096"]],
  ["ext4", 96, ["-t", "ext4", "-b", "4096"]],
  ["ext4 with blocks of 1 KiB", 96, ["-t", "ext4", "-b", "1024"]],
  ["many small groups", 40, ["-t", "ext4", "-b", "1024", "-g", "1024"]],
  ["32-bit descriptors", 64, ["-t", "ext4", "-b", "1024", "-O", "^64bit"]],
  ["meta_bg", 96, ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "1024"]],
  ["bigalloc", 96, ["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "65536"]],
  ["bigalloc with blocks of 1 KiB", 96, ["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "16384"]],
  ["sparse_super2", 96, ["-t", "ext4", "-b", "1024", "-O", "sparse_super2"]],
  ["no flex_bg", 96, ["-t", "ext4", "-b", "1024", "-O", "^flex_bg"]],
  ["uninit_bg", 96, ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"]],
  ["no checksums", 96, ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"]],
  ["metadata_csum_seed", 64, ["-t", "ext4", "-b", "4096", "-O", "metadata_csum_seed"]],
  ["no journal", 64, ["-t", "ext4", "-b", "4096", "-O", "^has_journal"]],
];

describe("the map of ext", () => {
  it.each(extGeometries)("has what partclone has, and as much as dumpe2fs says: %s", async (_, sizeMiB, words) => {
    const image = await make(sizeMiB * MiB, (path) => ["mke2fs", "-q", "-F", "-d", content, ...words, path]);
    const found = await withReader(image, mapOf);
    expect(found.doubt).toBeUndefined();
    // partclone knows no bigalloc.
    if (!words.includes("-C")) {
      expect(missing(await partcloneMap("ext4", image, `${image}.map`), found.runs)).toEqual([]);
    }
    const { stdout } = await must(["dumpe2fs", "-h", image]);
    const number = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)$`, "m").exec(stdout.toString())?.[1]);
    const used = (number("Block count") - number("Free blocks")) * number("Block size");
    expect(sum(found.runs)).toBe(used);
    expect(found.endBytes).toBe(number("Block count") * number("Block size"));
  });

  it("reads everything of a file system that was not unmounted cleanly, or has unknown features", async () => {
    const image = await make(16 * MiB, (path) => ["mke2fs", "-q", "-F", "-t", "ext4", path]);
    for (const [request, doubt] of [
      ["feature needs_recovery", "journal"],
      ["ssv state 0", "cleanly"],
      ["feature FEATURE_I30", "features that are not known"],
      ["ssv free_blocks_count 17", "superblock 17"],
    ] as const) {
      const copy = `${image}.copy`;
      cpSync(image, copy);
      await must(["debugfs", "-w", "-R", request, copy]);
      const found = await withReader(copy, mapOf);
      expect(found.doubt, request).toContain(doubt);
      expect(found.runs).toEqual(Float64Array.of(0, 16 * MiB));
    }
  });
});

const xfsGeometries: readonly [string, readonly string[]][] = [
  ["plain", []],
  ["small blocks", ["-b", "size=1024", "-d", "agcount=4"]],
  ["without reflink and rmapbt", ["-m", "reflink=0,rmapbt=0"]],
  ["with rmapbt", ["-m", "rmapbt=1"]],
  ["version 4", ["-m", "crc=0"]],
  ["sectors of 4 KiB", ["-s", "size=4096"]],
];

describe("the map of xfs", () => {
  it.each(xfsGeometries)("has what partclone has, and as much as xfs_db says: %s", async (_, words) => {
    const image = await make(320 * MiB, (path) => ["mkfs.xfs", "-q", "-f", ...words, path]);
    const found = await withReader(image, mapOf);
    expect(found.doubt).toBeUndefined();
    expect(missing(await partcloneMap("xfs", image, `${image}.map`), found.runs)).toEqual([]);
    const { stdout } = await must([
      "xfs_db",
      "-r",
      "-c",
      "sb 0",
      "-c",
      "p blocksize dblocks",
      "-c",
      "freesp -s",
      image,
    ]);
    const text = stdout.toString();
    const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1]);
    const free = number(/^total free blocks (\d+)$/m);
    expect(sum(found.runs)).toBeLessThanOrEqual(
      (number(/^dblocks = (\d+)$/m) - free + 64 * 16) * number(/^blocksize = (\d+)$/m),
    );
    rmSync(image);
  });
});

const btrfsGeometries: readonly [string, readonly string[]][] = [
  ["metadata twice", ["-m", "dup"]],
  ["all once", ["-m", "single", "-d", "single"]],
  ["all twice", ["-m", "dup", "-d", "dup"]],
  ["mixed groups", ["-M"]],
  ["sha256", ["--csum", "sha256"]],
  ["blake2", ["--csum", "blake2"]],
  ["xxhash, nodes of 4 KiB", ["--csum", "xxhash", "-n", "4096"]],
];

/** What the tools of btrfs say is in use: extents of the extent tree, by the stripes of their chunk. */
async function btrfsExtents(image: string): Promise<[number, number][]> {
  const dump = async (tree: string): Promise<string> =>
    (await must(["btrfs", "inspect-internal", "dump-tree", "-t", tree, image])).stdout.toString();
  const nodeSize = Number(
    /^nodesize\s+(\d+)$/m.exec((await must(["btrfs", "inspect-internal", "dump-super", image])).stdout.toString())?.[1],
  );
  const chunks = [...(await dump("chunk")).matchAll(/CHUNK_ITEM (\d+)\).*\n\s+length (\d+)((?:(?!key \()[^])*)/g)].map(
    ([, logical, length, rest]) => ({
      logical: Number(logical),
      length: Number(length),
      stripes: [...(rest ?? "").matchAll(/devid 1 offset (\d+)/g)].map(([, offset]) => Number(offset)),
    }),
  );
  const extents = [...(await dump("extent")).matchAll(/key \((\d+) (EXTENT|METADATA)_ITEM (\d+)\)/g)];
  return extents.flatMap(([, start, kind, offset]) => {
    const length = kind === "METADATA" ? nodeSize : Number(offset);
    const chunk = chunks.find((each) => Number(start) >= each.logical && Number(start) < each.logical + each.length);
    if (chunk === undefined || chunk.stripes.length === 0)
      throw new Error(`extent ${start} lies in no chunk of the dump`);
    return chunk.stripes.map((stripe): [number, number] => [stripe + Number(start) - chunk.logical, length]);
  });
}

// partclone is no judge here: it copies whole stripes and chunks from the first extent in them on.
describe("the map of btrfs", () => {
  it.each(btrfsGeometries)("has what the dumped trees tell, and little more: %s", async (_, words) => {
    const image = await make(320 * MiB, (path) => ["mkfs.btrfs", "-q", "-f", ...words, "--rootdir", content, path]);
    const found = await withReader(image, mapOf);
    expect(found.doubt).toBeUndefined();
    const extents = await btrfsExtents(image);
    expect(extents.length).toBeGreaterThan(50);
    const bytes = extents.reduce((total, [, length]) => total + length, 0);
    for (const extent of extents) expect(missing([extent], found.runs)).toEqual([]);
    // The first MiB, and the superblock's copy at 64 MiB.
    expect(sum(found.runs)).toBeLessThanOrEqual(bytes + MiB + 4096);
    rmSync(image);
  });
});

/** A reader of a changed image; `mend` makes checksums right again. */
function changed(
  reader: ByteReader,
  changes: ReadonlyMap<number, number>,
  mend: (bytes: Uint8Array) => void,
): ByteReader {
  return {
    sizeBytes: reader.sizeBytes,
    read(offset, length) {
      const bytes = reader.read(offset, length).slice();
      let touched = false;
      for (const [at, value] of changes) {
        if (at < offset || at >= offset + bytes.length) continue;
        bytes[at - offset] = value;
        touched = true;
      }
      if (touched) mend(bytes);
      return bytes;
    },
  };
}

const hostile: readonly [string, number, (path: string) => readonly string[], (bytes: Uint8Array) => void, number?][] =
  [
    ["ext2", 8, (path) => ["mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024", "-d", content, path], () => undefined],
    ["ext4", 16, (path) => ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", path], () => undefined],
    ["xfs without checksums", 320, (path) => ["mkfs.xfs", "-q", "-f", "-m", "crc=0", path], () => undefined, 15],
    [
      "btrfs with right checksums",
      256,
      (path) => ["mkfs.btrfs", "-q", "-f", "--rootdir", content, path],
      (bytes) => {
        if (bytes.length >= 4096) new DataView(bytes.buffer).setUint32(0, crc32c(bytes.subarray(32)), true);
      },
    ],
  ];

describe("a hostile image", () => {
  it.each(hostile)(
    "is mapped within the device, or read whole: %s",
    async (_, sizeMiB, argv, mend, numRuns = 60) => {
      const image = await make(sizeMiB * MiB, argv);
      await withReader(image, async (reader) => {
        const identity = await identify(reader);
        const places: [number, number][] = [];
        const recorder: ByteReader = {
          sizeBytes: reader.sizeBytes,
          read: (offset, length) => {
            places.push([offset, length]);
            return reader.read(offset, length);
          },
        };
        expect((await allocationOf(recorder, identity)).doubt).toBeUndefined();
        const place = fc
          .tuple(fc.nat({ max: places.length - 1 }), fc.oneof(fc.nat({ max: 255 }), fc.nat({ max: 65_535 })))
          .map(([index, within]) => {
            const [offset, length] = places[index] as [number, number];
            return offset + (within % length);
          });
        const changes = fc.array(
          fc.tuple(place, fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat({ max: 255 }))),
          {
            minLength: 1,
            maxLength: 8,
          },
        );
        await fc.assert(
          fc.asyncProperty(changes, async (list) => {
            const { runs, endBytes } = await allocationOf(changed(reader, new Map(list), mend), identity);
            let at = 0;
            for (let i = 0; i < runs.length; i += 2) {
              expect(runs[i]).toBeGreaterThanOrEqual(at);
              at = (runs[i] as number) + (runs[i + 1] as number);
            }
            expect(at).toBeLessThanOrEqual(endBytes);
            expect(endBytes).toBeLessThanOrEqual(reader.sizeBytes);
          }),
          { seed: 1702, numRuns },
        );
      });
    },
    120_000,
  );

  it("that claims more than the device holds is read whole", async () => {
    const image = await make(32 * MiB, (path) => ["mke2fs", "-q", "-F", "-t", "ext4", path]);
    truncateSync(image, 31 * MiB);
    const found = await withReader(image, mapOf);
    expect(found.doubt).toContain("larger than the device");
    expect(found.runs).toEqual(Float64Array.of(0, 31 * MiB));
  });
});
