// Freshly made file systems of many geometries and with every kind of label, read by us and judged by the families' own tools.
// mkfs works on image files: the tools are needed, root is not, but machines without loop devices may lack the tools.

import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readerOfFd } from "../../../src/filesystem/reader.ts";
import { readBtrfs } from "../../../src/filesystem/superblock/btrfs.ts";
import { readExt } from "../../../src/filesystem/superblock/ext.ts";
import { identify } from "../../../src/filesystem/superblock/identify.ts";
import { readXfs } from "../../../src/filesystem/superblock/xfs.ts";
import { requireOrSkip } from "../../support/require.ts";
import { must } from "../../support/run.ts";
import { judgeBtrfs, judgeExt, judgeXfs } from "../support/judges.ts";

requireOrSkip("loop");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync("/dev/shm/tsfsa-superblock-");
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Makes a file system in a sparse file and hands an open descriptor to the body. */
async function made(argv: readonly string[], sizeMiB: number, body: (fd: number, path: string) => Promise<void>) {
  const path = join(folder, "image");
  rmSync(path, { force: true });
  writeFileSync(path, "");
  truncateSync(path, sizeMiB * 1024 * 1024);
  await must([...argv, path]);
  const fd = openSync(path, "r");
  try {
    await body(fd, path);
  } finally {
    closeSync(fd);
  }
}

async function blkid(path: string): Promise<Map<string, string>> {
  const { stdout } = await must(["blkid", "-p", "-o", "udev", path]);
  return new Map(
    stdout
      .toString()
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
}

describe("ext superblocks", () => {
  test.each([
    ["ext2 -b 1024 -I 128", 8],
    ["ext3 -b 1024 -J size=2", 16],
    ["ext3 -b 2048 -I 512", 32],
    ["ext4 -b 1024 -I 256", 32],
    ["ext4 -b 2048 -I 1024 -i 8192", 32],
    ["ext4 -b 4096 -I 4096 -N 500", 64],
    ["ext4 -b 4096 -O ^has_journal,^metadata_csum,uninit_bg", 64],
    ["ext4 -b 4096 -O ^64bit,^flex_bg,^resize_inode,meta_bg", 64],
    ["ext4 -b 1024 -O bigalloc -C 8192", 64],
    ["ext4 -O quota,project,ea_inode,inline_data,large_dir -E quotatype=usrquota:grpquota:prjquota", 64],
    ["ext4 -O casefold -E encoding_flags=strict,stride=16,stripe_width=64", 64],
    ["ext4 -O mmp,fast_commit,orphan_file,metadata_csum_seed -E mmp_update_interval=9", 64],
    ["ext4 -O sparse_super2,^resize_inode -E num_backup_sb=2 -G 4 -g 8192 -e remount-ro -m 11", 256],
    ["ext4 -J size=16 -e panic -m 0.5", 300],
  ] as [string, number][])("mkfs.%s reads as dumpe2fs shows it", async (words, sizeMiB) => {
    const [type = "", ...options] = words.split(" ");
    await made(["mke2fs", "-q", "-F", "-t", type, ...options], sizeMiB, async (fd, path) => {
      const sb = readExt(readerOfFd(fd));
      expect(sb?.type).toBe((await blkid(path)).get("ID_FS_TYPE"));
      const { stdout } = await must(["dumpe2fs", "-h", path]);
      const { ours, theirs } = judgeExt(stdout.toString(), sb as NonNullable<typeof sb>);
      expect(ours).toEqual(theirs);
    });
  });

  test("what tune2fs sets afterwards is read", async () => {
    await made(["mke2fs", "-q", "-F", "-t", "ext4"], 32, async (fd, path) => {
      const options = "-c 17 -i 90000s -r 321 -u 1000 -g 1001 -e panic -o ^acl,journal_data,discard";
      await must(["tune2fs", ...options.split(" "), "-E", "hash_alg=tea,mount_opts=nodelalloc", path]);
      const sb = readExt(readerOfFd(fd));
      const { ours, theirs } = judgeExt(
        (await must(["dumpe2fs", "-h", path])).stdout.toString(),
        sb as NonNullable<typeof sb>,
      );
      expect(ours).toEqual(theirs);
      expect(sb?.parameters.extendedMountOptions).toBe("nodelalloc");
    });
  });
});

describe("xfs superblocks", () => {
  test.each([
    "-b size=1024 -s size=512",
    "-b size=2048 -i size=512,maxpct=3 -n size=8192",
    "-b size=4096 -s size=4096 -i size=2048",
    "-m crc=0 -n ftype=1",
    "-m crc=0 -n ftype=0 -i size=256",
    "-m finobt=0,inobtcount=0,reflink=0,bigtime=0,rmapbt=0 -i sparse=0",
    "-m rmapbt=1 -i nrext64=1 -n version=ci",
    "-d su=32768,sw=3,agcount=3 -l su=32768",
    "-l size=80m -d agcount=2",
  ])("mkfs.xfs %s reads as xfs_db shows it", async (words) => {
    await made(["mkfs.xfs", "-q", "-f", ...words.split(" ")], 400, async (fd, path) => {
      const sb = readXfs(readerOfFd(fd));
      const { stdout } = await must(["xfs_db", "-r", "-c", "sb 0", "-c", "p", path]);
      const { ours, theirs } = judgeXfs(stdout.toString(), sb as NonNullable<typeof sb>);
      expect(ours).toEqual(theirs);
    });
  });
});

describe("btrfs superblocks", () => {
  test.each([
    "-n 4096 --csum crc32c",
    "-n 16384 --csum xxhash -d dup -m single",
    "-n 32768 --csum sha256 -d single -m dup",
    "-n 65536 --csum blake2",
    "-O ^extref,^skinny-metadata,^no-holes -R ^free-space-tree",
    "-M -n 4096",
  ])("mkfs.btrfs %s reads as dump-super shows it", async (words) => {
    await made(["mkfs.btrfs", "-q", "-f", ...words.split(" ")], 256, async (fd, path) => {
      const sb = await readBtrfs(readerOfFd(fd));
      const dump = (await must(["btrfs", "inspect-internal", "dump-super", "-f", path])).stdout.toString();
      const tree = (await must(["btrfs", "inspect-internal", "dump-tree", "-t", "chunk", path])).stdout.toString();
      const chunks = [...tree.matchAll(/type ((?:DATA|METADATA|SYSTEM)\S*)/g)].map((match) => `chunk type ${match[1]}`);
      const { ours, theirs } = judgeBtrfs(`${dump}\n${chunks.join("\n")}\n`, sb as NonNullable<typeof sb>);
      expect(ours).toEqual(theirs);
    });
  });
});

describe("labels and UUIDs", () => {
  const labels = [
    "x",
    "'\"$(id)`",
    "two\nlines",
    "-n",
    "--help",
    "größe",
    " lead trail ",
    "a,b=c",
    "twelve bytes",
    "é".repeat(6),
  ];
  const families: [string, number, number, (label: string) => string[]][] = [
    ["ext4", 16, 8, (label) => ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label]],
    ["xfs", 12, 300, (label) => ["mkfs.xfs", "-q", "-f", "-L", label]],
    ["btrfs", 254, 256, (label) => ["mkfs.btrfs", "-q", "-f", "-L", label]],
  ];
  test.each(families)(
    "%s gives back every label byte for byte, and the UUID as blkid does",
    async (type, most, size, mkfs) => {
      const fitting = [...labels, "l".repeat(most), "l".repeat(most - 1)];
      for (const label of fitting) {
        await made(mkfs(label), size, async (fd, path) => {
          const identity = await identify(fd);
          expect(identity?.type).toBe(type);
          expect(Buffer.from(identity?.label ?? []).toString()).toBe(label);
          expect(identity?.uuid).toBe((await blkid(path)).get("ID_FS_UUID"));
          expect(identity?.checksumValid).toBe(true);
        });
      }
    },
  );
});
