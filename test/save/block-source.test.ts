// An ext file system read from its blocks gives the same archive, byte for byte, as its read-only mount: every entry, attribute, time, hole and digest is
// judged by the kernel.

import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ExtFilesystem } from "../../src/filesystem/ext/filesystem.ts";
import { accessOfFd } from "../../src/filesystem/random-access.ts";
import { Lab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { buildTree, everythingTree } from "../support/trees.ts";
import { type SavedTree, saveTree, told } from "./support/save-tree.ts";

requireOrSkip("root", "loop");

const KiB = 1024;
const MiB = 1024 * KiB;
/** What is compressed does not matter here. */
const compression = { level: 0 };
const isPossible = process.geteuid?.() === 0;

const lab = isPossible ? new Lab() : undefined;
/** A mounted ext4 that holds everything, to be copied into images of other geometries. */
let template = "";

beforeAll(async () => {
  if (lab === undefined) return;
  const image = lab.image("template", 128 * MiB);
  await must(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "ea_inode,^has_journal", image]);
  template = await lab.mount(image);
  await buildTree(template, everythingTree({ filesystem: "ext3", blockSize: 1024, deepLevels: 0 }));
  await addLayouts(template);
}, 120_000);

afterAll(async () => lab?.close());

/** What asks more of a reader of blocks than of a mount: fragments, long maps, hash trees, long links. */
async function addLayouts(root: string): Promise<void> {
  const large = join(root, "large-with-holes");
  writeFileSync(large, Buffer.alloc(3 * MiB + 77, "abcdefg"));
  await must(["fallocate", "-p", "-o", `${MiB}`, "-l", `${64 * KiB}`, large]);
  await must(["fallocate", "-o", `${4 * MiB}`, "-l", `${256 * KiB}`, "-n", large]);
  const fragments = openSync(join(root, "fragments"), "w");
  closeSync(fragments);
  await must(["dd", "if=/dev/urandom", `of=${join(root, "fragments")}`, "bs=4k", "count=200", "status=none"]);
  for (let i = 0; i < 200; i += 2) {
    await must(["fallocate", "-p", "-o", `${i * 4096}`, "-l", "4096", join(root, "fragments")]);
  }
  const many = join(root, "many");
  await must(["mkdir", many]);
  for (let i = 0; i < 500; i++) writeFileSync(join(many, `a name that is long enough for a tree ${i}`), `${i % 7}`);
  await must(["ln", "-s", "x".repeat(59), join(root, "link-59")]);
  await must(["ln", "-s", "x".repeat(60), join(root, "link-60")]);
  await must(["ln", "-s", "y/".repeat(500), join(root, "link-1000")]);
}

async function mountedAndBlock(image: string): Promise<{ mounted: SavedTree; block: SavedTree }> {
  const where = await (lab as Lab).mount(image, { options: "ro" });
  const mounted = await saveTree(where, { compression });
  await (lab as Lab).unmount(where);
  return { mounted, block: await saveBlock(image) };
}

async function saveBlock(image: string): Promise<SavedTree> {
  const fd = openSync(image, constants.O_RDONLY);
  try {
    return await saveTree(image, { compression, block: { fd, overlay: ExtFilesystem.open(accessOfFd(fd)).overlay } });
  } finally {
    closeSync(fd);
  }
}

function expectSame({ mounted, block }: { mounted: SavedTree; block: SavedTree }): void {
  expect(told(block.warnings)).toEqual(told(mounted.warnings));
  expect(block.summary).toEqual(mounted.summary);
  expect(block.archive.equals(mounted.archive), "the archives differ").toBe(true);
}

const geometries: readonly (readonly [name: string, ...options: string[]])[] = [
  ["ext4 as it is made by default", "-t", "ext4"],
  ["ext4 with content in inodes", "-t", "ext4", "-I", "512", "-O", "inline_data,ea_inode,large_dir"],
  ["ext4 with clusters", "-t", "ext4", "-O", "bigalloc", "-C", "16384"],
  [
    "ext4 with meta groups and their checksums only",
    "-t",
    "ext4",
    "-b",
    "1024",
    "-O",
    "meta_bg,^resize_inode,^flex_bg,^metadata_csum,uninit_bg",
  ],
  ["ext4 of 32 bits without extents", "-t", "ext4", "-O", "^64bit,^extent"],
  ["ext4 with a checksum seed and an orphan file", "-t", "ext4", "-O", "metadata_csum_seed,orphan_file,ea_inode"],
  ["ext3", "-t", "ext3", "-b", "1024"],
  ["ext2 with the smallest inodes", "-t", "ext2", "-I", "128", "-b", "1024"],
  ["ext2 without file types", "-t", "ext2", "-b", "2048", "-O", "^filetype,^dir_index"],
];

describe("a save from blocks", () => {
  it.each(geometries)("is that of the mount: %s", async (_name, ...options) => {
    const image = (lab as Lab).image("geometry", 160 * MiB);
    await must(["mke2fs", "-q", "-F", ...options, "-d", template, image]);
    expectSame(await mountedAndBlock(image));
  });

  it.each([
    ["with checksums", "^fast_commit"],
    ["without checksums", "^metadata_csum,^64bit"],
  ])("sees what a journal holds, %s, as a replay by the kernel brings it", async (_name, features) => {
    const image = (lab as Lab).image("journal", 64 * MiB);
    await must(["mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-J", "size=4", image]);
    const where = await (lab as Lab).mount(image, { options: "data=journal,commit=300" });
    const live = join(where, "live");
    await must(["mkdir", live]);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 60; i++)
        writeFileSync(join(live, `file ${i} of round ${round}`), `content ${i} ${round}`.repeat(200));
      // A block of data that begins like a block of the journal must be escaped there.
      writeFileSync(
        join(live, `magic ${round}`),
        Buffer.concat([Buffer.from("c03b3998", "hex"), Buffer.alloc(8000, round)]),
      );
      if (round > 0) await must(["find", live, "-name", `*of round ${round - 1}`, "-delete"]); // directory blocks are revoked
      await must(["mkdir", join(live, `directory ${round}`)]);
      if (round > 1) await must(["rmdir", join(live, `directory ${round - 2}`)]);
      const last = openSync(join(live, `magic ${round}`), "r+");
      fsyncSync(last);
      closeSync(last);
    }
    const dirty = (lab as Lab).path("dirty.img");
    copyFileSync(image, dirty);
    await (lab as Lab).unmount(where);
    const replayed = (lab as Lab).path("replayed.img");
    copyFileSync(dirty, replayed);
    const fd = openSync(dirty, constants.O_RDONLY);
    expect(ExtFilesystem.open(accessOfFd(fd)).overlay.size).toBeGreaterThan(20);
    closeSync(fd);
    const before = readFileSync(dirty);
    const block = await saveBlock(dirty);
    expect(readFileSync(dirty).equals(before), "the image was written to").toBe(true);
    await (lab as Lab).unmount(await (lab as Lab).mount(replayed));
    const { mounted, block: afterReplay } = await mountedAndBlock(replayed);
    expectSame({ mounted, block: afterReplay });
    expectSame({ mounted, block });
  });

  it("names what cannot be read, and saves the rest", async () => {
    const image = (lab as Lab).image("damaged", 16 * MiB);
    const tree = (lab as Lab).folder("small");
    for (const name of ["good", "bad"]) writeFileSync(join(tree, name), name.repeat(3000));
    await must(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image]);
    await must(["debugfs", "-w", "-R", "set_inode_field /bad size 5", image]); // debugfs writes a right checksum
    await must(["debugfs", "-w", "-R", "set_inode_field /good checksum 0x1234", image]);
    const { warnings, summary } = await saveBlock(image);
    expect(told(warnings)).toEqual(["good: ENTRY_UNREADABLE"]);
    expect(summary.entries).toBe(4);
  });

  it("refuses features it does not know, with the reason", () => {
    const image = (lab as Lab).image("unknown", 1 * MiB);
    truncateSync(image, 8 * MiB);
    return must(["mke2fs", "-q", "-F", "-t", "ext2", image])
      .then(() => must(["debugfs", "-w", "-R", "feature FEATURE_I20", image]))
      .then(() => {
        const fd = openSync(image, constants.O_RDONLY);
        expect(() => ExtFilesystem.open(accessOfFd(fd))).toThrow(/features that are not known here/);
        closeSync(fd);
      });
  });

  it("is that of the mount for a tree the kernel made", async () => {
    const where = template;
    await must(["truncate", "-s", "3T", join(where, "giant")]);
    await must(["fallocate", "-o", "2T", "-l", "8K", "-n", join(where, "giant")]);
    await must(["mount", "-o", "remount,ro", where]);
    const source = await must(["findmnt", "-no", "SOURCE", where]);
    const device = source.stdout.toString().trim();
    const mounted = await saveTree(where, { compression });
    expectSame({ mounted, block: await saveBlock(device) });
    expect(mounted.summary.entries).toBeGreaterThan(600);
  });
});
