import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { RowEncoder } from "../../src/format/segment.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { addon } from "../../src/sys/addon.ts";
import { EBADF, EEXIST, ENOSPC } from "../../src/sys/errors.ts";
import { scatterSteps } from "../../src/sys/layout.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { catalogRow } from "../support/rows.ts";
import { bytes, inScratch, openBelow, openDirectory, tool } from "./scratch.ts";

requireOrSkip("root");

interface Wanted extends Partial<Omit<CatalogRow, "name" | "digest">> {
  readonly dirFd: number;
  readonly name: string;
  readonly data?: string;
  /** It has a digest: of this content. */
  readonly digestOf?: string;
}

interface Done {
  readonly open: number;
  readonly steps: number[];
  readonly errors: number[];
  readonly inodes: number[];
}

const immutable = 0x10;
const { left, otherDigest } = scatterSteps;

function digestOf(content: Uint8Array): Uint8Array {
  const digest = new Uint8Array(16);
  addon().digestFiles(content, new Float64Array(1), Float64Array.of(content.length), 1, digest);
  return digest;
}

type Arguments = Parameters<ReturnType<typeof addon>["scatter"]>;

/** The call for files with default owner 0:0, mode 0600; their data stand behind each other, from 512 on. */
function callOf(files: readonly Wanted[]): Arguments {
  const encoder = new RowEncoder();
  const data: Uint8Array[] = [new Uint8Array(512)];
  const places = new Float64Array(2 * files.length);
  let at = 512;
  for (const [index, { dirFd: _dirFd, name, data: text = "", digestOf: digested, ...fields }] of files.entries()) {
    const content = bytes(text);
    const digest = digested === undefined ? {} : { digest: digestOf(bytes(digested)) };
    encoder.add(catalogRow({ mode: 0o600, ...fields, name: bytes(name), size: content.length, ...digest }));
    data.push(content);
    places.set([at, content.length], 2 * index);
    at += content.length;
  }
  const { count, rows, digests } = encoder.finish();
  const dirFds = Int32Array.from(files, ({ dirFd }) => dirFd);
  const results = [new Uint8Array(count), new Int32Array(count), new Float64Array(count)] as const;
  const tar = new Uint8Array(Buffer.concat(data));
  return [tar, rows.slice(), count, digests.slice(), places, dirFds, 0, 0, immutable, ...results];
}

function scatter(...files: readonly Wanted[]): Done {
  const call = callOf(files);
  const open = addon().scatter(...call);
  const [steps, errors, inodes] = call.slice(-3) as [Uint8Array, Int32Array, Float64Array];
  return { open, steps: [...steps], errors: [...errors], inodes: [...inodes] };
}

describe("scatter", () => {
  it("makes files with their data, owner, mode and times", () =>
    inScratch(({ fd, of, path }) => {
      mkdirSync(of("dir"));
      const dir = openDirectory(of("dir"));
      const mtime = { seconds: -5, nanoseconds: 250_000_000 };
      const atime = { seconds: 4_294_967_297, nanoseconds: 9 };
      const done = scatter(
        { dirFd: fd, name: "plain", data: "content", mtime, atime, digestOf: "content" },
        { dirFd: dir, name: "n".repeat(255), mode: 0o6751, uid: 4_294_967_294, gid: 99, linked: true },
        { dirFd: fd, name: "\xff", data: "x".repeat(100_000), mode: 0 },
      );
      expect(openBelow(of("")).length).toBe(2);
      addon().close(dir);
      const { ino } = statSync(of(`dir/${"n".repeat(255)}`));
      expect(done).toEqual({ open: 1, steps: [0, 0, 0], errors: [0, 0, 0], inodes: [0, ino, 0] });
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
      const names = ["file", "dir", "dangling", "link"];
      const done = scatter(...names.map((name) => ({ dirFd: fd, name, data: "new" })), {
        dirFd: fd,
        name: "next",
        data: "made",
      });
      expect(done.errors).toEqual([EEXIST, EEXIST, EEXIST, EEXIST, 0]);
      expect(done.steps).toEqual([1, 1, 1, 1, 0]);
      expect(done.open).toBe(4);
      expect(readFileSync(of("file"), "utf8")).toBe("old");
      expect(readdirSync(of(".")).toSorted()).toEqual(["dangling", "dir", "file", "link", "next"]);
    }));

  it("leaves names that are not one component of the directory", () =>
    inScratch(({ fd, of, path }) => {
      mkdirSync(of("dir"));
      const names = ["", ".", "..", "dir/file", "/tmp/tsfsa-absolute", "../up", "nul\0"];
      const done = scatter(...names.map((name) => ({ dirFd: fd, name })));
      expect(done.steps).toEqual(names.map(() => left));
      expect(readdirSync(path)).toEqual(["dir"]);
      expect(readdirSync(of("dir"))).toEqual([]);
    }));

  it("leaves what is more than a plain file, and what has no directory or place", () =>
    inScratch(({ fd, path }) => {
      const call = callOf([
        { dirFd: fd, name: "directory", kind: EntryKind.directory },
        { dirFd: fd, name: "symlink", kind: EntryKind.symlink, symlinkTarget: bytes("a"), data: "a" },
        { dirFd: fd, name: "sparse", sparse: true },
        { dirFd: fd, name: "continued", continued: true },
        { dirFd: fd, name: "project", projectId: 1 },
        { dirFd: fd, name: "immutable", inodeFlags: immutable },
        { dirFd: fd, name: "unwritten", unwrittenExtents: [{ offset: 0, length: 512 }] },
        { dirFd: -1, name: "nowhere" },
        { dirFd: fd, name: "no place" },
        { dirFd: fd, name: "short", data: "four" },
        { dirFd: fd, name: "made", inodeFlags: 0x80000, digestOf: "" },
      ]);
      const places = call[4];
      places[2 * 8] = 0;
      places[2 * 9 + 1] = 3;
      expect(addon().scatter(...call)).toBe(9);
      expect([...call[9]]).toEqual([...Array.from({ length: 10 }, () => left), 0]);
      expect(readdirSync(path)).toEqual(["made"]);
      call[1] = call[1].subarray(0, 3); // no rows any more
      expect(addon().scatter(...call)).toBe(10);
    }));

  it("says which files have another digest", () =>
    inScratch(({ fd, path }) => {
      const done = scatter(
        { dirFd: fd, name: "a", data: "no digest" },
        { dirFd: fd, name: "b", data: "digest", digestOf: "digest" },
        { dirFd: fd, name: "c", data: "digest", digestOf: "another" },
        { dirFd: -1, name: "d", digestOf: "d" },
        { dirFd: fd, name: "e", data: "e", digestOf: "e" },
        { dirFd: fd, name: "b", data: "x", digestOf: "y" },
      );
      expect(done.steps).toEqual([0, 0, otherDigest, left, 0, 1 | otherDigest]);
      expect(done.open).toBe(2);
      expect(readdirSync(path)).toEqual(["a", "b", "c", "e"]);
    }));

  it("removes a file that could not be written, and reports the step", () =>
    withLab(async (lab) => {
      const path = await lab.tmpfs(64 * 1024);
      const dir = openDirectory(path);
      const closed = openDirectory(path);
      addon().close(closed);
      const done = scatter(
        { dirFd: dir, name: "big", data: "x".repeat(200_000) },
        { dirFd: dir, name: "small", data: "fits" },
        { dirFd: closed, name: "nowhere" },
      );
      expect(openBelow(path)).toEqual([path]);
      addon().close(dir);
      expect(done.errors).toEqual([ENOSPC, 0, EBADF]);
      expect(done.steps).toEqual([2, 0, 1]);
      expect(readdirSync(path)).toEqual(["small"]);
    }));

  it("reports the first failure but sets the rest, and drops setuid where the owner could not be set", () =>
    inScratch(({ of }) => {
      // Without privileges: in a process of its own, run as another user.
      tool("chmod", "777", of("."));
      const mtime = { seconds: 86_400, nanoseconds: 0 };
      const [, rows] = callOf([{ dirFd: 0, name: "file", mode: 0o6755, uid: 0, gid: 1234, mtime }]);
      const script = `
        const addon = require(${JSON.stringify(new URL("../../native/build/Release/tsfsa.node", import.meta.url).pathname)});
        process.setgid(1234); process.setuid(1234);
        const dir = addon.openAt(-100, Buffer.from(${JSON.stringify(of("."))}), 0, 0, 0);
        const steps = new Uint8Array(1), errors = new Int32Array(1);
        addon.scatter(new Uint8Array(512), Buffer.from("${Buffer.from(rows).toString("hex")}", "hex"), 1, new Uint8Array(0),
          Float64Array.of(512, 0), Int32Array.of(dir), 1234, 1234, 0, steps, errors, new Float64Array(1));
        console.log(errors[0], steps[0]);`;
      expect(tool(process.execPath, "-e", script)).toBe("1 3");
      expect(tool("stat", "-c", "%a %u %Y", of("file"))).toBe("755 1234 86400");
    }));

  it("makes nothing when an argument is out of range", () =>
    inScratch(({ fd, path }) => {
      const refused = (change: (call: Arguments) => void): void => {
        const call = callOf(["a", "b"].map((name) => ({ dirFd: fd, name, data: "data" })));
        change(call);
        expect(() => addon().scatter(...call)).toThrow(RangeError);
      };
      const [size, at] = [3, 2];
      refused(([, , , , places]) => (places[size] = 5));
      refused(([, , , , places]) => (places[size] = -1));
      refused(([, , , , places]) => (places[at] = -1));
      refused(([, , , , places]) => (places[at] = Number.NaN));
      refused((call) => (call[2] = 3));
      refused((call) => (call[4] = new Float64Array(3)));
      refused((call) => (call[5] = Int32Array.of(fd)));
      refused((call) => (call[9] = new Uint8Array(1)));
      refused((call) => (call[10] = new Int32Array(1)));
      refused((call) => (call[11] = new Float64Array(1)));
      expect(readdirSync(path)).toEqual([]);
    }));
});
