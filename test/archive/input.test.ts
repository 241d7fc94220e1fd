// Bytes of an archive by peek, take, skip and seek: the same from a file and from a pipe, whatever comes in which pieces.

import { spawn } from "node:child_process";
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ArchiveInput, openInput } from "../../src/archive/input.ts";
import { addon } from "../../src/sys/addon.ts";
import { AT_FDCWD, S_IFIFO } from "../../src/sys/constants.ts";

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tsfsa-input-"));
  writeFileSync(join(dir, "file"), content);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** The content through a fifo, in pieces of some bytes. Opened with a writer there: one without reads as ended. */
async function openPipe(name: string, piece: number): Promise<ArchiveInput> {
  const fifo = join(dir, name);
  expect(addon().mknodAt(AT_FDCWD, Buffer.from(fifo), S_IFIFO | 0o600, 0, 0)).toBe(0);
  const holder = openSync(fifo, constants.O_RDWR);
  const input = openInput(fifo);
  const script = 'exec dd if="$0" of="$1" bs="$2"';
  const writer = spawn("sh", ["-c", script, join(dir, "file"), fifo, String(piece)], { stdio: "ignore" });
  writer.once("exit", () => closeSync(holder));
  return input;
}

const inputs: readonly [what: string, open: () => ArchiveInput | Promise<ArchiveInput>][] = [
  ["a file", () => openInput(join(dir, "file"))],
  ["a pipe", () => openPipe("a", 65_536)],
  ["a pipe of small pieces", () => openPipe("b", 1000)],
];

describe.each(inputs)("%s", (_, open) => {
  it("gives the same bytes however they are asked for", async () => {
    const input = await open();
    expect(input.position).toBe(0);
    expect(Buffer.from(await input.peek(10)).equals(content.subarray(0, 10))).toBe(true);
    expect(input.position).toBe(0);
    const taken = await input.take(70_000);
    expect(Buffer.from(taken).equals(content.subarray(0, 70_000))).toBe(true);
    expect(Buffer.from(await input.peek(100_000)).equals(content.subarray(70_000, 170_000))).toBe(true);
    expect(await input.skip(30_000)).toBe(true);
    expect(input.position).toBe(100_000);
    expect(Buffer.from(await input.take(199_990)).equals(content.subarray(100_000, 299_990))).toBe(true);
    expect(Buffer.from(taken).equals(content.subarray(0, 70_000)), "of its own").toBe(true);
    expect((await input.peek(100)).length).toBe(10);
    expect((await input.take(100)).length).toBe(10);
    expect((await input.take(100)).length).toBe(0);
    expect(await input.skip(1)).toBe(false);
    await input.close();
  });
});

describe("an archive argument", () => {
  it("that is a file has a length, a descriptor, and goes back", async () => {
    const input = openInput(join(dir, "file"));
    expect(input.length).toBe(content.length);
    expect(input.fd).toBeGreaterThanOrEqual(0);
    await input.skip(250_000);
    expect(input.seek(5)).toBe(true);
    expect(Buffer.from(await input.take(5)).equals(content.subarray(5, 10))).toBe(true);
    expect(await input.skip(content.length)).toBe(false);
    expect(input.position).toBe(content.length);
    await input.close();
  });

  it("that is missing, a directory or in no directory is refused", () => {
    mkdirSync(join(dir, "folder"));
    expect(() => openInput(join(dir, "none"))).toThrow(expect.objectContaining({ code: "ARCHIVE_MISSING" }));
    expect(() => openInput(join(dir, "file", "below"))).toThrow(expect.objectContaining({ code: "ARCHIVE_MISSING" }));
    expect(() => openInput(join(dir, "folder"))).toThrow(expect.objectContaining({ code: "ARCHIVE_FOREIGN" }));
  });
});
