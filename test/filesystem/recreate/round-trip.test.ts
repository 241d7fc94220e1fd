// A file system is made with its own mkfs, described, planned, made again on a second image, and described once more: both
// descriptions and the families' checkers must agree.

import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { FilesystemDescription } from "../../../src/model/archive.ts";
import { describeFilesystem, labelBytes } from "../../../src/filesystem/describe.ts";
import { mountTarget } from "../../../src/filesystem/mount-target.ts";
import { openSource } from "../../../src/filesystem/open-source.ts";
import { makeFilesystem } from "../../../src/filesystem/recreate/make.ts";
import { planFilesystem } from "../../../src/filesystem/recreate/plan.ts";
import { openTarget } from "../../../src/filesystem/target.ts";
import type { FilesystemOverrides, FilesystemPlan } from "../../../src/filesystem/types.ts";
import { readerOfFd } from "../../../src/filesystem/reader.ts";
import { type Lab, withLab } from "../../support/images.ts";
import { requireOrSkip } from "../../support/require.ts";
import { must, run } from "../../support/run.ts";
import { readerOfBytes } from "../support/reader.ts";

requireOrSkip("loop");

const MiB = 1024 * 1024;

async function describeImage(path: string): Promise<FilesystemDescription> {
  const fd = openSync(path, "r");
  try {
    return (await describeFilesystem(readerOfFd(fd))) as FilesystemDescription;
  } finally {
    closeSync(fd);
  }
}

/** Makes what the description says on a new image; returns the image and the plan. */
async function remake(
  lab: Lab,
  description: FilesystemDescription,
  sizeBytes: number,
  overrides: FilesystemOverrides = {},
): Promise<{ image: string; plan: FilesystemPlan }> {
  const image = lab.image("made", sizeBytes);
  const target = await openTarget(image, { overwrite: false });
  try {
    const plan = await planFilesystem(description, target, overrides);
    await makeFilesystem(plan, target);
    return { image, plan };
  } finally {
    await target.close();
    expect(lab.leftovers()).toEqual([]);
  }
}

async function checked(type: string, image: string): Promise<void> {
  const argv =
    type === "xfs"
      ? ["xfs_repair", "-n", "-f", image]
      : type === "btrfs"
        ? ["btrfs", "check", "--readonly", image]
        : ["e2fsck", "-f", "-n", image];
  const { status, stderr, stdout } = await run(argv);
  expect(status, `${argv.join(" ")}: ${stdout.toString()}${stderr}`).toBe(0);
}

/** What may differ: free space in bytes, and what the first mount sets. */
function lasting(description: FilesystemDescription): unknown {
  const { usedBytes: _used, parameters, ...rest } = description;
  const { inodesUsed: _inodes, ...kept } = parameters;
  return { ...rest, parameters: kept };
}

const geometries: [FilesystemDescription["type"], number, string, string?][] = [
  ["ext2", 8, "-b 1024 -I 128 -m 7"],
  ["ext2", 64, "-b 4096 -O ^resize_inode,^dir_index -N 1234"],
  ["ext3", 32, "-b 1024 -J size=2 -e panic"],
  ["ext3", 64, "-b 2048 -I 512 -E stride=8,stripe_width=24"],
  ["ext4", 64, "-b 1024 -I 256 -i 4096"],
  ["ext4", 64, "-b 2048 -I 1024 -J size=4 -G 32"],
  ["ext4", 64, "-b 4096 -I 4096 -N 500"],
  ["ext4", 64, "-b 4096 -O ^has_journal,^metadata_csum,uninit_bg -e remount-ro"],
  ["ext4", 128, "-b 4096 -O ^64bit,^flex_bg,^resize_inode,meta_bg"],
  ["ext4", 64, "-b 4096 -O ^extent,^huge_file,^extra_isize,^dir_nlink,^metadata_csum,^64bit,^flex_bg"],
  ["ext4", 64, "-b 1024 -O bigalloc -C 8192"],
  ["ext4", 64, "-O ea_inode,inline_data,large_dir,metadata_csum_seed,stable_inodes,encrypt,verity"],
  ["ext4", 64, "-O casefold -E encoding=utf8-12.1,encoding_flags=strict"],
  ["ext4", 64, "-O casefold"],
  ["ext4", 64, "-O mmp -E mmp_update_interval=5"],
  ["ext2", 64, "-O sparse_super2,^resize_inode,stable_inodes,fast_commit"],
  ["ext3", 64, "-O fast_commit,orphan_file,stable_inodes"],
  ["ext4", 64, "-O fast_commit,orphan_file -J size=8,fast_commit_size=512"],
  ["ext4", 64, "-O quota,project -E quotatype=usrquota:prjquota"],
  ["ext4", 256, "-b 4096 -O sparse_super2,^resize_inode -E num_backup_sb=1 -g 16384"],
  ["ext4", 300, "-J size=16 -m 0.5 -U 0f1e2d3c-4b5a-4968-8776-655443322110"],
  ["ext4", 32, "", "-c 17 -i 90000s -r 321 -u 1000 -g 1001 -o ^acl,journal_data,discard,nobarrier -E hash_alg=tea"],
  ["xfs", 400, ""],
  ["xfs", 320, "-b size=1024 -i size=512,maxpct=3 -n size=8192"],
  ["xfs", 400, "-s size=4096 -i size=2048 -l size=72m -d agcount=2"],
  ["xfs", 400, "-m finobt=0,inobtcount=0,reflink=0,bigtime=0,rmapbt=0 -i sparse=0"],
  ["xfs", 400, "-m rmapbt=1 -i nrext64=1 -n version=ci"],
  ["xfs", 400, "-d su=32768,sw=3,agcount=3 -l su=32768"],
  ["btrfs", 256, ""],
  ["btrfs", 256, "-n 4096 --csum xxhash -d dup -m single"],
  ["btrfs", 256, "-n 65536 --csum sha256 -O ^no-holes"],
  ["btrfs", 256, "--csum blake2 -O ^extref,^skinny-metadata -R ^free-space-tree"],
  ["btrfs", 64, "-M -n 4096"],
];

describe("a file system made again on a target of the same size", () => {
  test.each(geometries)("has everything it had: %s, %i MiB, %s %s", (type, sizeMiB, words, tune) =>
    withLab(async (lab) => {
      const options = words.split(" ").filter((word) => word !== "");
      const original = await lab.filesystem({
        name: type,
        type: type as "ext4",
        sizeBytes: sizeMiB * MiB,
        mkfs: ["-L", "größe '$", ...options],
      });
      if (tune !== undefined) await must(["tune2fs", ...tune.split(" "), original]);
      const description = await describeImage(original);
      const { image, plan } = await remake(lab, description, sizeMiB * MiB);
      expect(plan.warnings).toEqual(words.includes("quota") ? [expect.stringContaining("limits of quotas")] : []);
      expect(lasting(await describeImage(image))).toEqual(lasting(description));
      await checked(type, image);
    }),
  );

  test("has its extended mount options, commas and all", () =>
    withLab(async (lab) => {
      const original = await lab.filesystem({ name: "ext4", type: "ext4", sizeBytes: 16 * MiB, mkfs: [] });
      await must(["debugfs", "-w", "-R", 'set_super_value mount_opts "nodelalloc,commit=30"', original]);
      const { image } = await remake(lab, await describeImage(original), 16 * MiB);
      const { stdout } = await must(["dumpe2fs", "-h", image]);
      expect(stdout.toString()).toMatch(/^Mount options: +nodelalloc,commit=30$/m);
    }));
});

describe("labels", () => {
  const families = [
    ["ext4", 16, 16 * MiB],
    ["xfs", 12, 300 * MiB],
    ["btrfs", 254, 128 * MiB],
  ] as const;
  const labels = ["'\"$(id)`", "two\nlines", "-n", "--help", " lead trail ", "a,b=c", "$(touch x)", "\u001b[31m"].map(
    (label) => Buffer.from(label),
  );

  test.each(families)("of %s of every kind come back byte for byte", (type, most, sizeBytes) =>
    withLab(async (lab) => {
      const first = await lab.filesystem({ name: type, type, sizeBytes, mkfs: [] });
      const description = await describeImage(first);
      const all = [
        ...labels,
        Buffer.alloc(most, "l"),
        Buffer.from([0x6c, 0xe9, 0xff, 0x22]),
        Buffer.from([0xff, 0x0a, 0x27]),
      ];
      const image = lab.image("labels", sizeBytes);
      for (const label of all) {
        const text = label.toString("utf8");
        const isText = Buffer.from(text).equals(label);
        const target = await openTarget(image, { overwrite: true });
        try {
          const plan = await planFilesystem(
            { ...description, label: isText ? text : null, ...(!isText && { labelBase64: label.toString("base64") }) },
            target,
            { uuid: "new" },
          );
          await makeFilesystem(plan, target); // compares the label it reads back
          expect(Buffer.from(labelBytes(await describeImage(image)))).toEqual(label);
        } finally {
          await target.close();
        }
      }
    }),
  );
});

describe("a target of another size", () => {
  test("gets inodes, reserved blocks and journal in proportion", () =>
    withLab(async (lab) => {
      const mkfs = ["-b", "4096", "-N", "16384", "-m", "5", "-J", "size=32"];
      const description = await describeImage(
        await lab.filesystem({ name: "e", type: "ext4", sizeBytes: 256 * MiB, mkfs }),
      );
      const larger = await describeImage((await remake(lab, description, 512 * MiB)).image);
      expect(larger.parameters).toMatchObject({ inodeCount: 32_768, journalBlocks: 8192 });
      expect(larger.parameters["reservedBlocks"]).toBe((description.parameters["reservedBlocks"] as number) * 2);
      const { image, plan } = await remake(lab, description, 64 * MiB);
      const smaller = await describeImage(image);
      expect(smaller.parameters).toMatchObject({ inodeCount: 4096, journalBlocks: 1024 });
      expect(plan.warnings.join()).toContain("journal");
      await checked("ext4", image);
    }));

  test("gets no journal when it is too small for one, and says so", () =>
    withLab(async (lab) => {
      const description = await describeImage(
        await lab.filesystem({ name: "e", type: "ext4", sizeBytes: 64 * MiB, mkfs: ["-b", "4096"] }),
      );
      const { image, plan } = await remake(lab, description, 4 * MiB);
      expect(plan.warnings.join()).toContain("too small for a journal");
      await checked("ext4", image);
    }));

  test("keeps xfs and btrfs in shape, larger and smaller", () =>
    withLab(async (lab) => {
      const xfs = await describeImage(
        await lab.filesystem({
          name: "x",
          type: "xfs",
          sizeBytes: 512 * MiB,
          mkfs: ["-i", "size=1024", "-d", "su=65536,sw=2,agcount=4"],
        }),
      );
      for (const sizeBytes of [300 * MiB, 1024 * MiB]) {
        const { image, plan } = await remake(lab, xfs, sizeBytes);
        expect(plan.warnings).toEqual([]);
        expect((await describeImage(image)).parameters).toMatchObject({
          inodeSizeBytes: 1024,
          stripeUnitBlocks: 16,
          stripeWidthBlocks: 32,
          agCount: 4,
          logBlocks: xfs.parameters["logBlocks"],
        });
        await checked("xfs", image);
      }
      const btrfs = await describeImage(
        await lab.filesystem({ name: "b", type: "btrfs", sizeBytes: 256 * MiB, mkfs: ["-n", "8192"] }),
      );
      for (const sizeBytes of [120 * MiB, 512 * MiB]) {
        const { image } = await remake(lab, btrfs, sizeBytes);
        expect((await describeImage(image)).parameters).toMatchObject({ nodeSizeBytes: 8192, totalBytes: sizeBytes });
      }
    }));

  test("that no file system of the type fits is refused before anything runs", () =>
    withLab(async (lab) => {
      const description = await describeImage(
        await lab.filesystem({ name: "e", type: "ext4", sizeBytes: 64 * MiB, mkfs: [] }),
      );
      for (const type of ["xfs", "btrfs"]) {
        await expect(remake(lab, description, 100 * MiB, { type })).rejects.toMatchObject({ code: "TARGET_TOO_SMALL" });
      }
    }));
});

describe("a conversion", () => {
  const uuid = "0f1e2d3c-4b5a-4968-8776-655443322110";
  const sources = [
    ["ext2", ["-U", uuid]],
    ["ext3", ["-U", uuid]],
    ["ext4", ["-U", uuid, "-O", "ea_inode,inline_data"]],
    ["xfs", ["-m", `uuid=${uuid}`]],
    ["btrfs", ["-U", uuid]],
  ] as const;

  test.each(sources)("of %s to every type keeps label and UUID, and can be mounted", (from, options) =>
    withLab(async (lab) => {
      const mkfs = ["-L", "twelve bytes", ...options];
      const description = await describeImage(
        await lab.filesystem({ name: from, type: from, sizeBytes: 320 * MiB, mkfs }),
      );
      for (const type of ["ext2", "ext3", "ext4", "xfs", "btrfs"] as const) {
        const image = lab.image(type, 320 * MiB);
        const target = await openTarget(image, { overwrite: false });
        try {
          const plan = await planFilesystem(description, target, { type });
          await makeFilesystem(plan, target);
          const mounted = await mountTarget(target, type);
          writeFileSync(`/proc/self/fd/${mounted.rootFd}/file`, "content");
          await mounted.unmount();
        } finally {
          await target.close();
        }
        expect(await describeImage(image)).toMatchObject({ type, label: "twelve bytes", uuid });
        await checked(type, image);
      }
    }),
  );

  test("of xfs version 4 makes version 5", () =>
    withLab(async (lab) => {
      const description = await describeImage(
        await lab.filesystem({ name: "x", type: "xfs", sizeBytes: 320 * MiB, mkfs: ["-m", "crc=0", "-n", "ftype=0"] }),
      );
      const { image, plan } = await remake(lab, description, 320 * MiB);
      expect(plan.warnings.join()).toContain("version 5");
      expect((await describeImage(image)).parameters).toMatchObject({ version: 5 });
    }));

  test("cuts a label that is too long between characters, and says so", () =>
    withLab(async (lab) => {
      const mkfs = ["-L", "ä".repeat(100)];
      const description = await describeImage(
        await lab.filesystem({ name: "b", type: "btrfs", sizeBytes: 128 * MiB, mkfs }),
      );
      const { image, plan } = await remake(lab, description, 16 * MiB, { type: "ext4" });
      expect(plan.warnings.join()).toContain("cut from 200 to 16 bytes");
      expect((await describeImage(image)).label).toBe("ä".repeat(8));
    }));
});

describe("wishes", () => {
  test("of the user win over what the archive says, for every tool", () =>
    withLab(async (lab) => {
      const wish = "11111111-2222-4333-8444-555555555555";
      const cases = [
        [
          "ext4",
          32 * MiB,
          ["-O", "^has_journal", "-E", "stride=4", "-i", "65536", "-m", "1"],
          { features: expect.not.arrayContaining(["has_journal"]), stride: 4, inodeCount: 512, reservedBlocks: 327 },
        ],
        [
          "xfs",
          320 * MiB,
          ["-m", "reflink=0", "-d", "agcount=2"],
          { agCount: 2, features: expect.not.arrayContaining(["reflink"]) },
        ],
        ["btrfs", 256 * MiB, ["-m", "single"], { metadataProfile: "single" }],
      ] as const;
      for (const [type, sizeBytes, mkfsOptions, expected] of cases) {
        const description = await describeImage(
          await lab.filesystem({ name: type, type, sizeBytes, mkfs: ["-L", "old"] }),
        );
        const { image } = await remake(lab, description, sizeBytes, { label: "new", uuid: wish, mkfsOptions });
        expect(await describeImage(image)).toMatchObject({ label: "new", uuid: wish, parameters: expected });
      }
      const description = await describeImage(
        await lab.filesystem({ name: "e", type: "ext4", sizeBytes: 16 * MiB, mkfs: [] }),
      );
      const fresh = await describeImage((await remake(lab, description, 16 * MiB, { uuid: "new" })).image);
      expect(fresh.uuid).not.toBe(description.uuid);
      const source = await openSource((await remake(lab, description, 16 * MiB)).image, { allowRw: false });
      await source.close();
      expect(source.description.uuid).toBe(description.uuid);
    }));
});

test("what mkfs says is part of the failure, and the target is claimed again", () =>
  withLab(async (lab) => {
    const description = await describeImage(
      await lab.filesystem({ name: "e", type: "ext4", sizeBytes: 16 * MiB, mkfs: [] }),
    );
    const image = lab.image("failing", 16 * MiB);
    const target = await openTarget(image, { overwrite: false });
    const plan = await planFilesystem(description, target, { mkfsOptions: ["-O", "no_such_feature"] });
    await expect(makeFilesystem(plan, target)).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("Invalid filesystem option set"),
    });
    await expect(openTarget(image, { overwrite: true })).rejects.toMatchObject({ code: "TARGET_REFUSED" });
    await target.close();
    expect(
      readerOfBytes(readFileSync(image))
        .read(1024, 64)
        .every((byte) => byte === 0),
    ).toBe(true);
  }));
