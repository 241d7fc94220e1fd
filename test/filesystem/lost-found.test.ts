import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lostFoundOf } from "../../src/filesystem/lost-found.ts";

let root: string;
let fd: number;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsfsa-test-"));
  mkdirSync(join(root, "lost+found"));
  fd = openSync(root, "r");
});
afterEach(() => {
  closeSync(fd);
  rmSync(root, { recursive: true });
});

const inRoot = (): boolean => existsSync(join(root, "lost+found"));

describe("the lost+found that mke2fs makes", () => {
  it("is removed at once where the archive has none", () => {
    lostFoundOf(fd, false);
    expect(inRoot()).toBe(false);
  });

  it("stays when a restore has given it its times", () => {
    const settle = lostFoundOf(fd, true);
    utimesSync(join(root, "lost+found"), 5, 5);
    settle();
    expect(inRoot()).toBe(true);
  });

  // Found by failing every system call of a restfs: the root had the time of the removal, and nobody said so.
  it("is removed afterwards when the restore did not, and the root keeps the times it was given", () => {
    const settle = lostFoundOf(fd, true);
    utimesSync(root, 7, 1_234_567_890.5);
    settle();
    expect(inRoot()).toBe(false);
    expect(statSync(root).mtimeMs).toBe(1_234_567_890_500);
  });
});
