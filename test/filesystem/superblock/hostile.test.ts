// Superblocks are read before anything is known of them: whatever the bytes are, the answer is an identity or none, soon.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeFilesystem } from "../../../src/filesystem/describe.ts";
import type { ByteReader } from "../../../src/filesystem/reader.ts";
import { identify, identifyAll } from "../../../src/filesystem/superblock/identify.ts";
import { mdMember } from "../support/md.ts";
import { readerOfBytes } from "../support/reader.ts";
import { draws } from "../../support/draws.ts";

const folder = new URL("../../../fixtures/superblocks/", import.meta.url);
const MiB = 1024 * 1024;
const load = (name: string, sizeBytes = MiB): Buffer =>
  gunzipSync(readFileSync(new URL(`${name}.img.gz`, folder))).subarray(0, sizeBytes);
const names = [
  "ext4-every-feature",
  "ext2-revision0",
  "xfs-v5",
  "xfs-v4",
  "vfat32",
  "vfat12",
  "exfat",
  "ntfs",
  "f2fs",
  "swap",
];
const more = ["luks1", "luks2", "lvm", "squash", "erofs", "iso", "gpt", "dos"];
const captured = new Map([...names, ...more].map((name) => [name, load(name)]));
captured.set("btrfs-crc32c", load("btrfs-crc32c", 24 * MiB));
captured.set("exfat", load("exfat", 3 * MiB));
captured.set("md", mdMember(MiB, 4096));

/** Where labels stand that are no part of a superblock: the attributes of $Volume, and the root directory. */
const labels: Readonly<Record<string, readonly [number, number]>> = {
  ntfs: [19_456, 19_930],
  exfat: [2_109_440, 2_109_500],
};

/** Counts what is read: a hostile field must not make a reader go on and on. */
function counted(bytes: Uint8Array, sizeBytes: number): { reader: ByteReader; reads: () => number } {
  let reads = 0;
  const inner = readerOfBytes(bytes, sizeBytes);
  const reader = {
    sizeBytes,
    read(offset: number, length: number) {
      reads += 1;
      return inner.read(offset, length);
    },
  };
  return { reader, reads: () => reads };
}

async function check(bytes: Uint8Array, sizeBytes: number): Promise<void> {
  const { reader, reads } = counted(bytes, sizeBytes);
  for (const identity of await identifyAll(reader)) {
    for (const value of [identity.sizeBytes, identity.usedBytes, identity.blockSize]) {
      expect(value === undefined || (Number.isSafeInteger(value) && value >= 0)).toBe(true);
    }
    expect(identity.label?.includes(0) ?? false).toBe(false);
  }
  const description = await describeFilesystem(reader);
  expect(() => JSON.stringify(description)).not.toThrow();
  expect(reads()).toBeLessThan(5000);
}

/** Field-sized edits: hostile values in 1, 2, 4 or 8 bytes, most of them where superblocks and labels lie. */
function editOf(name: string): fc.Arbitrary<{ readonly offset: number; readonly bytes: Uint8Array }> {
  const [min, max] = labels[name] ?? [65_536, 69_631];
  return fc.record({
    offset: fc.oneof(fc.nat(8192), fc.nat(2048), fc.integer({ min, max }), fc.nat(1024 * 1024)),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 1, 2, 4, 8).map((length) => new Uint8Array(length).fill(0xff)),
      fc.constantFrom(1, 2, 4, 8).map((length) => new Uint8Array(length)),
    ),
  });
}

describe("a hostile superblock", () => {
  test("of random bytes is read without a crash", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 8192 }), fc.nat(), (bytes, size) => check(bytes, size)),
      { numRuns: draws(200) },
    );
  });

  test.each([...captured.keys()])(
    "made of %s with changed fields is read without a crash or a long search",
    async (name) => {
      const original = captured.get(name) as Buffer;
      await fc.assert(
        fc.asyncProperty(fc.array(editOf(name), { minLength: 1, maxLength: 6 }), async (edits) => {
          // Only the touched places are copied back, so that large images stay cheap.
          const saved = edits.map(({ offset, bytes }) => ({
            offset,
            bytes: Buffer.from(original.subarray(offset, offset + bytes.length)),
          }));
          try {
            for (const { offset, bytes } of edits)
              if (offset < original.length) original.set(bytes.subarray(0, original.length - offset), offset);
            await check(original, original.length);
          } finally {
            for (const { offset, bytes } of saved.toReversed())
              if (offset < original.length) original.set(bytes, offset);
          }
        }),
        { numRuns: draws(1000) },
      );
    },
  );

  test.each([...captured.keys()])("cut from %s at any length is read without a crash", async (name) => {
    const original = captured.get(name) as Buffer;
    for (const length of [0, 1, 511, 512, 1023, 1024, 1030, 1535, 2047, 4095, 4096, 65_600, 69_000]) {
      await check(original.subarray(0, length), length);
      await check(original.subarray(0, length), 10 * MiB);
    }
  });

  test("with a chunk tree that points at itself ends", async () => {
    const bytes = Buffer.from(captured.get("btrfs-crc32c") as Buffer);
    bytes.writeUInt8(7, 65_536 + 199); // chunk_root_level: the root now claims to be an inner node
    await check(bytes, bytes.length);
  });

  test("whose extended labels are not UTF-8 is described with exact bytes", async () => {
    const bytes = Buffer.from(captured.get("ext2-revision0") as Buffer);
    bytes.set([0xff, 0xfe, 0x41], 1024 + 0x78);
    const description = await describeFilesystem(readerOfBytes(bytes, bytes.length * 2));
    expect(description?.label).toBe(null);
    expect(Buffer.from(description?.labelBase64 ?? "", "base64")).toEqual(Buffer.from([0xff, 0xfe, 0x41]));
  });

  test.each(Object.entries(labels))(
    "has no zeros in the label of %s, whatever is in its place",
    async (name, [min, max]) => {
      const original = captured.get(name) as Buffer;
      expect((await identify(readerOfBytes(original)))?.label).toBeDefined();
      for (let offset = min; offset < max; offset++) {
        const bytes = Buffer.from(original);
        bytes.fill(0, offset, offset + 2);
        await check(bytes, bytes.length);
        bytes.fill(255, offset, offset + 2);
        await check(bytes, bytes.length);
      }
    },
  );

  test("with every default mount option is described, and each is named", async () => {
    const bytes = Buffer.from(captured.get("ext4-every-feature") as Buffer);
    bytes.fill(255, 1024 + 0x100, 1024 + 0x104);
    const description = await describeFilesystem(readerOfBytes(bytes, 64 * MiB));
    expect(description).toMatchObject({ parameters: { mountOptions: expect.arrayContaining(["mount_option_31"]) } });
    const parameters = description?.parameters as { readonly mountOptions: readonly string[] } | undefined;
    expect(parameters?.mountOptions).toHaveLength(31); // the journal mode has two bits
  });

  /** [superblock, what, offset, bytes]: ext is little-endian, xfs big-endian. */
  const lies: readonly (readonly [string, string, number, readonly number[]])[] = [
    ["ext2-revision0", "a block size of 2^(10+2^32-1)", 1024 + 0x18, [255, 255, 255, 255]],
    ["ext2-revision0", "no block", 1024 + 0x04, [0, 0, 0, 0]],
    ["ext2-revision0", "no block in a group", 1024 + 0x20, [0, 0, 0, 0]],
    ["ext2-revision0", "no inode in a group", 1024 + 0x28, [0, 0, 0, 0]],
    ["ext4-every-feature", "an inode size of 0", 1024 + 0x58, [0, 0]],
    ["ext4-every-feature", "a cluster of 2^(10+2^32-1) bytes", 1024 + 0x1c, [255, 255, 255, 255]],
    ["ext4-every-feature", "2^64 - 1 blocks", 1024 + 0x150, [255, 255, 255, 255]],
    ["xfs-v5", "a block size of 0", 4, [0, 0, 0, 0]],
    ["xfs-v5", "a sector size of 0", 102, [0, 0]],
    ["xfs-v5", "an inode size of 0", 104, [0, 0]],
    ["xfs-v5", "no allocation group", 88, [0, 0, 0, 0]],
    ["xfs-v5", "2^64 - 1 blocks", 8, [255, 255, 255, 255, 255, 255, 255, 255]],
    ["btrfs-crc32c", "a sector size of 0", 65_536 + 144, [0, 0, 0, 0]],
    ["btrfs-crc32c", "a node size of 0", 65_536 + 148, [0, 0, 0, 0]],
    ["btrfs-crc32c", "nodes of 4 GiB", 65_536 + 148, [0, 0, 0, 255]],
    ["btrfs-crc32c", "2^64 - 1 bytes", 65_536 + 112, [255, 255, 255, 255, 255, 255, 255, 255]],
    ["btrfs-crc32c", "an unknown checksum", 65_536 + 196, [255, 255]],
  ];
  test.each(lies)("of %s with %s is none", async (name, _what, offset, lie) => {
    const bytes = Buffer.from(captured.get(name) as Buffer);
    bytes.set(lie, offset);
    await check(bytes, bytes.length);
    expect(await describeFilesystem(readerOfBytes(bytes))).toBe(undefined);
  });

  test("of an md member of 2^64 sectors has no size", async () => {
    const bytes = mdMember(MiB, 4096);
    bytes.fill(255, 4096 + 80, 4096 + 88);
    await check(bytes, bytes.length);
    bytes.writeBigUInt64LE(2n ** 52n, 4096 + 80);
    await check(bytes, bytes.length);
    expect(await identify(readerOfBytes(bytes))).not.toHaveProperty("sizeBytes");
  });

  test("of btrfs with an array of chunks of 4 GiB or 2^64 devices is read within its bounds", async () => {
    for (const offset of [160, 136]) {
      const bytes = Buffer.from(captured.get("btrfs-crc32c") as Buffer);
      bytes.fill(255, 65_536 + offset, 65_536 + offset + (offset === 160 ? 4 : 8));
      await check(bytes, bytes.length);
    }
  });
});
