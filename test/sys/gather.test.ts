import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import { addon } from "../../src/sys/addon.ts";
import * as k from "../../src/sys/constants.ts";
import { EBADF, EINVAL, EMFILE, ENOENT, ENOSPC, ESTALE, check } from "../../src/sys/errors.ts";
import { gatherLayout, statLayout } from "../../src/sys/layout.ts";
import { readStat } from "../../src/sys/stat.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import type { Gathered } from "./scratch.ts";
import { bytes, empty, inScratch, pack, readGathered, text, tool, within } from "./scratch.ts";

requireOrSkip("root");

/** The addon for processes of their own, as a JavaScript string. */
const addonPath = JSON.stringify(new URL("../../native/build/Release/tsfsa.node", import.meta.url).pathname);

type Entry = readonly [number, string];

/** Gathers entries of one directory and closes what it opened; returns the records and whether each had a descriptor. */
function gather(fd: number, entries: readonly Entry[], capacity = 1 << 20): { records: Gathered[]; opened: boolean[] } {
  const out = new Uint8Array(capacity);
  const fds = new Int32Array(entries.length);
  const count = check(
    addon().gather(new Int32Array(entries.length).fill(fd), pack(entries), 0, entries.length, out, fds),
    "gather",
  );
  const opened = [...fds].map((file) => file >= 0);
  for (const file of fds) if (file >= 0) addon().close(file);
  return { records: readGathered(out, count), opened };
}

const file = (name: string): Entry => [EntryKind.file, name];

describe("gather", () => {
  it("takes identity, flags, project id, attributes and first hole of regular files, and opens them", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.xfs));
      mkdirSync(`${mounted}/dir`);
      await within(`${mounted}/dir`, ({ fd, of }) => {
        writeFileSync(of("full"), "x".repeat(5000));
        writeFileSync(of("empty"), "");
        writeFileSync(of("hole"), "x".repeat(4096));
        truncateSync(of("hole"), 1 << 20);
        tool("setfattr", "-n", "user.one", "-v", "1", of("full"));
        tool("setfattr", "-n", "trusted.none", of("full"));
        tool("setfacl", "-m", "u:99:rw", of("full"));
        tool("chattr", "+dA", of("full"));
        tool("xfs_io", "-r", "-c", "chproj 77", of("full"));
        tool("touch", "-m", "-d", "1969-12-31 23:59:58.25", of("full"));
        const { records, opened } = gather(fd, [file("full"), file("empty"), file("hole")]);
        expect(opened).toEqual([true, true, true]);
        expect(records[0]).toMatchObject({
          error: 0,
          inodeFlags: k.FS_NODUMP_FL | k.FS_NOATIME_FL,
          projectId: 77,
          ino: statSync(of("full"), { bigint: true }).ino,
          sizeBytes: 5000,
          mtime: "-2.250000000",
          firstHole: 5000,
          attributeError: 0,
          flagsError: 0,
        });
        expect(Object.keys(records[0]?.attributes ?? {}).toSorted()).toEqual([
          "system.posix_acl_access",
          // The same list as xfs stores it, which it shows to the administrator.
          "trusted.SGI_ACL_FILE",
          "trusted.none",
          "user.one",
        ]);
        expect(records[0]?.attributes).toMatchObject({ "user.one": "1", "trusted.none": "" });
        expect(records[1]).toMatchObject({ error: 0, sizeBytes: 0, firstHole: -1, attributes: {}, projectId: 0 });
        expect(records[2]).toMatchObject({ error: 0, sizeBytes: 1 << 20, firstHole: 4096 });
      });
    }));

  it("takes links, directories and special files without keeping them open", () =>
    inScratch(({ fd, of }) => {
      mkdirSync(of("dir"));
      const target = "t".repeat(4095);
      symlinkSync(target, of("long"));
      symlinkSync("full", of("link"));
      tool("mkfifo", of("fifo"));
      tool("mknod", of("char"), "c", "1", "3");
      for (const name of ["dir", "link", "fifo", "char"]) {
        tool("setfattr", "-h", "-n", "trusted.name", "-v", name, of(name));
      }
      tool("chattr", "+d", of("dir"));
      const { records, opened } = gather(fd, [
        [EntryKind.directory, "dir"],
        [EntryKind.symlink, "link"],
        [EntryKind.symlink, "long"],
        [EntryKind.fifo, "fifo"],
        [EntryKind.charDevice, "char"],
        [EntryKind.directory, ""],
      ]);
      expect(opened).toEqual(Array.from({ length: 6 }, () => false));
      expect(records.map((record) => record.error)).toEqual([0, 0, 0, 0, 0, 0]);
      expect(records.map((record) => record.attributes["trusted.name"])).toEqual([
        "dir",
        "link",
        undefined,
        "fifo",
        "char",
        undefined,
      ]);
      expect((records[0]?.inodeFlags ?? 0) & k.FS_NODUMP_FL).toBe(k.FS_NODUMP_FL);
      expect(records[0]?.ino).toBe(statSync(of("dir"), { bigint: true }).ino);
      expect(records[1]?.link).toBe("full");
      expect(records[2]?.link).toBe(target);
      expect(records[5]?.ino).toBe(statSync(of("."), { bigint: true }).ino);
    }));

  it("does not touch the access time", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "x");
      tool("touch", "-a", "-d", "2001-01-01", of("file"));
      gather(fd, [file("file")]);
      expect(statSync(of("file")).atimeMs).toBe(Date.parse("2001-01-01T00:00:00Z"));
    }));

  it.each([
    ["a file that became a symlink", EntryKind.file, "link", ESTALE],
    ["a file that became a directory", EntryKind.file, "dir", ESTALE],
    ["a file that became a fifo", EntryKind.file, "fifo", ESTALE],
    ["a file that became a socket", EntryKind.file, "socket", ESTALE],
    ["a directory that became a symlink", EntryKind.directory, "link", ESTALE],
    ["a symlink that became a file", EntryKind.symlink, "file", ESTALE],
    ["a file that is gone", EntryKind.file, "none", ENOENT],
    ["a symlink that is gone", EntryKind.symlink, "none", ENOENT],
    ["a kind that has nothing to gather", EntryKind.absent, "file", EINVAL],
    ["a file without name", EntryKind.file, "", EINVAL],
  ])("records an error for %s and goes on with the next", (_, kind, name, error) =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "x");
      mkdirSync(of("dir"));
      symlinkSync("dir", of("link"));
      tool("mkfifo", of("fifo"));
      addon().mknodAt(fd, bytes("socket"), k.S_IFSOCK | 0o600, 0, 0);
      const { records, opened } = gather(fd, [[kind, name], file("file")]);
      expect(records.map((record) => record.error)).toEqual([error, 0]);
      expect(opened).toEqual([false, true]);
    }),
  );

  it("uses the directory of each entry", () =>
    inScratch(({ fd, of, open }) => {
      mkdirSync(of("a"));
      mkdirSync(of("b"));
      writeFileSync(of("a/file"), "12");
      writeFileSync(of("b/file"), "123");
      const out = new Uint8Array(4096);
      const fds = new Int32Array(3);
      const names = pack([file("none"), file("file"), file("file"), file("file")]);
      const dirs = new Int32Array([open("a"), open("b"), fd]);
      expect(addon().gather(dirs, names, 6, 3, out, fds)).toBe(3);
      expect(readGathered(out, 3).map((record) => [record.error, record.sizeBytes])).toEqual([
        [0, 2],
        [0, 3],
        [ENOENT, 0],
      ]);
      for (const opened of fds) if (opened >= 0) addon().close(opened);
    }));

  it("stops before an entry that does not fit, at any size of the output", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "x");
      tool("setfattr", "-n", "user.some", "-v", "value of some length", of("file"));
      tool("setfattr", "-n", "user.none", of("file"));
      symlinkSync("target", of("link"));
      mkdirSync(of("dir"));
      const entries: Entry[] = [file("file"), [EntryKind.symlink, "link"], [EntryKind.directory, "dir"], file("file")];
      const whole = gather(fd, entries).records;
      const seen = new Set<number>();
      for (let capacity = 0; capacity < 600; capacity++) {
        const out = new Uint8Array(capacity + 8).fill(0xee);
        const fds = new Int32Array(4).fill(99);
        const dirs = new Int32Array(4).fill(fd);
        const count = addon().gather(dirs, pack(entries), 0, 4, out.subarray(0, capacity), fds);
        expect(out.subarray(capacity).every((byte) => byte === 0xee)).toBe(true);
        seen.add(count);
        if (count === -ENOSPC) {
          expect([...fds]).toEqual([-1, -1, -1, -1]);
          continue;
        }
        expect(readGathered(out, count)).toEqual(whole.slice(0, count));
        expect([...fds].map((opened) => opened >= 0)).toEqual([true, false, false, true].map((x, i) => x && i < count));
        for (const opened of fds) if (opened >= 0) addon().close(opened);
      }
      expect([...seen]).toEqual([-ENOSPC, 1, 2, 3, 4]);
    }));

  it("stops at the limit of descriptors after the first entry, and reports it for the first", () =>
    inScratch(({ of, path }) => {
      writeFileSync(of("file"), "x");
      const script = `
        const addon = require(${addonPath});
        const dir = addon.openAt(-100, Buffer.from(${JSON.stringify(path)}), 0, 0, 0);
        const fill = [];
        for (let fd; (fd = addon.duplicate(dir)) >= 0; ) fill.push(fd);
        const names = Buffer.concat(Array.from({ length: 10 }, () => Buffer.from("\\x00\\x04file")));
        const gather = () => {
          const out = new Uint8Array(8192), fds = new Int32Array(10);
          const count = addon.gather(new Int32Array(10).fill(dir), names, 0, 10, out, fds);
          const opened = fds.filter((fd) => fd >= 0);
          for (const fd of opened) addon.close(fd);
          return [count, new DataView(out.buffer).getUint32(${gatherLayout.error}, true), opened.length];
        };
        const full = gather();
        for (const fd of fill.splice(0, 3)) addon.close(fd);
        const three = gather();
        for (const fd of fill) addon.close(fd);
        console.log(JSON.stringify([full, three, gather()]));`;
      const output = tool("prlimit", "--nofile=100:100", process.execPath, "-e", script);
      expect(JSON.parse(output)).toEqual([
        [1, EMFILE, 0],
        [3, 0, 3],
        [10, 0, 10],
      ]);
    }));

  it("refuses names that are cut or hold NUL, and closes what it had opened", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "x");
      const call = (names: Uint8Array, offset = 0, count = 2) => {
        const out = new Uint8Array(4096);
        return () => addon().gather(new Int32Array(2).fill(fd), names, offset, count, out, new Int32Array(2));
      };
      const good = pack([file("file")]);
      expect(call(good)).toThrow(RangeError);
      expect(call(Buffer.concat([good, bytes("\0\x05abcd")]))).toThrow(RangeError);
      expect(call(Buffer.concat([good, bytes("\0\x03a\0b")]))).toThrow(RangeError);
      expect(call(good, 7)).toThrow(RangeError);
      expect(call(good, 0, 3)).toThrow(RangeError);
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 30 }), fc.nat(40), (names, offset) => {
          const fds = new Int32Array(2);
          try {
            addon().gather(new Int32Array(2).fill(-1), names, offset, 2, new Uint8Array(1024), fds);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
          for (const opened of fds) if (opened >= 0) addon().close(opened);
        }),
      );
    }));

  it("leaves flags and project id at 0 where the file system has none, without an error", () =>
    inScratch(() => {
      const proc = check(addon().openAt(k.AT_FDCWD, bytes("/proc/self"), k.O_RDONLY | k.O_DIRECTORY, 0, 0), "openat");
      const { records } = gather(proc, [file("status"), file("stat")]);
      for (const record of records) {
        expect(record).toMatchObject({ error: 0, inodeFlags: 0, projectId: 0, flagsError: 0, attributeError: 0 });
      }
      addon().close(proc);
    }));

  it("needs no more system calls per file than open, fstat, two ioctls, flistxattr and lseek", () =>
    inScratch(({ of, path }) => {
      for (let index = 0; index < 20; index++) writeFileSync(of(`file${index}`), "x");
      const script = `
        const addon = require(${addonPath});
        const dir = addon.openAt(-100, Buffer.from(${JSON.stringify(path)}), 0, 0, 0);
        const names = Buffer.concat(Array.from({length: 20}, (_, i) => Buffer.concat([Buffer.from([0, ("file" + i).length]), Buffer.from("file" + i)])));
        const fds = new Int32Array(20);
        addon.gather(new Int32Array(20).fill(dir), names, 0, 20, new Uint8Array(65536), fds);
        const n = new Float64Array(20).fill(1);
        addon.readFiles(fds, n, n, 20, new Uint8Array(64), new Uint8Array(320), n, new Uint8Array(0));`;
      mkdirSync(of("traces"));
      // A file for each thread: in one, calls that take long are torn in two.
      tool("strace", "-ff", "-o", of("traces/of"), process.execPath, "-e", script);
      const traces = readdirSync(of("traces")).map((name) => readFileSync(of(`traces/${name}`), "utf8").split("\n"));
      const trace = traces.find((lines) => lines.some((line) => line.includes('"file0"'))) ?? [];
      const first = trace.findIndex((line) => line.includes('"file0"'));
      const last = trace.findLastIndex((line) => line.includes("pread64("));
      const calls = trace.slice(first, last + 2);
      // Per file: openat, newfstatat, ioctl, ioctl, flistxattr, lseek; then pread64, close.
      expect(calls.length).toBe(20 * 8);
    }));
});

/** Descriptors of names; −1 for an empty one. */
function openAll(fd: number, ...names: string[]): Int32Array {
  return new Int32Array(names.map((name) => (name === "" ? -1 : addon().openAt(fd, bytes(name), k.O_RDONLY, 0, 0))));
}

describe("readFiles", () => {
  it("reads whole files with their digests and stats, and closes them", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("a"), "first");
      writeFileSync(of("b"), "");
      writeFileSync(of("c"), "third one");
      const fds = openAll(fd, "a", "", "b", "c");
      const buffer = new Uint8Array(20).fill(46);
      const digests = new Uint8Array(64);
      const status = new Float64Array(4).fill(99);
      const stats = new Uint8Array(4 * statLayout.size);
      const sizes = new Float64Array([5, 7, 0, 9]);
      const offsets = new Float64Array([1, 99, 20, 8]);
      expect(addon().readFiles(fds, sizes, offsets, 4, buffer, digests, status, stats)).toBe(0);
      expect(text(buffer)).toBe(".first..third one...");
      expect([...status]).toEqual([5, 99, 0, 9]);
      expect([...fds]).toEqual([-1, -1, -1, -1]);
      const expected = new Uint8Array(64);
      for (const [index, start, size] of [
        [0, 1, 5],
        [2, 20, 0],
        [3, 8, 9],
      ] as const) {
        const one = new Uint8Array(16);
        addon().digestFiles(buffer, new Float64Array([start]), new Float64Array([size]), 1, one);
        expected.set(one, index * 16);
      }
      expect(digests).toEqual(expected);
      expect(readStat(stats, 3 * statLayout.size)).toMatchObject({ ino: statSync(of("c")).ino, sizeBytes: 9 });
      expect(readStat(stats, statLayout.size).ino).toBe(0);
    }));

  it("fills up a file that became shorter with zeros, and says how much was read", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("short"), "ab");
      const buffer = new Uint8Array(8).fill(46);
      const status = new Float64Array(1);
      addon().readFiles(
        openAll(fd, "short"),
        new Float64Array([6]),
        new Float64Array([1]),
        1,
        buffer,
        empty,
        status,
        empty,
      );
      expect(text(buffer)).toBe(".ab\0\0\0\0.");
      expect(status[0]).toBe(2);
    }));

  it("reports the errno of a file that cannot be read, and reads the others", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("bad"), "xyz");
      writeFileSync(of("good"), "good");
      const unreadable = addon().openAt(fd, bytes("bad"), k.O_WRONLY, 0, 0);
      const fds = new Int32Array([unreadable, ...openAll(fd, "good")]);
      const buffer = new Uint8Array(8).fill(46);
      const status = new Float64Array(2);
      addon().readFiles(fds, new Float64Array([3, 4]), new Float64Array([0, 4]), 2, buffer, empty, status, empty);
      expect([...status]).toEqual([-EBADF, 4]);
      expect(text(buffer)).toBe("\0\0\0.good");
      expect([...fds]).toEqual([-1, -1]);
    }));

  it("reads what gather opened even when the name is gone meanwhile", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "kept");
      const fds = new Int32Array(1);
      addon().gather(new Int32Array([fd]), pack([file("file")]), 0, 1, new Uint8Array(gatherLayout.size * 4), fds);
      renameSync(of("file"), of("away"));
      rmSync(of("away"));
      const buffer = new Uint8Array(4);
      addon().readFiles(
        fds,
        new Float64Array([4]),
        new Float64Array([0]),
        1,
        buffer,
        empty,
        new Float64Array(1),
        empty,
      );
      expect(text(buffer)).toBe("kept");
    }));

  it("changes nothing when a range does not lie in the buffer", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "x");
      const fds = openAll(fd, "file", "file");
      const before = [...fds];
      const call = () =>
        addon().readFiles(
          fds,
          new Float64Array([1, 1]),
          new Float64Array([0, 4]),
          2,
          new Uint8Array(4),
          empty,
          new Float64Array(2),
          empty,
        );
      expect(call).toThrow(RangeError);
      expect([...fds]).toEqual(before);
      for (const opened of fds) expect(addon().close(opened)).toBe(0);
    }));
});
