// md superblocks, written here field by field (no md driver is needed) and judged by blkid.

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identify } from "../../../src/filesystem/superblock/identify.ts";
import { requireOrSkip } from "../../support/require.ts";
import { must } from "../../support/run.ts";
import { mdMember } from "../support/md.ts";
import { readerOfBytes } from "../support/reader.ts";

requireOrSkip("loop");

const sizeBytes = 8 * 1024 * 1024;
let folder = "";
beforeAll(() => {
  folder = mkdtempSync("/dev/shm/tsfsa-md-");
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The parts of struct mdp_super_t (version 0.90) that identify it. */
function version090(): Buffer {
  const image = Buffer.alloc(sizeBytes);
  const sb = image.subarray(sizeBytes - 65_536);
  sb.writeUInt32LE(0xa92b4efc, 0);
  sb.writeUInt32LE(0, 4);
  sb.writeUInt32LE(90, 8);
  for (const [at, value] of [
    [20, 0x11111111],
    [52, 0x22222222],
    [56, 0x33333333],
    [60, 0x44444444],
  ] as const)
    sb.writeUInt32LE(value, at);
  return image;
}

describe("an md member", () => {
  test.each([
    ["1.1", () => mdMember(sizeBytes, 0)],
    ["1.2", () => mdMember(sizeBytes, 4096)],
    ["1.0", () => mdMember(sizeBytes, sizeBytes - 8192)],
    ["0.90.0", version090],
  ])("of version %s is recognised as blkid does", async (version, make) => {
    const bytes = make();
    const path = join(folder, "image");
    writeFileSync(path, bytes);
    truncateSync(path, sizeBytes);
    const { stdout } = await must(["blkid", "-p", "-o", "export", path]);
    const identity = await identify(readerOfBytes(bytes));
    expect(identity).toMatchObject({ type: "linux_raid_member", usage: "container", version });
    expect(stdout.toString()).toContain(`VERSION=${version}`);
    expect(stdout.toString()).toContain(`UUID=${identity?.uuid}`);
  });
});
