import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import { UTIME_OMIT } from "../../src/sys/constants.ts";
import { EBADF, EEXIST, EINVAL, ENOSPC } from "../../src/sys/errors.ts";
import { scatterFlags, scatterLayout as layout } from "../../src/sys/layout.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { bytes, inScratch, openBelow, openDirectory, tool } from "./scratch.ts";

requireOrSkip("root");

interface Wanted {
  readonly dirFd: number;
  readonly name: string;
  readonly data?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly flags?: number;
  readonly atime?: readonly [number, number];
  readonly mtime?: readonly [number, number];
}

interface Done {
  readonly status: number[];
  readonly steps: number[];
  readonly fds: number[];
  readonly inodes: number[];
  readonly digests: Uint8Array;
}

function length(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** Scatters files with default owner 0:0; data and names are packed with a gap between them. */
function scatter(...files: readonly Wanted[]): Done {
  const records = new Uint8Array(files.length * layout.size);
  const view = new DataView(records.buffer);
  const names: Uint8Array[] = [bytes("gap")];
  const data: Uint8Array[] = [bytes("gap")];
  for (const [index, wanted] of files.entries()) {
    const at = index * layout.size;
    const content = bytes(wanted.data ?? "");
    view.setInt32(at + layout.dirFd, wanted.dirFd, true);
    view.setUint32(at + layout.nameOffset, length(names), true);
    view.setFloat64(at + layout.dataOffset, length(data), true);
    view.setFloat64(at + layout.dataLength, content.length, true);
    view.setUint32(at + layout.mode, wanted.mode ?? 0o600, true);
    view.setUint32(at + layout.uid, wanted.uid ?? 0, true);
    view.setUint32(at + layout.gid, wanted.gid ?? 0, true);
    view.setUint32(at + layout.flags, wanted.flags ?? 0, true);
    const [atime, atimeNs] = wanted.atime ?? [0, UTIME_OMIT];
    const [mtime, mtimeNs] = wanted.mtime ?? [0, UTIME_OMIT];
    view.setBigInt64(at + layout.atime, BigInt(atime), true);
    view.setUint32(at + layout.atimeNs, atimeNs, true);
    view.setBigInt64(at + layout.mtime, BigInt(mtime), true);
    view.setUint32(at + layout.mtimeNs, mtimeNs, true);
    names.push(Buffer.concat([Buffer.from([wanted.name.length]), bytes(wanted.name)]));
    data.push(content);
  }
  const status = new Int32Array(files.length).fill(-7);
  const steps = new Uint8Array(files.length).fill(77);
  const fds = new Int32Array(files.length).fill(77);
  const inodes = new Float64Array(files.length).fill(77);
  const digests = new Uint8Array(files.length * 16);
  addon().scatter(
    records,
    files.length,
    new Uint8Array(Buffer.concat(names)),
    new Uint8Array(Buffer.concat(data)),
    status,
    steps,
    fds,
    inodes,
    digests,
  );
  return { status: [...status], steps: [...steps], fds: [...fds], inodes: [...inodes], digests };
}

describe("scatter", () => {
  it("makes files with their data, owner, mode and times", () =>
    inScratch(({ fd, of, path }) => {
      mkdirSync(of("dir"));
      const dir = openDirectory(of("dir"));
      const done = scatter(
        { dirFd: fd, name: "plain", data: "content", mtime: [-5, 250_000_000], atime: [4_294_967_297, 9] },
        { dirFd: dir, name: "n".repeat(255), mode: 0o6751, uid: 4_294_967_294, gid: 99, flags: scatterFlags.wantInode },
        { dirFd: fd, name: "\xff", data: "x".repeat(100_000), mode: 0 },
      );
      expect(openBelow(of("")).length).toBe(2);
      addon().close(dir);
      expect(done).toMatchObject({ status: [0, 0, 0], steps: [0, 0, 0], fds: [-1, -1, -1] });
      expect(done.inodes).toEqual([0, statSync(of(`dir/${"n".repeat(255)}`)).ino, 0]);
      expect(readFileSync(of("plain"), "utf8")).toBe("content");
      const plain = statSync(of("plain"), { bigint: true });
      expect([plain.mode, plain.mtimeNs, plain.atimeNs]).toEqual([
        0o100600n,
        -4_750_000_000n,
        4_294_967_297_000_000_009n,
      ]);
      expect(tool("stat", "-c", "%a %u %g %s", of(`dir/${"n".repeat(255)}`))).toBe("6751 4294967294 99 0");
      const strange = statSync(Buffer.concat([Buffer.from(`${path}/`), bytes("\xff")]));
      expect([strange.mode, strange.size]).toEqual([0o100000, 100_000]);
    }));

  it("never follows or replaces what is there", () =>
    inScratch(({ fd, of }) => {
      writeFileSync(of("file"), "old");
      mkdirSync(of("dir"));
      symlinkSync("made", of("dangling"));
      symlinkSync("file", of("link"));
      const done = scatter(...["file", "dir", "dangling", "link"].map((name) => ({ dirFd: fd, name, data: "new" })), {
        dirFd: fd,
        name: "next",
        data: "made",
      });
      expect(done.status).toEqual([EEXIST, EEXIST, EEXIST, EEXIST, 0]);
      expect(done.steps).toEqual([1, 1, 1, 1, 0]);
      expect(readFileSync(of("file"), "utf8")).toBe("old");
      expect(readdirSync(of(".")).toSorted()).toEqual(["dangling", "dir", "file", "link", "next"]);
    }));

  it("refuses names that are not one component of the directory", () =>
    inScratch(({ fd, of, path }) => {
      mkdirSync(of("dir"));
      const names = ["", ".", "..", "dir/file", "/tmp/tsfsa-absolute", "../up"];
      const done = scatter(...names.map((name) => ({ dirFd: fd, name })));
      expect(done.status).toEqual(names.map(() => EINVAL));
      expect(done.steps).toEqual(names.map(() => 1));
      expect(readdirSync(path)).toEqual(["dir"]);
      expect(readdirSync(of("dir"))).toEqual([]);
    }));

  it("leaves descriptors open where asked, with the owner set but not mode and times", () =>
    inScratch(({ fd, of }) => {
      const flags = scatterFlags.keepOpen | scatterFlags.wantInode;
      const done = scatter({
        dirFd: fd,
        name: "file",
        data: "abc",
        uid: 5,
        gid: 6,
        mode: 0o4755,
        mtime: [1, 1],
        flags,
      });
      const [file = -1] = done.fds;
      expect(addon().write(file, bytes("def"), 0, 3, -1)).toBe(3);
      expect(addon().close(file)).toBe(0);
      const stat = statSync(of("file"));
      expect([stat.mode & 0o7777, stat.uid, stat.gid, stat.size]).toEqual([0o600, 5, 6, 6]);
      expect(stat.mtimeMs).toBeGreaterThan(1e12);
      expect(done.inodes).toEqual([stat.ino]);
    }));

  it("leaves owner and times alone where asked", () =>
    inScratch(({ fd, of }) => {
      const flags = scatterFlags.skipOwner | scatterFlags.skipTimes;
      scatter({ dirFd: fd, name: "file", uid: 5, gid: 6, mode: 0o644, mtime: [1, 1], flags });
      const stat = statSync(of("file"));
      expect([stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([0, 0, 0o644]);
      expect(stat.mtimeMs).toBeGreaterThan(1e12);
    }));

  it("gives the file digests of what it wrote", () =>
    inScratch(({ fd }) => {
      const done = scatter(
        { dirFd: fd, name: "a", data: "no digest" },
        { dirFd: fd, name: "b", data: "digest", flags: scatterFlags.digest },
      );
      const expected = new Uint8Array(32);
      addon().digestFiles(bytes("digest"), new Float64Array([0]), new Float64Array([6]), 1, expected.subarray(16));
      expect(done.digests).toEqual(expected);
    }));

  it("removes a file that could not be written, and reports the step", () =>
    withLab(async (lab) => {
      const path = await lab.tmpfs(64 * 1024);
      const dir = openDirectory(path);
      const done = scatter(
        { dirFd: dir, name: "big", data: "x".repeat(200_000) },
        { dirFd: dir, name: "small", data: "fits" },
        { dirFd: -1, name: "nowhere" },
      );
      expect(openBelow(path)).toEqual([path]);
      addon().close(dir);
      expect(done.status).toEqual([ENOSPC, 0, EBADF]);
      expect(done.steps).toEqual([2, 0, 1]);
      expect(readdirSync(path)).toEqual(["small"]);
    }));

  it("reports the first failure but sets the rest, and drops setuid where the owner could not be set", () =>
    inScratch(({ of }) => {
      // Without privileges: in a process of its own, run as another user.
      tool("chmod", "777", of("."));
      const script = `
        const addon = require(${JSON.stringify(new URL("../../native/build/Release/tsfsa.node", import.meta.url).pathname)});
        process.setgid(1234); process.setuid(1234);
        const view = new DataView(new ArrayBuffer(80));
        view.setInt32(0, addon.openAt(-100, Buffer.from(${JSON.stringify(of("."))}), 0, 0, 0), true);
        view.setUint32(24, 0o6755, true); view.setUint32(28, 0, true); view.setUint32(32, 1234, true);
        view.setBigInt64(48, 86400n, true); view.setUint32(56, ${UTIME_OMIT}, true);
        view.setUint32(64, 1234, true); view.setUint32(68, 1234, true);
        const status = new Int32Array(1), steps = new Uint8Array(1);
        addon.scatter(new Uint8Array(view.buffer), 1, Buffer.from("\\x04file"), new Uint8Array(0), status, steps,
          new Int32Array(1), new Float64Array(1), new Uint8Array(0));
        console.log(status[0], steps[0]);`;
      expect(tool(process.execPath, "-e", script)).toBe("1 3");
      expect(tool("stat", "-c", "%a %u %Y", of("file"))).toBe("755 1234 86400");
    }));

  it("makes nothing when a record is out of range", () =>
    inScratch(({ fd, path }) => {
      const record = (change: (view: DataView) => void): (() => void) => {
        const view = new DataView(new ArrayBuffer(2 * layout.size));
        for (const at of [0, layout.size]) view.setInt32(at, fd, true);
        change(new DataView(view.buffer, layout.size));
        const arrays = [new Int32Array(2), new Uint8Array(2), new Int32Array(2), new Float64Array(2)] as const;
        return () =>
          addon().scatter(
            new Uint8Array(view.buffer),
            2,
            bytes("\x01a\x02b\0"),
            bytes("data"),
            ...arrays,
            new Uint8Array(16),
          );
      };
      expect(record((view) => view.setUint32(layout.nameOffset, 5, true))).toThrow(RangeError);
      expect(record((view) => view.setUint32(layout.nameOffset, 3, true))).toThrow(RangeError);
      expect(record((view) => view.setUint32(layout.nameOffset, 2, true))).toThrow(RangeError);
      expect(record((view) => view.setFloat64(layout.dataLength, 5, true))).toThrow(RangeError);
      expect(record((view) => view.setFloat64(layout.dataOffset, -1, true))).toThrow(RangeError);
      expect(record((view) => view.setFloat64(layout.dataOffset, Number.NaN, true))).toThrow(RangeError);
      expect(record((view) => view.setUint32(layout.flags, scatterFlags.digest, true))).toThrow(RangeError);
      expect(readdirSync(path)).toEqual([]);
    }));
});
