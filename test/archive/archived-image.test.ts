// An image read out of its archive: the bytes of the image at any place, or a named loss, whatever was done to the archive; and whatever the file system in
// it says, listing and extracting its files ends.

import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArchivedImage, blocksOfSources } from "../../src/archive/archived-image.ts";
import { openSink } from "../../src/archive/open-sink.ts";
import { ArchiveReader } from "../../src/archive/reader.ts";
import { TsfsaError } from "../../src/base/errors.ts";
import { newHead } from "../../src/commands/head.ts";
import type { Codec } from "../../src/model/archive.ts";
import { LocalPool } from "../../src/pipeline/local-pool.ts";
import { saveJobs } from "../../src/save/handlers.ts";
import { saveArchive } from "../../src/save/save.ts";
import { Lab } from "../support/images.ts";
import { inlineExtract, inlineList } from "../support/inline.ts";
import { must, run } from "../support/run.ts";
import { draws } from "../support/draws.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const lab = new Lab();
afterAll(() => lab.close());

/** Archives runs of an image file; what is not in them is a hole. */
async function archiveOf(
  image: string,
  runs: readonly number[],
  codec: Codec = "zstd",
  type = "ext4",
): Promise<string> {
  const archive = lab.path("a.tsfsa");
  const size = readFileSync(image).length;
  const compression = { codec, level: 1, blockSize: MiB };
  const description = { file: "x.img", sizeBytes: size, endBytes: size, doubt: null, type };
  const source = { kind: "directory", prefix: "./", origin: "", image: description } as const;
  const head = newHead({ compression, label: "", digest: "xxh128" }, [source], {});
  const fd = openSync(image, "r");
  const mtime = { seconds: 0, nanoseconds: 0 };
  const root = { image: { fd, name: Buffer.from("x.img"), mtime, size, runs: Float64Array.from(runs) } };
  const sink = openSink(archive, { overwrite: false });
  const reporter = { warning: () => {}, progress: () => {}, step: () => {} };
  await saveArchive({ head, roots: [root], compression, workers: 1, recheck: false }, sink, {
    reporter,
    signal: new AbortController().signal,
    startPool: (data, trees) => new LocalPool(saveJobs(data, trees)),
  });
  await sink.commit();
  closeSync(fd);
  return archive;
}

async function withImage<Result>(archive: string, use: (image: ArchivedImage) => Result): Promise<Result> {
  const reader = await ArchiveReader.open(archive);
  try {
    const source = reader.head.sources[0] as Parameters<typeof ArchivedImage.open>[1];
    const blocks = (await blocksOfSources(reader)).get(0) ?? [];
    return use(await ArchivedImage.open(reader, source, blocks));
  } finally {
    await reader.close();
  }
}

/** What an archive of these runs holds. */
function expectedOf(content: Uint8Array, runs: readonly number[]): Uint8Array {
  const expected = new Uint8Array(content.length);
  for (let i = 0; i < runs.length; i += 2) {
    const [start = 0, length = 0] = runs.slice(i, i + 2);
    expected.set(content.subarray(start, start + length), start);
  }
  return expected;
}

const size = 6 * MiB + 1536;
const content = Buffer.alloc(size);
for (let i = 0, state = 7; i + 4 <= size; i += 4) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  content.writeUInt32LE(i % 8192 < 4096 ? state : 0, i);
}
const someRuns: readonly (readonly number[])[] = [
  [0, size],
  [],
  [4096, 512],
  [2 * MiB, MiB, 4 * MiB, 512],
  [0, 1024, MiB - 512, 2 * MiB + 1024, 5 * MiB, size - 5 * MiB],
  Array.from({ length: 700 }, (_, i) => [i * 8192 + 512, 4096]).flat(),
];

const place = fc.record({ position: fc.nat(size - 1), length: fc.integer({ min: 1, max: 3 * MiB }) });

describe("an archived image", () => {
  let image: string;
  beforeAll(() => {
    image = lab.path("content.img");
    writeFileSync(image, content);
  });

  it.each(["zstd", "lz4"] as const)("gives the bytes of any place, zeros for holes: %s", async (codec) => {
    for (const runs of someRuns) {
      const archive = await archiveOf(image, runs, codec);
      const expected = expectedOf(content, runs);
      await withImage(archive, (archived) => {
        expect(archived.sizeBytes).toBe(size);
        fc.assert(
          fc.property(place, ({ position, length: wanted }) => {
            const length = Math.min(wanted, size - position);
            const found = new Uint8Array(length + 2).fill(1);
            archived.readInto(found, 1, length, position);
            expect(Buffer.compare(found.subarray(1, -1), expected.subarray(position, position + length))).toBe(0);
            expect([found[0], found.at(-1)]).toEqual([1, 1]);
          }),
          { numRuns: draws(40) },
        );
      });
    }
  });

  it("gives right bytes or a named loss of an archive in which bytes were changed, or that was cut", async () => {
    const archive = await archiveOf(image, someRuns[4] as readonly number[]);
    const expected = expectedOf(content, someRuns[4] as readonly number[]);
    const whole = readFileSync(archive);
    const copy = lab.path("changed.tsfsa");
    const change = fc.record({
      at: fc.nat(whole.length - 1),
      mask: fc.integer({ min: 1, max: 255 }),
      cut: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, mask, cut }) => {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] as number) ^ mask;
        writeFileSync(copy, cut ? changed.subarray(0, at) : changed);
        try {
          await withImage(copy, (archived) => {
            const found = new Uint8Array(64 * KiB);
            for (let position = 0; position + found.length <= size; position += found.length) {
              try {
                archived.readInto(found, 0, found.length, position);
              } catch (error) {
                expect((error as TsfsaError).code).toBe("ARCHIVE_DAMAGED");
                expect(archived.damages.length).toBeGreaterThan(0);
                continue;
              }
              expect(Buffer.compare(found, expected.subarray(position, position + found.length))).toBe(0);
            }
          });
        } catch (error) {
          if (!(error instanceof TsfsaError)) throw error;
          expect(error.code).toMatch(/^ARCHIVE_/);
        }
      }),
      { numRuns: draws(150) },
    );
  });
});

describe("the files of a hostile image", () => {
  it("are listed and extracted as far as they go, and nothing else happens", async () => {
    const tree = lab.folder("tree");
    mkdirSync(join(tree, "a/b"), { recursive: true });
    for (let i = 0; i < 30; i++) writeFileSync(join(tree, `a/file ${i}`), `${i}`.repeat(i * 50));
    symlinkSync("../../outside", join(tree, "a/b/link"));
    const sample = lab.image("sample", 2 * MiB);
    const features = "^metadata_csum,^has_journal";
    await must(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "64", "-O", features, "-d", tree, sample]);
    const whole = readFileSync(sample);
    const hostile = lab.path("hostile.img");
    // Superblock, descriptors, bitmaps, inodes, and the first directories.
    const changes = fc.array(fc.tuple(fc.integer({ min: 1024, max: 120 * KiB }), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(changes, async (flips) => {
        const bytes = Buffer.from(whole);
        for (const [at, mask] of flips) bytes[at] = (bytes[at] as number) ^ mask;
        writeFileSync(hostile, bytes);
        const archive = await archiveOf(hostile, [0, bytes.length]);
        const to = lab.path("to");
        const listed = await inlineList(archive);
        const extracted = await inlineExtract(archive, to, false);
        for (const { status, error } of [listed, extracted]) expect([0, 1, 2], String(error)).toContain(status);
        expect([listed.error?.code, extracted.error?.code]).not.toContain("INTERNAL");
        await run(["chattr", "-R", "-f", "-ia", to]); // a flip may have made a file immutable
        await must(["rm", "-rf", to, archive]);
      }),
      { numRuns: draws(60) },
    );
  }, 120_000);
});
