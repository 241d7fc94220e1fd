import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSink } from "../../src/archive/open-sink.ts";
import { addon } from "../../src/sys/addon.ts";
import { LOCK_EX, LOCK_NB } from "../../src/sys/constants.ts";
import { run } from "../support/run.ts";
import { tsfsaArgv } from "../support/cli.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tsfsa-sink-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => Buffer.from(text);
const openFiles = (): number => readdirSync("/proc/self/fd").length;

describe("a regular file as a sink", () => {
  it("has no name until it is committed, then all its bytes and mode 0600", async () => {
    const before = openFiles();
    const path = join(folder, "a.tsfsa");
    const sink = openSink(path, { overwrite: false });
    await sink.write([bytes("one "), new Uint8Array(0), bytes("two")]);
    await sink.write([bytes(" three")]);
    expect(readdirSync(folder)).toEqual([]);
    expect(sink.offset).toBe(13);
    await sink.commit();
    expect(readFileSync(path, "utf8")).toBe("one two three");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["a.tsfsa"]);
    expect(openFiles()).toBe(before);
    sink.abort();
    expect(existsSync(path), "an abort after the commit changes nothing").toBe(true);
  });

  it("leaves nothing behind when it is aborted, as often as that is asked", async () => {
    const before = openFiles();
    const sink = openSink(join(folder, "a.tsfsa"), { overwrite: false });
    await sink.write([bytes("one")]);
    sink.abort();
    sink.abort();
    expect(readdirSync(folder)).toEqual([]);
    expect(openFiles()).toBe(before);
    await expect(sink.write([bytes("two")])).rejects.toMatchObject({ code: "IO" });
  });

  it("may be aborted while a write is under way: its descriptor is closed after that only", async () => {
    const before = openFiles();
    const sink = openSink(join(folder, "a.tsfsa"), { overwrite: false });
    const writing = sink.write([new Uint8Array(30_000_000)]);
    sink.abort();
    expect(openFiles()).toBeGreaterThan(before);
    await writing.catch(() => {});
    expect(openFiles()).toBe(before);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("never replaces an archive unasked, also one that appears meanwhile", async () => {
    const path = join(folder, "a.tsfsa");
    const sink = openSink(path, { overwrite: false });
    writeFileSync(path, "older");
    await expect(sink.commit()).rejects.toMatchObject({ code: "ARCHIVE_EXISTS" });
    sink.abort();
    expect(() => openSink(path, { overwrite: false })).toThrow(expect.objectContaining({ code: "ARCHIVE_EXISTS" }));
    expect(readFileSync(path, "utf8")).toBe("older");
    expect(readdirSync(folder)).toEqual(["a.tsfsa"]);
  });

  it("replaces an archive when asked, in one step, and knows both as its own", async () => {
    const path = join(folder, "a.tsfsa");
    writeFileSync(path, "older");
    linkSync(path, join(folder, "kept"));
    const sink = openSink(path, { overwrite: true });
    const inode = statSync(path, { bigint: true }).ino;
    expect(sink.identities.map(({ ino }) => ino)).toContain(inode);
    await sink.write([bytes("newer")]);
    expect(readFileSync(path, "utf8")).toBe("older");
    await sink.commit();
    expect(readFileSync(path, "utf8")).toBe("newer");
    expect(readFileSync(join(folder, "kept"), "utf8")).toBe("older");
    expect(readdirSync(folder).toSorted()).toEqual(["a.tsfsa", "kept"]);
  });

  it("replaces an archive whose name has 255 bytes, in letters of several bytes", async () => {
    const path = join(folder, `${"ä".repeat(127)}x`);
    for (const content of ["older", "newer"]) {
      const sink = openSink(path, { overwrite: true });
      await sink.write([bytes(content)]);
      await sink.commit();
    }
    expect(readFileSync(path, "utf8")).toBe("newer");
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it("removes temporary files that nobody holds, also one of its own process number, and no others", async () => {
    const path = join(folder, "a.tsfsa");
    const stale = [`.a.tsfsa.tsfsa-${process.pid}`, ".a.tsfsa.tsfsa-999999999"];
    const others = [".a.tsfsa.tsfsa-", ".a.tsfsa.tsfsa-1x", ".b.tsfsa.tsfsa-1", "a.tsfsa.tsfsa-1"];
    for (const name of [...stale, ...others, ".a.tsfsa.tsfsa-77"]) writeFileSync(join(folder, name), "");
    symlinkSync("a", join(folder, ".a.tsfsa.tsfsa-78"));
    mkdirSync(join(folder, ".a.tsfsa.tsfsa-79"));
    const held = openSync(join(folder, ".a.tsfsa.tsfsa-77"), "w");
    try {
      expect(addon().lock(held, LOCK_EX | LOCK_NB)).toBe(0);
      openSink(path, { overwrite: false }).abort();
      const kept = [...others, ".a.tsfsa.tsfsa-77", ".a.tsfsa.tsfsa-78", ".a.tsfsa.tsfsa-79"];
      expect(readdirSync(folder).toSorted()).toEqual(kept.toSorted());
    } finally {
      closeSync(held);
    }
  });

  it.each([
    ["no such folder", "missing/a.tsfsa", "IO", /folder .*missing does not exist/],
    ["a folder that is a file", "file/a.tsfsa", "IO", /ENOTDIR/],
    ["a directory as name", "directory", "FAILED", /expected a file name, found a directory/],
    ["a name that is too long", "n".repeat(256), "IO", /ENAMETOOLONG/],
    ["a link to itself", "loop", "IO", /ELOOP/],
  ])("is refused with a clear error for %s", (_, name, code, message) => {
    writeFileSync(join(folder, "file"), "");
    mkdirSync(join(folder, "directory"));
    symlinkSync("loop", join(folder, "loop"));
    const before = openFiles();
    expect(() => openSink(join(folder, name), { overwrite: false })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    expect(openFiles()).toBe(before);
  });

  it("tells a full file system as NO_SPACE and leaves nothing there", async () => {
    if (process.geteuid?.() !== 0) return;
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tsfsa-test", folder]);
    try {
      const sink = openSink(join(folder, "a.tsfsa"), { overwrite: false });
      await expect(sink.write([new Uint8Array(100_000)])).rejects.toMatchObject({ code: "NO_SPACE" });
      sink.abort();
      expect(readdirSync(folder)).toEqual([]);
      expect(Number(execFileSync("df", ["--output=used", folder]).toString().split("\n")[1])).toBe(0);
    } finally {
      execFileSync("umount", [folder]);
    }
  });
});

describe("a file system without unnamed files", () => {
  it("gets a hidden file that becomes the archive, or nothing", async () => {
    const source = join(folder, "source");
    const out = join(folder, "out");
    mkdirSync(source);
    mkdirSync(out);
    chmodSync(source, 0o755);
    writeFileSync(join(source, "file"), "content");
    const save = async (fault: string): Promise<{ readonly status: number; readonly log: string }> => {
      const log = join(folder, "log");
      const tracer = ["strace", "-f", "-qq", "-o", log, "-e", "trace=openat,renameat2,fsync", "-e", "signal=none"];
      // Each opening of the folder itself fails but the listing (O_DIRECTORY alone comes first).
      const faults = ["-P", out, "-e", "inject=openat:error=EOPNOTSUPP:when=3", ...(fault === "" ? [] : ["-e", fault])];
      const { status } = await run([...tracer, ...faults, ...tsfsaArgv("savedir", "-A", join(out, "a.tsfsa"), source)]);
      return { status, log: readFileSync(log, "utf8") };
    };
    const { status, log } = await save("");
    expect(log).toMatch(/O_TMPFILE.*EOPNOTSUPP.*INJECTED/);
    expect(status).toBe(0);
    expect(readdirSync(out)).toEqual(["a.tsfsa"]);
    rmSync(join(out, "a.tsfsa"));
  });
});

describe("a FIFO as a sink", () => {
  it("waits for its reader, gives it all bytes in order, and the end", async () => {
    const before = openFiles();
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const sink = openSink(path, { overwrite: false });
    const parts = [new Uint8Array(3_000_000).fill(1), new Uint8Array(new SharedArrayBuffer(200_000)).fill(2)];
    const writing = sink.write(parts);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sink.offset).toBe(0);
    const reader = run(["cat", path]);
    await writing;
    expect(sink.offset).toBe(3_200_000);
    await sink.commit();
    const { stdout } = await reader;
    expect(stdout.equals(Buffer.concat(parts))).toBe(true);
    sink.abort();
    expect(openFiles()).toBe(before);
  });

  it("that has no reader yet can be given up", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const sink = openSink(path, { overwrite: false });
    const writing = sink.write([bytes("one")]);
    sink.abort();
    await expect(writing).rejects.toMatchObject({ code: "IO" });
  });

  it("whose reader goes away fails with EPIPE, also for every later write", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const sink = openSink(path, { overwrite: false });
    const reader = run(["head", "-c", "1000", path]);
    const whole = new Uint8Array(4_000_000);
    await expect(sink.write([whole])).rejects.toMatchObject({ code: "IO", context: { errno: "EPIPE" } });
    await expect(sink.write([whole])).rejects.toMatchObject({ code: "IO", context: { errno: "EPIPE" } });
    sink.abort();
    expect((await reader).stdout.length).toBe(1000);
  });

  it("whose reader stands still can be given up in the middle of a write", async () => {
    const before = openFiles();
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const still = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const sink = openSink(path, { overwrite: false });
    const writing = sink.write([new Uint8Array(4_000_000)]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    sink.abort();
    await expect(writing).rejects.toMatchObject({ code: "IO" });
    closeSync(still);
    await new Promise(setImmediate);
    expect(openFiles()).toBe(before);
  });
});
