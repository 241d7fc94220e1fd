import { mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import { alignedBytes } from "../../src/sys/aligned.ts";
import * as k from "../../src/sys/constants.ts";
import * as errors from "../../src/sys/errors.ts";
import { readStat, statDescriptor } from "../../src/sys/stat.ts";
import { requireOrSkip } from "../support/require.ts";
import { bytes, checkBytes, empty, inScratch, text, tool } from "./scratch.ts";

const { check } = errors;

requireOrSkip("root");

describe("openAt", () => {
  it("opens relative to a descriptor, makes files with the mode asked for, and sets CLOEXEC", () =>
    inScratch(({ fd, path }) => {
      const file = check(addon().openAt(fd, bytes("\xfe"), k.O_CREAT | k.O_EXCL | k.O_WRONLY, 0o640, 0), "openat");
      expect(statSync(Buffer.concat([Buffer.from(`${path}/`), bytes("\xfe")])).mode & 0o777).toBe(0o640);
      expect(
        Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${file}`, "utf8"))?.[1] ?? "", 8) &
          0o2000000,
      ).not.toBe(0);
      expect(addon().close(file)).toBe(0);
      expect(addon().openAt(fd, bytes("\xfe"), k.O_CREAT | k.O_EXCL | k.O_WRONLY, 0o640, 0)).toBe(-errors.EEXIST);
      expect(addon().openAt(fd, bytes("none"), k.O_RDONLY, 0, 0)).toBe(-errors.ENOENT);
    }));

  it("keeps below the directory and off symlinks when asked to", () =>
    inScratch(({ fd, of }) => {
      mkdirSync(of("dir"));
      writeFileSync(of("dir/file"), "");
      symlinkSync("dir", of("link"));
      symlinkSync("/etc/passwd", of("out"));
      const open = (name: string, resolve: number): number => addon().openAt(fd, bytes(name), k.O_RDONLY, 0, resolve);
      const opened = check(open("dir/file", k.RESOLVE_CONTAINED), "openat2");
      addon().close(opened);
      expect(open("link/file", k.RESOLVE_CONTAINED)).toBe(-errors.ELOOP);
      expect(open("out", k.RESOLVE_CONTAINED)).toBe(-errors.ELOOP);
      expect(open("out", k.RESOLVE_BENEATH)).toBe(-errors.EXDEV);
      expect(open("../x", k.RESOLVE_CONTAINED)).toBe(-errors.EXDEV);
      expect(open("/etc/passwd", k.RESOLVE_CONTAINED)).toBe(-errors.EXDEV);
      const made = check(
        addon().openAt(fd, bytes("made"), k.O_CREAT | k.O_WRONLY, 0o600, k.RESOLVE_CONTAINED),
        "openat2",
      );
      addon().close(made);
      expect(statSync(of("made")).mode & 0o777).toBe(0o600);
    }));

  it("makes a nameless file that linkAt gives a name", () =>
    inScratch(({ fd, of }) => {
      const file = check(addon().openAt(fd, bytes("."), k.O_TMPFILE | k.O_WRONLY, 0o600, 0), "openat");
      expect(addon().write(file, bytes("whole"), 0, 5, -1)).toBe(5);
      expect(addon().linkAt(file, empty, fd, bytes("named"), k.AT_EMPTY_PATH)).toBe(0);
      addon().close(file);
      expect(readFileSync(of("named"), "utf8")).toBe("whole");
    }));
});

describe("statAt", () => {
  it("describes a name without following it, or the descriptor itself", () =>
    inScratch(({ fd, of, path }) => {
      writeFileSync(of("file"), "123");
      symlinkSync("file", of("link"));
      const record = new Uint8Array(128);
      expect(addon().statAt(fd, bytes("link"), record)).toBe(0);
      expect(readStat(record).mode & k.S_IFMT).toBe(k.S_IFLNK);
      expect(statDescriptor(fd)).toMatchObject({ ino: statSync(path).ino, mode: statSync(path).mode });
      expect(addon().statAt(fd, bytes("none"), record)).toBe(-errors.ENOENT);
      expect(readStat(record).error).toBe(errors.ENOENT);
      expect(() => addon().statAt(fd, empty, new Uint8Array(127))).toThrow(RangeError);
    }));
});

describe("alignedBytes", () => {
  it("begin at a page, so that a descriptor with O_DIRECT can be read into them", () => {
    for (const length of [1, 512, 4096, 5 << 20]) {
      const aligned = alignedBytes(length);
      expect([aligned.length, addon().pageOffset(aligned)]).toEqual([length, 0]);
      expect(addon().pageOffset(aligned.subarray(1))).toBe(1);
    }
  });
});

describe("read and write", () => {
  it("reads ranges up to the end of the file into the middle of a buffer", () =>
    inScratch(({ of, open }) => {
      writeFileSync(of("file"), "0123456789");
      const buffer = new Uint8Array(8).fill(46);
      expect(addon().read(open("file"), buffer, 2, 4, 3)).toBe(4);
      expect(text(buffer)).toBe("..3456..");
      expect(addon().read(open("file"), buffer, 0, 8, 6)).toBe(4);
      expect(addon().read(open("file"), buffer, 0, 8, 100)).toBe(0);
      expect(addon().read(open("file"), buffer, 0, 0, 0)).toBe(0);
    }));

  it("writes at positions and at the descriptor's own offset, beyond 4 GiB too", () =>
    inScratch(({ of, open }) => {
      const file = open("file", "w+");
      expect(addon().write(file, bytes("abcdef"), 1, 3, -1)).toBe(3);
      expect(addon().write(file, bytes("XY"), 0, 2, -1)).toBe(2);
      expect(addon().write(file, bytes("!"), 0, 1, 1)).toBe(1);
      expect(addon().write(file, bytes("far"), 0, 3, 2 ** 33)).toBe(3);
      expect(statSync(of("file")).size).toBe(2 ** 33 + 3);
      const buffer = new Uint8Array(5);
      addon().read(file, buffer, 0, 5, 0);
      expect(text(buffer)).toBe("b!dXY");
      expect(addon().truncate(file, 2)).toBe(0);
      expect(statSync(of("file")).size).toBe(2);
      expect(addon().fsync(file)).toBe(0);
      expect(addon().syncFilesystem(file)).toBe(0);
    }));

  it("reads a pipe at its own offset until its end", () =>
    inScratch(({ of, open }) => {
      tool("mkfifo", of("pipe"));
      const end = open("pipe", k.O_RDWR);
      addon().write(end, bytes("through"), 0, 7, -1);
      const buffer = new Uint8Array(7);
      expect(addon().read(end, buffer, 0, 3, -1)).toBe(3);
      expect(addon().read(end, buffer, 3, 4, -1)).toBe(4);
      expect(text(buffer)).toBe("through");
    }));

  it("reports the errors of a full device, a directory and a closed descriptor", () =>
    inScratch(({ fd }) => {
      const full = check(addon().openAt(k.AT_FDCWD, bytes("/dev/full"), k.O_WRONLY, 0, 0), "openat");
      expect(addon().write(full, bytes("x"), 0, 1, -1)).toBe(-errors.ENOSPC);
      addon().close(full);
      expect(addon().close(full)).toBe(-errors.EBADF);
      expect(addon().read(fd, new Uint8Array(1), 0, 1, 0)).toBe(-errors.EISDIR);
    }));
});

describe("making and removing names", () => {
  it("makes directories, nodes, symlinks and hard links as mknod(1) and ln(1) do", () =>
    inScratch(({ fd, of, path }) => {
      const before = addon().umask(0);
      expect(addon().mkdirAt(fd, bytes("dir"), 0o1777)).toBe(0);
      expect(addon().mknodAt(fd, bytes("char"), k.S_IFCHR | 0o666, 4095, 1_048_575)).toBe(0);
      expect(addon().mknodAt(fd, bytes("block"), k.S_IFBLK | 0o600, 7, 300)).toBe(0);
      expect(addon().mknodAt(fd, bytes("fifo"), k.S_IFIFO | 0o644, 0, 0)).toBe(0);
      expect(addon().mknodAt(fd, bytes("socket"), k.S_IFSOCK | 0o755, 0, 0)).toBe(0);
      expect(addon().umask(before)).toBe(0);
      const target = `../${"t".repeat(4092)}`;
      expect(addon().symlinkAt(bytes(target), fd, bytes("link"))).toBe(0);
      expect(addon().linkAt(fd, bytes("link"), fd, bytes("dir/link2"), 0)).toBe(0);
      expect(
        tool("stat", "-c", "%n %A %t,%T %h", ...["dir", "char", "block", "fifo", "socket"].map(of)).replaceAll(
          `${path}/`,
          "",
        ),
      ).toBe(
        "dir drwxrwxrwt 0,0 2\nchar crw-rw-rw- fff,fffff 1\nblock brw------- 7,12c 1\nfifo prw-r--r-- 0,0 1\nsocket srwxr-xr-x 0,0 1",
      );
      expect(readlinkSync(of("dir/link2"))).toBe(target);
      expect(text(checkBytes(addon().readlinkAt(fd, bytes("link")), "readlink"))).toBe(target);
      expect(addon().readlinkAt(fd, bytes("dir"))).toBe(-errors.EINVAL);
      expect(addon().symlinkAt(empty, fd, bytes("nowhere"))).toBe(-errors.ENOENT);
      expect(addon().mkdirAt(fd, bytes("dir"), 0o700)).toBe(-errors.EEXIST);
      expect(addon().mknodAt(fd, bytes("big"), k.S_IFCHR, 4096, 0)).toBe(-errors.EINVAL);
      expect(addon().mknodAt(fd, bytes("big"), k.S_IFCHR, 0, 2 ** 20)).toBe(-errors.EINVAL);
    }));

  it("renames without replacing when asked to, and removes files and directories", () =>
    inScratch(({ fd, of, path }) => {
      writeFileSync(of("a"), "a");
      writeFileSync(of("b"), "b");
      mkdirSync(of("dir"));
      expect(addon().renameAt(fd, bytes("a"), fd, bytes("b"), k.RENAME_NOREPLACE)).toBe(-errors.EEXIST);
      expect(addon().renameAt(fd, bytes("a"), fd, bytes("b"), 0)).toBe(0);
      expect(addon().unlinkAt(fd, bytes("dir"), 0)).toBe(-errors.EISDIR);
      expect(addon().unlinkAt(fd, bytes("dir"), k.AT_REMOVEDIR)).toBe(0);
      expect(readdirSync(path)).toEqual(["b"]);
      expect(readFileSync(of("b"), "utf8")).toBe("a");
      expect(addon().unlinkAt(fd, bytes("b"), 0)).toBe(0);
      expect(readdirSync(path)).toEqual([]);
    }));
});

describe("owner, mode and times", () => {
  it("sets the owner of a name without following it, and of a descriptor", () =>
    inScratch(({ fd, of, open }) => {
      writeFileSync(of("file"), "");
      symlinkSync("file", of("link"));
      expect(addon().chownAt(fd, bytes("link"), 4_294_967_294, 70_000)).toBe(0);
      expect(addon().chownAt(open("file"), empty, 5, 0xffff_ffff)).toBe(0);
      expect(tool("stat", "-c", "%u %g", of("link"), of("file"))).toBe("4294967294 70000\n5 0");
    }));

  it("sets the mode of names and descriptors, and never that of what a symlink points to", () =>
    inScratch(({ fd, of, open }) => {
      writeFileSync(of("file"), "", { mode: 0o600 });
      symlinkSync("file", of("link"));
      expect(addon().chmodAt(fd, bytes("file"), 0o6751)).toBe(0);
      expect(statSync(of("file")).mode & 0o7777).toBe(0o6751);
      expect(addon().chmodAt(fd, bytes("link"), 0o777)).toBe(-errors.ENOTSUP);
      expect(addon().chmodAt(open("file"), empty, 0o1400)).toBe(0);
      expect(statSync(of("file")).mode & 0o7777).toBe(0o1400);
    }));

  it("sets times to the nanosecond, before 1970 and after 2106, of symlinks and descriptors too", () =>
    inScratch(({ fd, of, open }) => {
      writeFileSync(of("file"), "");
      symlinkSync("file", of("link"));
      expect(addon().utimesAt(fd, bytes("link"), -2, 999_999_999, 4_294_967_297, 1)).toBe(0);
      expect(addon().utimesAt(open("file"), empty, 0, k.UTIME_OMIT, -86_400, 500_000_000)).toBe(0);
      const record = new Uint8Array(128);
      addon().statAt(fd, bytes("link"), record);
      expect(readStat(record)).toMatchObject({
        atime: { seconds: -2, nanoseconds: 999_999_999 },
        mtime: { seconds: 4_294_967_297, nanoseconds: 1 },
      });
      expect(statSync(of("file"), { bigint: true }).mtimeNs).toBe(-86_399_500_000_000n);
      expect(addon().utimesAt(fd, bytes("link"), 0, 1_000_000_000, 0, 0)).toBe(-errors.EINVAL);
    }));
});

describe("the process", () => {
  it("duplicates descriptors and locks files against other descriptions", () =>
    inScratch(({ of, open }) => {
      writeFileSync(of("file"), "");
      const first = open("file");
      const copy = check(addon().duplicate(first), "dup");
      expect(copy).not.toBe(first);
      expect(addon().lock(copy, k.LOCK_EX | k.LOCK_NB)).toBe(0);
      expect(addon().lock(open("file"), k.LOCK_SH | k.LOCK_NB)).toBe(-errors.EAGAIN);
      addon().close(copy);
      expect(addon().lock(first, k.LOCK_UN)).toBe(0);
      expect(addon().lock(open("file"), k.LOCK_SH | k.LOCK_NB)).toBe(0);
    }));

  it("knows its capabilities and its limit of open files as /proc tells them", () => {
    const effective = BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? ""}`);
    for (let capability = 0; capability < 64; capability++) {
      expect(addon().hasCapability(capability)).toBe(((effective >> BigInt(capability)) & 1n) === 1n);
    }
    const limit = /Max open files\s+(\d+|unlimited)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    expect(addon().openFileLimit()).toBe(Number(limit));
  });
});
