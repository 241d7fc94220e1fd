import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import { addon } from "../../src/sys/addon.ts";
import { AT_FDCWD } from "../../src/sys/constants.ts";
import { check } from "../../src/sys/errors.ts";
import { requireOrSkip } from "../support/require.ts";
import { buildTree, noise, treeArbitrary } from "../support/trees.ts";
import { expectTree } from "./support/compare.ts";
import { inFolder } from "./support/folders.ts";
import { readBack } from "./support/read-back.ts";
import { saveTree, told } from "./support/save-tree.ts";
import { draws } from "../support/draws.ts";

requireOrSkip("root");

const MiB = 1024 * 1024;

/** Attributes of 64 KiB each, through the addon: the tools take no such values. */
function giveAttributes(path: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const name = Buffer.from(`user.${i}`);
    check(addon().setAttribute(AT_FDCWD, Buffer.from(path), name, noise(65_536, i + 1)), "setxattr");
  }
}

function makeSocket(path: string): void {
  const script = "socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die";
  execFileSync("perl", ["-MSocket", "-e", script, path]);
}

describe("a saved tree", () => {
  it("reads back as it is on disk, and has the same bytes whatever the order in which jobs end", async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary({ root: true, width: 8 }),
        fc.constantFrom("zstd" as const, "lz4" as const),
        fc.constantFrom("xxh128" as const, "sha256" as const, "blake3" as const),
        async (tree, codec, digest) => {
          await inFolder(async (folder) => {
            await buildTree(folder, tree);
            const options = { compression: { codec }, digest };
            const { archive, summary, warnings } = await saveTree(folder, options);
            expect(warnings).toEqual([]);
            const back = await readBack(archive);
            expectTree(back, folder);
            const count = (kind: EntryKind): number => back.entries.filter(({ row }) => row.kind === kind).length;
            expect(summary.sources[0]).toMatchObject({
              entries: back.entries.length,
              files: count(EntryKind.file),
              directories: count(EntryKind.directory),
              sockets: count(EntryKind.socket),
              hardlinks: count(EntryKind.hardlink),
              absent: 0,
            });
            for (const seed of [1, 7]) {
              const other = await saveTree(folder, { ...options, seed, workers: 4 });
              expect(other.archive.equals(archive), `jobs ended in order ${seed}`).toBe(true);
            }
          });
        },
      ),
      { numRuns: draws(8) },
    );
  });

  it("has the same bytes from worker threads as from this one", async () => {
    await inFolder(async (folder) => {
      for (let i = 0; i < 300; i++) {
        mkdirSync(join(folder, `d${i % 20}/e${i}`), { recursive: true });
        writeFileSync(join(folder, `d${i % 20}/e${i}/f`), noise(i * 40, i));
      }
      const here = await saveTree(folder);
      const threads = await saveTree(folder, { threads: true, workers: 3 });
      expect(threads.archive.equals(here.archive)).toBe(true);
    });
  });

  it("tells the right directory at the start of every segment, also where a job becomes several blocks", async () => {
    await inFolder(async (folder) => {
      // Each file has half a block of attributes, which the plan does not know: jobs of all entries, many blocks.
      for (let i = 0; i < 60; i++) {
        const directory = join(folder, `d${Math.floor(i / 7)}`, `e${i % 3}`);
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, `f${i}`), `content ${i}`);
        giveAttributes(join(directory, `f${i}`), 8);
      }
      const { archive, pool } = await saveTree(folder, { compression: { level: 0 } });
      const back = await readBack(archive);
      expect(pool?.counts.pack).toBe(1);
      expect(back.summary.segments).toBeGreaterThan(1);
      expectTree(back, folder);
    });
  });

  it("cuts blocks near their size for entries whose names and times need extended headers", async () => {
    await inFolder(async (folder) => {
      const directory = join(folder, "d".repeat(200));
      mkdirSync(directory);
      for (let i = 0; i < 1500; i++) writeFileSync(join(directory, `${"n".repeat(100)}${i}`), "");
      const { archive } = await saveTree(folder);
      const back = await readBack(archive);
      expectTree(back, folder);
      for (const block of back.blocks) expect(block.uncompressedLength).toBeLessThan(1.25 * MiB);
    });
  });

  it("lists more entries than one stat job takes, with directories among them", async () => {
    await inFolder(async (folder) => {
      for (let i = 0; i < 17_500; i++) {
        const path = join(folder, `e${String(i).padStart(5, "0")}`);
        if (i % 4000 === 17) {
          mkdirSync(path);
          writeFileSync(join(path, "inside"), "x");
        } else symlinkSync("t", path);
      }
      const { archive, pool } = await saveTree(folder, { seed: 3 });
      expect(pool?.counts.stat).toBe(1);
      const back = await readBack(archive);
      expectTree(back, folder);
    });
  });

  it("holds paths longer than the kernel takes", async () => {
    await inFolder(async (folder) => {
      const name = "n".repeat(250);
      let fd = check(addon().openAt(AT_FDCWD, Buffer.from(folder), 0o200000, 0, 0), "openat");
      for (let depth = 0; depth < 40; depth++) {
        check(addon().mkdirAt(fd, Buffer.from(name), 0o755), "mkdirat");
        const next = check(addon().openAt(fd, Buffer.from(name), 0o200000, 0, 0), "openat");
        addon().close(fd);
        fd = next;
      }
      const file = check(addon().openAt(fd, Buffer.from("deep"), 0o102, 0o644, 0), "openat");
      addon().write(file, Buffer.from("content"), 0, 7, 0);
      addon().close(file);
      addon().close(fd);
      expectTree(await readBack((await saveTree(folder)).archive), folder);
    });
  });

  it("makes one object of an inode with thousands of names", async () => {
    await inFolder(async (folder) => {
      mkdirSync(join(folder, "a"));
      mkdirSync(join(folder, "b"));
      writeFileSync(join(folder, "a/first"), noise(5000, 1));
      for (let i = 0; i < 3000; i++) linkSync(join(folder, "a/first"), join(folder, i % 2 ? "a" : "b", `l${i}`));
      const { archive, summary } = await saveTree(folder);
      expect(summary.sources[0]).toMatchObject({ files: 1, hardlinks: 3000, bytes: 5000 });
      expectTree(await readBack(archive), folder);
    });
  });

  it("keeps sockets that no member follows, with their source and directory, also as links", async () => {
    await inFolder(async (folder) => {
      const roots = ["one", "two", "three"].map((name) => join(folder, name));
      for (const root of roots) {
        mkdirSync(join(root, "dir/deeper"), { recursive: true });
        writeFileSync(join(root, "dir/deeper/large"), noise(1.5 * MiB, 1));
        makeSocket(join(root, "dir/deeper/socket"));
        linkSync(join(root, "dir/deeper/socket"), join(root, "dir/second"));
      }
      const back = await readBack((await saveTree(roots)).archive);
      for (const [source, root] of roots.entries()) expectTree(back, root, source);
    });
  });

  it("holds a directory of nothing but sockets in its end block", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "a"), noise(1.5 * MiB, 1));
      mkdirSync(join(folder, "b"));
      makeSocket(join(folder, "b/x"));
      writeFileSync(join(folder, "c"), noise(1.5 * MiB, 2));
      makeSocket(join(folder, "z"));
      const back = await readBack((await saveTree(folder)).archive);
      expectTree(back, folder);
      expect(back.blocks.at(-1)).toMatchObject({ end: true, entryCount: 1 });
    });
  });
});

describe("large and sparse files", () => {
  it("are cut at leaf borders and read back, whatever their holes", async () => {
    await inFolder(async (folder) => {
      const sizes = [MiB, MiB + 1, 2 * MiB, 3 * MiB + 512, 5 * MiB - 1];
      for (const size of sizes) writeFileSync(join(folder, `dense-${size}`), noise(size, size));
      for (const [i, size] of sizes.entries()) {
        const path = join(folder, `holes-${size}`);
        writeFileSync(path, "");
        truncateSync(path, size + i);
        for (const place of [0.2, 0.5, 0.9]) {
          const fd = check(addon().openAt(AT_FDCWD, Buffer.from(path), 2, 0, 0), "openat");
          addon().write(fd, noise(5000, i + 1), 0, 5000, Math.floor(place * (size - 5000)));
          addon().close(fd);
        }
      }
      writeFileSync(join(folder, "hole"), "");
      truncateSync(join(folder, "hole"), 9 * MiB + 3);
      for (const blockSize of [MiB, 4 * MiB]) {
        const { archive, summary } = await saveTree(folder, { compression: { blockSize }, seed: 5 });
        const back = await readBack(archive);
        expectTree(back, folder);
        expect(back.byPath.get("0:hole")?.runs).toEqual([]);
        expect(summary.sources[0]?.bytes).toBeGreaterThan(summary.sources[0]?.dataBytes as number);
      }
    });
  });

  it("of petabytes are saved as what they hold, and their sum stays a number", async () => {
    await inFolder(async (folder) => {
      for (const name of ["a", "b"]) {
        writeFileSync(join(folder, name), "start");
        truncateSync(join(folder, name), 7 * 2 ** 50);
      }
      const { archive, warnings, summary } = await saveTree(folder);
      expect(warnings).toEqual([]);
      const back = await readBack(archive);
      expect(back.byPath.get("0:a")?.row).toMatchObject({ size: 7 * 2 ** 50, sparse: true });
      expect(summary.sources[0]?.bytes).toBe(Number.MAX_SAFE_INTEGER);
    });
  });
});

describe("values that no archive can hold", () => {
  it("leave out a file of more than 2^53 bytes, and nothing else", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "huge"), "");
      execFileSync("truncate", ["-s", "9223372036854775807", join(folder, "huge")]);
      writeFileSync(join(folder, "plain"), "x");
      const { archive, warnings } = await saveTree(folder);
      expect(told(warnings)).toEqual(["huge: ENTRY_UNREADABLE"]);
      const back = await readBack(archive);
      expect(back.byPath.get("0:huge")?.row).toMatchObject({ kind: EntryKind.absent, absentReason: "EFBIG" });
      expect(back.byPath.get("0:plain")?.row.kind).toBe(EntryKind.file);
    });
  });

  it("cut times over 2^53 seconds, and say so", async () => {
    await inFolder(async (folder) => {
      const times = ["9007199254740991", "9007199254740993", "-9007199254740993", "9223372036854775807"];
      for (const time of times) {
        writeFileSync(join(folder, time), "x");
        execFileSync("touch", ["-d", `@${time}`, join(folder, time)]);
      }
      const { archive, warnings } = await saveTree(folder);
      expect(told(warnings)).toEqual(
        times
          .slice(1)
          .map((time) => `${time}: ATTRIBUTE_LOST`)
          .toSorted(),
      );
      const back = await readBack(archive);
      for (const time of times) {
        const seconds = Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(time)));
        const row = back.byPath.get(`0:${time}`)?.row;
        expect(row).toMatchObject({ mtime: { seconds }, atime: { seconds }, attributesLost: time !== times[0] });
      }
    });
  });

  it("leave out the attributes where they and the content pass a block, and the entry where they pass any member", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "both"), noise(20 * MiB, 1));
      giveAttributes(join(folder, "both"), 720);
      writeFileSync(join(folder, "many"), "x");
      giveAttributes(join(folder, "many"), 1050);
      const { archive, warnings } = await saveTree(folder, { compression: { blockSize: 32 * MiB, level: 0 } });
      expect(told(warnings)).toEqual(["both: ATTRIBUTE_LOST", "many: ENTRY_UNREADABLE"]);
      const back = await readBack(archive);
      expect(back.byPath.get("0:both")?.row).toMatchObject({ attributesLost: true, size: 20 * MiB });
    });
  });
});

describe("what is left out", () => {
  it("is the same for the scan and for the plan, whatever the patterns", async () => {
    await inFolder(async (folder) => {
      for (const a of ["a", "b", "c"]) {
        for (const b of ["a", "b", "c.o"]) {
          mkdirSync(join(folder, a, b, "a"), { recursive: true });
          for (const c of ["a/x", "b.c", "c.o"]) writeFileSync(join(folder, a, b, c), c);
        }
      }
      const pattern = fc.constantFrom("a", "/a", "b/", "*.o", "a/**", "**/b", "!a/b", "a/b/a", "!*.c", "?");
      const listed = fc.constantFrom("a", "a/b", "b/c.o/a/x", "c/a/b.c", "nothing/there");
      await fc.assert(
        fc.asyncProperty(
          fc.array(pattern, { maxLength: 4 }),
          fc.option(fc.array(listed, { maxLength: 3 }), { nil: undefined }),
          fc.nat({ max: 100 }),
          async (excludes, only, seed) => {
            const options = { excludes, seed, ...(only === undefined ? {} : { only }) };
            const back = await readBack((await saveTree(folder, options)).archive);
            const all = await readBack((await saveTree(folder)).archive);
            const kept = new Set(back.entries.map(({ path }) => path));
            const { EntryFilter } = await import("../../src/save/filter.ts");
            const filter = new EntryFilter({ excludes, only: only?.map((path) => Buffer.from(path)) });
            for (const { path, row } of all.entries.slice(1)) {
              const above = path.split("/").slice(0, -1);
              const reached = above.every((_, i) => kept.has(above.slice(0, i + 1).join("/")));
              const accepted = filter.accepts(Buffer.from(path), row.kind === EntryKind.directory);
              expect(kept.has(path), path).toBe(reached && accepted);
            }
          },
        ),
        { numRuns: draws(25) },
      );
    });
  });

  it("is everything but the tag where a directory has a valid CACHEDIR.TAG that is a file", async () => {
    await inFolder(async (folder) => {
      const signature = "Signature: 8a477f597d28d172789f06886806bc55\n# more";
      for (const name of ["cache", "wrong", "fifo"]) {
        mkdirSync(join(folder, name, "below"), { recursive: true });
        writeFileSync(join(folder, name, "data"), "x");
      }
      writeFileSync(join(folder, "cache/CACHEDIR.TAG"), signature);
      writeFileSync(join(folder, "wrong/CACHEDIR.TAG"), signature.slice(1));
      execFileSync("mkfifo", [join(folder, "fifo/CACHEDIR.TAG")]);
      const paths = async (excludeCaches: boolean): Promise<string[]> => {
        const back = await readBack((await saveTree(folder, { excludeCaches, seed: 1 })).archive);
        return back.entries.map(({ path }) => path).filter((path) => path.startsWith("cache"));
      };
      expect(await paths(false)).toEqual(["cache", "cache/CACHEDIR.TAG", "cache/below", "cache/data"]);
      expect(await paths(true)).toEqual(["cache", "cache/CACHEDIR.TAG"]);
      const back = await readBack((await saveTree(folder, { excludeCaches: true })).archive);
      expect(back.entries.filter(({ path }) => /^(wrong|fifo)\//.test(path))).toHaveLength(6);
    });
  });

  it("is what is mounted below, unless mounts are to be crossed", async () => {
    await inFolder(async (folder) => {
      const point = join(folder, "mnt");
      mkdirSync(point);
      writeFileSync(join(folder, "z"), "z");
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tsfsa-test", point]);
      try {
        writeFileSync(join(point, "inside"), "x");
        const paths = async (crossMounts: boolean): Promise<string[]> => {
          const back = await readBack((await saveTree(folder, { crossMounts })).archive);
          return back.entries.map(({ path }) => path);
        };
        expect(await paths(false)).toEqual(["", "mnt", "z"]);
        expect(await paths(true)).toEqual(["", "mnt", "mnt/inside", "z"]);
      } finally {
        execFileSync("umount", [point]);
      }
    });
  });
});

describe("a save", () => {
  it("leaves access times alone, also those of large files", async () => {
    await inFolder(async (folder) => {
      mkdirSync(join(folder, "d"));
      writeFileSync(join(folder, "small"), "x");
      writeFileSync(join(folder, "large"), noise(3 * MiB, 1));
      for (const name of ["small", "large", "d"]) utimesSync(join(folder, name), 1000, 2000);
      chmodSync(join(folder, "small"), 0o400);
      const before = execFileSync("stat", ["-c", "%n %x", "small", "large", "d"], { cwd: folder }).toString();
      await saveTree(folder);
      expect(execFileSync("stat", ["-c", "%n %x", "small", "large", "d"], { cwd: folder }).toString()).toBe(before);
    }, "strictatime");
  });

  it("that is stopped rejects with the reason, and leaves no descriptor open", async () => {
    await inFolder(async (folder) => {
      for (let i = 0; i < 50; i++) {
        mkdirSync(join(folder, `d${i}`));
        writeFileSync(join(folder, `d${i}/f`), noise(200_000, i));
      }
      const stop = new AbortController();
      const reason = new Error("enough");
      let packs = 0;
      const before = (kind: string): void => {
        if (kind === "pack" && ++packs === 3) stop.abort(reason);
      };
      await expect(saveTree(folder, { before, signal: stop.signal, seed: 2 })).rejects.toBe(reason);
    });
  });
});
