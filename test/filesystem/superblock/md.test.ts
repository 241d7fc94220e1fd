// md superblocks, written here field by field (no md driver is needed) and judged by blkid.

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { identify } from "../../../src/filesystem/superblock/identify.ts";
import { requireOrSkip } from "../../support/require.ts";
import { must } from "../../support/run.ts";
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

/** struct mdp_superblock_1 at its place, with the checksum of calc_sb_1_csum (drivers/md/md.c). */
function version1(offset: number): Buffer {
  const image = Buffer.alloc(sizeBytes);
  const sb = image.subarray(offset, offset + 256 + 2);
  sb.writeUInt32LE(0xa92b4efc, 0);
  sb.writeUInt32LE(1, 4);
  for (let at = 0; at < 16; at += 1) sb[16 + at] = at + 1;
  sb.write("host:0", 32);
  sb.writeBigUInt64LE(8192n, 80);
  sb.writeBigUInt64LE(BigInt(offset / 512), 144);
  sb.writeUInt32LE(1, 220); // max_dev
  let sum = 0n;
  for (let at = 0; at < 256; at += 4) sum += BigInt(sb.readUInt32LE(at));
  sum += BigInt(sb.readUInt16LE(256));
  sb.writeUInt32LE(Number(((sum & 0xffffffffn) + (sum >> 32n)) & 0xffffffffn), 216);
  return image;
}

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
    ["1.1", () => version1(0)],
    ["1.2", () => version1(4096)],
    ["1.0", () => version1(sizeBytes - 8192)],
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
