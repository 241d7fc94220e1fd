// Superblocks captured in fixtures/superblocks (its README tells their origin), judged by what blkid and the families' own
// tools said of them. Needs no tools and no root.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readBtrfs } from "../../../src/filesystem/superblock/btrfs.ts";
import { readExt } from "../../../src/filesystem/superblock/ext.ts";
import { identify, identifyAll } from "../../../src/filesystem/superblock/identify.ts";
import { readXfs } from "../../../src/filesystem/superblock/xfs.ts";
import { judgeBtrfs, judgeExt, judgeXfs } from "../support/judges.ts";
import { readerOfBytes } from "../support/reader.ts";

const folder = new URL("../../../fixtures/superblocks/", import.meta.url);
const text = (name: string): string => readFileSync(new URL(name, folder), "utf8");

interface Captured {
  readonly sizeBytes: number;
  readonly type: string;
  readonly labelBase64?: string;
  readonly uuid?: string;
}
const captured = JSON.parse(text("blkid.json")) as Record<string, Captured>;
const names = Object.keys(captured);
const reader = (name: string) =>
  readerOfBytes(gunzipSync(readFileSync(new URL(`${name}.img.gz`, folder))), captured[name]?.sizeBytes ?? 0);

describe("a captured superblock", () => {
  test.each(names)("%s is identified as blkid does", async (name) => {
    const expected = captured[name] as Captured;
    const identity = await identify(reader(name));
    expect(identity?.type).toBe(expected.type);
    expect(Buffer.from(identity?.label ?? []).toString("base64")).toBe(expected.labelBase64 ?? "");
    expect(identity?.uuid).toBe(expected.uuid);
    expect(identity?.checksumValid).not.toBe(false);
    expect(identity?.sizeBytes ?? 0).toBeLessThanOrEqual(expected.sizeBytes);
  });

  test.each(names.filter((name) => name.startsWith("ext")))("%s reads as dumpe2fs shows it", (name) => {
    const sb = readExt(reader(name));
    const { ours, theirs } = judgeExt(text(`${name}.txt`), sb as NonNullable<typeof sb>);
    expect(ours).toEqual(theirs);
  });

  test.each(names.filter((name) => name.startsWith("xfs")))("%s reads as xfs_db shows it", (name) => {
    const sb = readXfs(reader(name));
    const { ours, theirs } = judgeXfs(text(`${name}.txt`), sb as NonNullable<typeof sb>);
    expect(ours).toEqual(theirs);
  });

  test.each(names.filter((name) => name.startsWith("btrfs")))("%s reads as dump-super shows it", async (name) => {
    const sb = await readBtrfs(reader(name));
    const { ours, theirs } = judgeBtrfs(text(`${name}.txt`), sb as NonNullable<typeof sb>);
    expect(ours).toEqual(theirs);
  });

  test("an unclean ext4 says that its journal needs replay", async () => {
    expect((await identify(reader("ext4-dirty")))?.needsReplay).toBe(true);
    expect((await identify(reader("ext4-every-feature")))?.needsReplay).toBe(false);
  });

  test("a GPT disk also shows its protective MBR, after it", async () => {
    expect((await identifyAll(reader("gpt"))).map(({ type }) => type)).toEqual(["gpt", "dos"]);
  });

  test.each([
    ["ext4-every-feature", 1024 + 0x78],
    ["xfs-v5", 108],
    ["btrfs-crc32c", 65_536 + 300],
    ["btrfs-xxhash", 65_536 + 300],
    ["btrfs-sha256", 65_536 + 300],
    ["btrfs-blake2", 65_536 + 300],
    ["erofs", 1024 + 64],
  ])("one changed byte of %s makes its checksum wrong", async (name, offset) => {
    const bytes = reader(name)
      .read(0, 1024 * 1024)
      .slice();
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    const identity = await identify(readerOfBytes(bytes, captured[name]?.sizeBytes));
    expect(identity?.type).toBe(captured[name]?.type);
    expect(identity?.checksumValid).toBe(false);
  });

  test.each([
    ["ext2-revision0", 1024 + 0x78, 16],
    ["xfs-v5", 108, 12],
    ["btrfs-crc32c", 65_536 + 299, 256],
  ])("%s gives back labels of every length, whatever their bytes are", async (name, offset, most) => {
    const bytes = reader(name)
      .read(0, 1024 * 1024)
      .slice();
    for (let length = 0; length <= most; length++) {
      const label = Uint8Array.from({ length }, (_, at) => 1 + ((at * 37 + length) % 255));
      bytes.fill(0, offset, offset + most).set(label, offset);
      const found = (await identify(readerOfBytes(bytes, captured[name]?.sizeBytes)))?.label;
      expect(Buffer.from(found ?? [])).toEqual(Buffer.from(label));
    }
  });
});
