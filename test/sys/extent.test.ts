import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import * as k from "../../src/sys/constants.ts";
import { EINVAL, EOPNOTSUPP, EOVERFLOW, ENOTTY } from "../../src/sys/errors.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import type { Scratch } from "./scratch.ts";
import { bytes, checkBytes, inScratch, tool, within } from "./scratch.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root", "loop");

const KiB = 1024;

function runs(fd: number, size: number, limit = 1000): [number, number][] {
  const packed = checkBytes(addon().dataMap(fd, size, limit), "dataMap");
  const view = new DataView(packed.buffer);
  return Array.from({ length: packed.length / 16 }, (_, index) => [
    Number(view.getBigInt64(index * 16, true)),
    Number(view.getBigInt64(index * 16 + 8, true)),
  ]);
}

interface ExtentRow {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: number;
}

function extents(fd: number, size: number, limit = 100_000): ExtentRow[] {
  const packed = checkBytes(addon().extentMap(fd, 0, size, true, limit), "extentMap");
  const view = new DataView(packed.buffer);
  return Array.from({ length: packed.length / 32 }, (_, index) => ({
    logical: Number(view.getBigUint64(index * 32, true)),
    physical: Number(view.getBigUint64(index * 32 + 8, true)),
    length: Number(view.getBigUint64(index * 32 + 16, true)),
    flags: view.getUint32(index * 32 + 24, true),
  }));
}

/** A folder on a new file system. */
async function on(type: "ext4" | "xfs" | "btrfs", body: (scratch: Scratch) => void): Promise<void> {
  await withLab(async (lab) => {
    const mounted = await lab.mount(await lab.filesystem(recipes[type]));
    mkdirSync(`${mounted}/dir`);
    await within(`${mounted}/dir`, body);
  });
}

describe.each(["ext4", "xfs", "btrfs"] as const)("maps on %s", (type) => {
  it("give the data runs of a sparse file, also its end and its emptiness", () =>
    on(type, ({ open }) => {
      const fd = open("sparse", "w+");
      const size = 1024 * KiB + 5;
      addon().truncate(fd, size);
      expect(runs(fd, size)).toEqual([]);
      expect(addon().firstHole(fd)).toBe(0);
      addon().write(fd, new Uint8Array(4 * KiB).fill(1), 0, 4 * KiB, 64 * KiB);
      addon().write(fd, new Uint8Array(5).fill(2), 0, 5, size - 5);
      expect(runs(fd, size)).toEqual([
        [64 * KiB, 4 * KiB],
        [1024 * KiB, 5],
      ]);
      expect(runs(fd, 66 * KiB)).toEqual([[64 * KiB, 2 * KiB]]);
      expect(runs(fd, 0)).toEqual([]);
      addon().write(fd, new Uint8Array(4 * KiB), 0, 4 * KiB, 0);
      // Real zeros are data.
      expect(runs(fd, size)[0]).toEqual([0, 4 * KiB]);
      expect(addon().firstHole(fd)).toBe(4 * KiB);
      expect(addon().dataMap(fd, size, 2)).toBe(-EOVERFLOW);
    }));

  it("call an empty file's end its first hole", () =>
    on(type, ({ open }) => {
      expect(addon().firstHole(open("empty", "w+"))).toBe(0);
    }));

  it("show preallocated blocks as unwritten extents that hold no data", () =>
    on(type, ({ of, open }) => {
      const fd = open("allocated", "w+");
      expect(addon().allocate(fd, 0, 0, 256 * KiB)).toBe(0);
      addon().write(fd, new Uint8Array(64 * KiB).fill(7), 0, 64 * KiB, 64 * KiB);
      addon().fsync(fd);
      expect(statSync(of("allocated")).size).toBe(256 * KiB);
      const unwritten = extents(fd, 256 * KiB).filter((extent) => (extent.flags & k.FIEMAP_EXTENT_UNWRITTEN) !== 0);
      const bytesUnwritten = unwritten.reduce((sum, extent) => sum + extent.length, 0);
      expect(bytesUnwritten).toBe(192 * KiB);
      expect(tool("filefrag", "-v", of("allocated")).match(/unwritten/g)?.length).toBe(unwritten.length);
      expect(runs(fd, 256 * KiB)).toEqual([[64 * KiB, 64 * KiB]]);
      expect(addon().allocate(fd, k.FALLOC_FL_KEEP_SIZE, 0, 512 * KiB)).toBe(0);
      expect(statSync(of("allocated")).size).toBe(256 * KiB);
      expect(addon().allocate(fd, k.FALLOC_FL_PUNCH_HOLE | k.FALLOC_FL_KEEP_SIZE, 64 * KiB, 64 * KiB)).toBe(0);
      expect(runs(fd, 256 * KiB)).toEqual([]);
      expect(addon().allocate(fd, 0, 0, 0)).toBe(-EINVAL);
    }));
});

describe("extentMap", () => {
  it("goes on over more extents than one call of the kernel gives, as filefrag counts them", () =>
    on("ext4", ({ of, open }) => {
      const fd = open("pieces", "w+");
      const block = new Uint8Array(4 * KiB).fill(9);
      const count = 700;
      for (let index = 0; index < count; index++) addon().write(fd, block, 0, block.length, index * 8 * KiB);
      const size = statSync(of("pieces")).size;
      const found = extents(fd, size);
      expect(found.length).toBe(count);
      expect(found.map((extent) => [extent.logical, extent.length])).toEqual(
        Array.from({ length: count }, (_, index) => [index * 8 * KiB, 4 * KiB]),
      );
      expect(tool("filefrag", "-v", of("pieces")).match(/^ *\d+: +\d+\.\./gm)?.length).toBe(count);
      expect(found.map((extent) => (extent.flags & k.FIEMAP_EXTENT_LAST) !== 0).indexOf(true)).toBe(count - 1);
      expect(addon().extentMap(fd, 0, size, false, count - 1)).toBe(-EOVERFLOW);
      expect(checkBytes(addon().extentMap(fd, 8 * KiB, 8 * KiB, false, 5), "extentMap").length).toBe(32);
    }));

  it("says that a file system has none", () =>
    inScratch(() => {
      const fd = addon().openAt(k.AT_FDCWD, bytes("/proc/self/status"), k.O_RDONLY, 0, 0);
      expect([-EOPNOTSUPP, -ENOTTY]).toContain(addon().extentMap(fd, 0, 4096, false, 10));
      addon().close(fd);
    }));
});

describe("cloneRange", () => {
  it.each(["xfs", "btrfs"] as const)("shares the extents of a file on %s", (type) =>
    on(type, ({ of, open }) => {
      const from = open("from", "w+");
      addon().write(from, new Uint8Array(128 * KiB).fill(3), 0, 128 * KiB, 0);
      const to = open("to", "w+");
      expect(addon().cloneRange(from, 64 * KiB, 64 * KiB, to, 0)).toBe(0);
      expect(readFileSync(of("to"))).toEqual(Buffer.alloc(64 * KiB, 3));
      const found = extents(to, 64 * KiB);
      expect(found.length).toBeGreaterThan(0);
      expect(found.every((extent) => (extent.flags & k.FIEMAP_EXTENT_SHARED) !== 0)).toBe(true);
      expect(addon().advise(to, 0, 0, k.POSIX_FADV_DONTNEED)).toBe(0);
    }),
  );

  it("is refused where the file system shares nothing", () =>
    on("ext4", ({ of, open }) => {
      writeFileSync(of("from"), "x");
      expect(addon().cloneRange(open("from"), 0, 0, open("to", "w+"), 0)).toBe(-EOPNOTSUPP);
      expect(addon().advise(open("from"), 0, 0, 99)).toBe(-EINVAL);
    }));
});

describe("dataMap", () => {
  it("agrees with what was written, for any set of blocks", () =>
    on("xfs", ({ open }) => {
      const blocks = 24;
      const block = new Uint8Array(64 * KiB).fill(5);
      let index = 0;
      fc.assert(
        fc.property(fc.uniqueArray(fc.nat(blocks - 1), { maxLength: blocks }), (written) => {
          const fd = open(`file${index++}`, "w+");
          addon().truncate(fd, blocks * block.length);
          for (const at of written) addon().write(fd, block, 0, block.length, at * block.length);
          const expected: [number, number][] = [];
          for (const at of written.toSorted((a, b) => a - b)) {
            const last = expected.at(-1);
            if (last !== undefined && last[0] + last[1] === at * block.length) last[1] += block.length;
            else expected.push([at * block.length, block.length]);
          }
          expect(runs(fd, blocks * block.length)).toEqual(expected);
        }),
        { numRuns: draws(40) },
      );
    }));

  it("takes all as data where the file system cannot tell", () =>
    inScratch(() => {
      const fd = addon().openAt(k.AT_FDCWD, bytes("/proc/self/stat"), k.O_RDONLY, 0, 0);
      const seek = runs(fd, 1000);
      addon().close(fd);
      expect(seek).toEqual([[0, 1000]]);
    }));
});
