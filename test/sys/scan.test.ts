import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Timestamp } from "../../src/model/entry.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { addon } from "../../src/sys/addon.ts";
import { ENOENT, ENOTDIR } from "../../src/sys/errors.ts";
import { statLayout } from "../../src/sys/layout.ts";
import { isDirectory, isFile, isSocket, kindOfMode, readStat } from "../../src/sys/stat.ts";
import { bytes, checkBytes, inScratch, pack, text, tool, unpack } from "./scratch.ts";

const DT = { fifo: 1, directory: 4, file: 8, symlink: 10, socket: 12 };

function listed(fd: number): [number, string][] {
  return unpack(checkBytes(addon().readDirectory(fd), "readDirectory"));
}

describe("readDirectory", () => {
  it("gives names and types, sorted by unsigned bytes, without . and ..", () =>
    inScratch(async ({ fd, of, path }) => {
      for (const name of ["b", "a", "aa", "B", "\u00e9", "...", ".x", "a\n"]) writeFileSync(of(name), "");
      writeFileSync(Buffer.concat([Buffer.from(`${path}/`), bytes("\xff\xfe")]), "");
      mkdirSync(of("dir"));
      symlinkSync("nowhere", of("link"));
      tool("mkfifo", of("fifo"));
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(of("socket"), resolve));
      const entries = listed(fd);
      server.close();
      const names = entries.map(([, name]) => name);
      expect(names).toEqual([
        "...",
        ".x",
        "B",
        "a",
        "a\n",
        "aa",
        "b",
        "dir",
        "fifo",
        "link",
        "socket",
        "\u00c3\u00a9",
        "\xff\xfe",
      ]);
      const types = Object.fromEntries(entries.map(([type, name]) => [name, type]));
      expect(types).toMatchObject({
        a: DT.file,
        dir: DT.directory,
        link: DT.symlink,
        fifo: DT.fifo,
        socket: DT.socket,
      });
    }));

  it("reads an empty directory as no bytes, and starts from the front each time", () =>
    inScratch(({ fd, of }) => {
      expect(addon().readDirectory(fd)).toEqual(new Uint8Array(0));
      writeFileSync(of("x"), "");
      expect(listed(fd)).toEqual([[DT.file, "x"]]);
      expect(listed(fd)).toEqual([[DT.file, "x"]]);
    }));

  it("agrees with node:fs on thousands of names of every length", () =>
    inScratch(({ fd, of, path }) => {
      for (let index = 0; index < 3000; index++) writeFileSync(of(`${index}-`.padEnd((index % 250) + 5, "x")), "");
      writeFileSync(of("y".repeat(255)), "");
      const expected = readdirSync(path, { encoding: "latin1" }).toSorted();
      expect(listed(fd).map(([, entry]) => entry)).toEqual(expected);
    }));

  it("fails on what is not a directory", () =>
    inScratch(({ of, open }) => {
      writeFileSync(of("file"), "");
      expect(addon().readDirectory(open("file"))).toBe(-ENOTDIR);
    }));
});

/** Nanoseconds since 1970 of a statx time, and of what stat(1) prints: seconds and fraction, the sign for both. */
function nanosecondsOf(stamp: Timestamp): bigint {
  return BigInt(stamp.seconds) * 1_000_000_000n + BigInt(stamp.nanoseconds);
}

function nanosecondsIn(printed: string): bigint {
  return BigInt(printed.replace(".", ""));
}

describe("statNames", () => {
  it("agrees with stat(1) on every field, for every kind, without following links", () =>
    inScratch(async ({ fd, of }) => {
      writeFileSync(of("file"), "12345");
      mkdirSync(of("dir"), { mode: 0o1750 });
      symlinkSync("file", of("link"));
      tool("mkfifo", of("fifo"));
      tool("mknod", of("device"), "c", "4095", "1048575");
      tool("touch", "-m", "-d", "1931-02-03 04:05:06.123456789", of("file"));
      tool("touch", "-a", "-d", "2106-12-31 23:59:59.000000001", of("file"));
      tool("chown", "4294967294:65536", of("file"));
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(of("socket"), resolve));
      const names = checkBytes(addon().readDirectory(fd), "readDirectory");
      const count = unpack(names).length;
      const out = new Uint8Array(count * statLayout.size);
      expect(addon().statNames(fd, names, 0, count, out)).toBe(names.length);
      for (const [index, [, name]] of unpack(names).entries()) {
        const stat = readStat(out, index * statLayout.size);
        const [head, mtime, atime, ctime, btime] = tool(
          "stat",
          "--printf",
          "%f %h %u %g %i %Hd %Ld %t %T %s %b\n%.9Y\n%.9X\n%.9Z\n%.9W",
          of(name),
        ).split("\n") as [string, string, string, string, string];
        expect(
          [
            stat.mode.toString(16),
            stat.nlink,
            stat.uid,
            stat.gid,
            stat.ino,
            stat.dev.major,
            stat.dev.minor,
            stat.rdev.major.toString(16),
            stat.rdev.minor.toString(16),
            stat.sizeBytes,
            stat.allocatedBytes / 512,
          ].join(" "),
          name,
        ).toBe(head);
        expect(nanosecondsOf(stat.mtime)).toBe(nanosecondsIn(mtime));
        expect(nanosecondsOf(stat.atime)).toBe(nanosecondsIn(atime));
        expect(nanosecondsOf(stat.ctime)).toBe(nanosecondsIn(ctime));
        if (stat.btime !== undefined) expect(nanosecondsOf(stat.btime)).toBe(nanosecondsIn(btime));
        expect(stat.error).toBe(0);
        expect(stat.mountRoot).toBe(false);
      }
      server.close();
      const mode = (name: string): number => {
        const index = unpack(names).findIndex(([, entry]) => entry === name);
        return readStat(out, index * statLayout.size).mode;
      };
      expect(isFile(mode("file")) && isDirectory(mode("dir")) && isSocket(mode("socket"))).toBe(true);
      expect([kindOfMode(mode("link")), kindOfMode(mode("fifo"))]).toEqual([EntryKind.symlink, EntryKind.fifo]);
      expect(isFile(mode("link")) || isDirectory(mode("file"))).toBe(false);
    }));

  it("puts the errno of a name that is gone into its record and goes on", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("here"), "abc");
      const names = pack([
        [0, "gone"],
        [0, "here"],
      ]);
      const out = new Uint8Array(2 * statLayout.size).fill(0xff);
      expect(addon().statNames(fd, names, 0, 2, out)).toBe(names.length);
      expect(readStat(out, 0)).toMatchObject({ error: ENOENT, mode: 0, sizeBytes: 0 });
      expect(readStat(out, statLayout.size)).toMatchObject({ error: 0, sizeBytes: 3 });
    }));

  it("works through a directory in steps from the offset it returned", () =>
    inScratch(({ fd, of }) => {
      for (let index = 0; index < 25; index++) writeFileSync(of(`file${index}`), "x".repeat(index));
      const names = checkBytes(addon().readDirectory(fd), "readDirectory");
      const sizes: number[] = [];
      for (let offset = 0; offset < names.length; ) {
        const out = new Uint8Array(10 * statLayout.size);
        const next = addon().statNames(fd, names, offset, 10, out);
        const done = unpack(names.subarray(offset, next)).length;
        for (let index = 0; index < done; index++) sizes.push(readStat(out, index * statLayout.size).sizeBytes);
        offset = next;
      }
      expect(sizes).toEqual(unpack(names).map(([, name]) => statSync(of(name)).size));
    }));

  it("refuses packed names that are cut, empty or hold NUL, and stays within them", () =>
    inScratch(({ fd }) => {
      const out = new Uint8Array(4 * statLayout.size);
      const refused = (names: Uint8Array, offset = 0, count = 1): void => {
        expect(() => addon().statNames(fd, names, offset, count, out), text(names)).toThrow(RangeError);
      };
      refused(bytes("\x08\x05abcd"));
      refused(bytes("\x08"));
      refused(bytes("\x08\x00"));
      refused(bytes("\x08\x03a\0b"));
      refused(bytes("\x08\x01a"), 4);
      refused(bytes("\x08\x01a"), 0, 5);
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 45 }), (names, offset) => {
          try {
            const end = addon().statNames(fd, names, offset, 4, out);
            expect(end).toBeLessThanOrEqual(names.length);
            expect(end).toBeGreaterThanOrEqual(offset);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        }),
      );
    }));
});
