// Plans without tools: what an archive says is checked, value by value, before it becomes a word of a command line.

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { TsfsaError } from "../../../src/base/errors.ts";
import { filesystemTypes } from "../../../src/model/filesystem-type.ts";
import { describeFilesystem } from "../../../src/filesystem/describe.ts";
import { commandText, makeFilesystem } from "../../../src/filesystem/recreate/make.ts";
import { planWith } from "../../../src/filesystem/recreate/plan.ts";
import { runTool, toolSupport } from "../../../src/filesystem/recreate/tools.ts";
import type { FilesystemOverrides, OpenTarget, ToolCommand } from "../../../src/filesystem/types.ts";
import type { FilesystemDescription } from "../../../src/model/archive.ts";
import { readerOfBytes } from "../support/reader.ts";
import { draws } from "../../support/draws.ts";

const GiB = 1024 ** 3;
const target = { sizeBytes: GiB, sectorSize: 512 };
const everything = { knows: () => true };
const nothingNew = { knows: () => false };

const folder = new URL("../../../fixtures/superblocks/", import.meta.url);
const sizes = JSON.parse(readFileSync(new URL("blkid.json", folder), "utf8")) as Record<string, { sizeBytes: number }>;
const names = ["ext4-every-feature", "ext2-revision0", "ext3-2k", "xfs-v5", "xfs-v4", "btrfs-mixed", "btrfs-crc32c"];
const described = new Map<string, FilesystemDescription>();
beforeAll(async () => {
  for (const name of names) {
    const bytes = gunzipSync(readFileSync(new URL(`${name}.img.gz`, folder)));
    const description = await describeFilesystem(readerOfBytes(bytes, sizes[name]?.sizeBytes));
    // As an archive gives it back.
    described.set(name, JSON.parse(JSON.stringify(description)) as FilesystemDescription);
  }
}, 60_000);
const get = (name: string): FilesystemDescription => described.get(name) as FilesystemDescription;
const words = (description: FilesystemDescription, overrides: FilesystemOverrides = {}, support = everything): string =>
  planWith(description, target, overrides, support)
    .commands.map((command) => commandText(command, "DEVICE"))
    .join("\n");

describe("a plan", () => {
  test("names every feature of an ext4 and asks tune2fs for the rest", () => {
    const text = words(get("ext4-every-feature"));
    for (const feature of get("ext4-every-feature").parameters["features"] as string[]) expect(text).toContain(feature);
    expect(text).toMatch(/-C 16384 .*-J size=8,fast_commit_size=256/);
    expect(text).toContain("quotatype=usrquota:prjquota");
    expect(text).toMatch(/^tune2fs .*-u 12345 -g 23456 -c 30 -i 86400s .*hash_alg=tea DEVICE$/m);
  });

  test("leaves out what the installed tool does not know, with a warning each", () => {
    const plan = planWith(get("ext4-every-feature"), target, {}, nothingNew);
    expect(plan.warnings.filter((warning) => warning.includes("too old"))).toHaveLength(
      (get("ext4-every-feature").parameters["features"] as string[]).length,
    );
    const xfs = planWith(get("xfs-v5"), target, {}, nothingNew);
    expect(xfs.warnings.join()).toContain("nrext64");
  });

  test("warns of features of a newer kernel, and does not refuse them", () => {
    for (const name of names) {
      const description = get(name);
      const features = [...(description.parameters["features"] as string[]), "FEATURE_I29"];
      const plan = planWith(
        { ...description, parameters: { ...description.parameters, features } },
        target,
        {},
        everything,
      );
      expect(plan.warnings.join()).toContain("FEATURE_I29");
    }
  });

  test("says that revision 0 becomes 1", () => {
    expect(planWith(get("ext2-revision0"), target, {}, everything).warnings).toEqual([
      expect.stringContaining("revision"),
    ]);
  });

  test("turns off what the tool would turn on by default", () => {
    const text = words(get("xfs-v5"));
    expect(text).toContain("exchange=0");
    expect(text).toContain("parent=0");
  });

  test("keeps the number of xfs allocation groups and the log on a target of another size, or says why not", () => {
    const description = get("xfs-v5");
    const plan = (agCount: number, logBlocks: number, sizeBytes: number) =>
      planWith(
        { ...description, parameters: { ...description.parameters, agCount, logBlocks } },
        { sizeBytes, sectorSize: 512 },
        {},
        everything,
      );
    const log = (100 * 1024 ** 2) / description.blockSize;
    const kept = plan(7, log, GiB);
    expect(kept.commands[0]?.arguments).toContain("su=65536,sw=2,agcount=7");
    expect(kept.commands[0]?.arguments).toContain("size=104857600,su=32768");
    expect(kept.warnings).toEqual([]);
    expect(plan(100, log, GiB).warnings).toEqual([
      "the number of allocation groups, 100, is not kept: on this target they would be too small for a log of today",
    ]);
    expect(plan(4, log, 5 * 1024 * GiB).warnings.join()).toContain("would be too large");
    expect(plan(8, 2 * log, GiB).warnings).toEqual([
      "the log's size of 200 MiB is not kept: mkfs.xfs chooses one that fits",
    ]);
  });

  test("asks for what mkfs.btrfs needs for its copies", () => {
    const description = get("btrfs-crc32c");
    const at = (dataProfile: string, metadataProfile: string, sizeMiB: number) => () =>
      planWith(
        { ...description, usedBytes: 0, parameters: { ...description.parameters, dataProfile, metadataProfile } },
        { sizeBytes: sizeMiB * 1024 ** 2, sectorSize: 512 },
        {},
        everything,
      );
    for (const [data, metadata, least] of [
      ["single", "single", 45],
      ["single", "dup", 109],
      ["dup", "single", 165],
      ["dup", "dup", 229],
    ] as const) {
      expect(at(data, metadata, least)).not.toThrow();
      expect(at(data, metadata, least - 1)).toThrow(expect.objectContaining({ code: "TARGET_TOO_SMALL" }));
    }
  });

  test("says that limits of quotas are not kept", () => {
    const description = get("xfs-v5");
    const parameters = { ...description.parameters, quotaTypes: ["usrquota", "prjquota"] };
    const { warnings } = planWith({ ...description, parameters }, target, {}, everything);
    expect(warnings).toContain("the limits of quotas (usrquota, prjquota) are not kept");
    expect(planWith(get("ext4-every-feature"), target, {}, everything).warnings.join()).toContain("limits of quotas");
  });

  test("is shown as lines that a shell reads as they are run", async () => {
    const label = "a'b $(id)\n\u001b[31m-é";
    const plan = planWith({ ...get("btrfs-crc32c"), label }, target, {}, everything);
    const text = commandText(plan.commands[0] as ToolCommand, "/dev/x y");
    expect(text.includes("\n") || text.includes("\u001b")).toBe(false);
    const { stdout } = await runTool({ program: "bash", arguments: ["-c", `printf '%s\\0' ${text}`] });
    expect(stdout.split("\0").slice(0, -1)).toEqual(["mkfs.btrfs", ...(plan.commands[0]?.arguments ?? []), "/dev/x y"]);
  });

  test("makes raid profiles into what one device can have", () => {
    const description = get("btrfs-crc32c");
    const parameters = { ...description.parameters, dataProfile: "raid0", metadataProfile: "raid1c3", deviceCount: 4 };
    const plan = planWith({ ...description, parameters }, target, {}, everything);
    expect(plan.commands[0]?.arguments.join(" ")).toContain("-d single -m dup");
    expect(plan.warnings).toHaveLength(2);
  });

  test("uses the target's sector size when that is larger", () => {
    const large = { sizeBytes: GiB, sectorSize: 4096 };
    const xfs = planWith(get("xfs-v5"), large, {}, everything);
    expect(xfs.commands[0]?.arguments.join(" ")).toContain("-s size=4096");
    const ext = planWith(get("ext3-2k"), large, {}, everything);
    expect(ext.commands[0]?.arguments.join(" ")).toContain("-b 4096");
    expect(ext.warnings.join()).toContain("sectors are larger");
  });

  test("of a mke2fs command never takes the host's configuration", async () => {
    const { stdout } = await runTool({ program: "env", arguments: [] });
    expect(stdout).toMatch(/^MKE2FS_CONFIG=\/dev\/null$/m);
    expect(stdout).toMatch(/^LC_ALL=C$/m);
  });
});

describe("wishes that make no sense", () => {
  test.each([
    [{ type: "ntfs" }],
    [{ uuid: "not-a-uuid" }],
    [{ uuid: "0f1e2d3c-4b5a-4968-8776-655443322110; reboot" }],
    [{ label: "l".repeat(17) }],
    [{ label: "nul\0nul" }],
  ])("%j are a usage error", (overrides) => {
    expect(() => planWith(get("ext3-2k"), target, overrides, everything)).toThrow(
      expect.objectContaining({ code: "USAGE" }),
    );
  });

  test("and a saved type that cannot be made is unsupported unless another is asked for", () => {
    const description = { ...get("ext3-2k"), type: "bcachefs" };
    expect(() => planWith(description, target, {}, everything)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED" }),
    );
    expect(planWith(description, target, { type: "ext4" }, everything).type).toBe("ext4");
  });
});

describe("a hostile description", () => {
  test.each([
    ["ext3-2k", "inodeSizeBytes", -1],
    ["ext3-2k", "inodeSizeBytes", 257],
    ["ext3-2k", "inodeSizeBytes", "256,-E"],
    ["ext3-2k", "inodeCount", 2 ** 40],
    ["ext3-2k", "inodeCount", "1; reboot"],
    ["ext3-2k", "reservedBlocks", -1],
    ["ext3-2k", "errors", "$(reboot)"],
    ["ext3-2k", "hashSeed", "x,root_owner=1:1"],
    ["ext3-2k", "hashVersion", "tea -E x"],
    ["ext3-2k", "features", ["has_journal", "x,y"]],
    ["ext3-2k", "features", "has_journal"],
    ["ext3-2k", "features", Array.from({ length: 300 }, () => "a")],
    ["ext3-2k", "mountOptions", ["acl", "^debug"]],
    ["ext3-2k", "extendedMountOptions", 'a"\nquit'],
    ["ext3-2k", "stride", 1.5],
    ["ext3-2k", "journalBlocks", null],
    ["ext3-2k", "externalJournal", "yes"],
    ["xfs-v5", "inodeSizeBytes", 3],
    ["xfs-v5", "agBlocks", Number.NaN],
    ["xfs-v5", "inodePercentMax", 101],
    ["xfs-v5", "directoryBlockSizeBytes", 2 ** 20],
    ["xfs-v5", "features", [{}]],
    ["btrfs-crc32c", "checksum", "md5"],
    ["btrfs-crc32c", "nodeSizeBytes", 0],
    ["btrfs-crc32c", "dataProfile", "raid99"],
  ])("of %s with %s = %j is refused", (name, key, value) => {
    const description = get(name);
    const hostile = { ...description, parameters: { ...description.parameters, [key]: value } };
    const act = () => planWith(hostile, target, {}, everything);
    if (value === null) expect(act).not.toThrow();
    else
      expect(act).toThrow(expect.objectContaining({ code: "ARCHIVE_HOSTILE", message: expect.stringContaining(key) }));
  });

  test.each([
    ["blockSize", 0],
    ["blockSize", 3000],
    ["blockSize", "4096"],
    ["sizeBytes", -1],
    ["sizeBytes", 2 ** 60],
    ["usedBytes", Number.POSITIVE_INFINITY],
    ["parameters", null],
    ["labelBase64", Buffer.from("a\0b").toString("base64")],
  ])("with %s = %j is refused", (key, value) => {
    for (const name of ["ext3-2k", "xfs-v5", "btrfs-crc32c"]) {
      expect(() => planWith({ ...get(name), [key]: value }, target, {}, everything)).toThrow(
        expect.objectContaining({ code: "ARCHIVE_HOSTILE" }),
      );
    }
  });

  test("never puts anything but plain words into a command line, whatever its values are", () => {
    const nasty = fc.oneof(
      fc.anything({ maxDepth: 1 }),
      fc.constantFrom(
        "-O",
        "x,y",
        "a b",
        "$(reboot)",
        "\n",
        "'",
        '"',
        "../../x",
        -1,
        0,
        1,
        2 ** 31,
        2 ** 53,
        1.5,
        Number.NaN,
        1e300,
      ),
      fc.integer(),
      fc.array(fc.constantFrom("extent", "has_journal", "x,y", "-O", "", "sparse_super", "reflink", "no-holes"), {
        maxLength: 5,
      }),
    );
    const keys = new Set<string>();
    for (const { parameters } of described.values()) for (const key of Object.keys(parameters)) keys.add(key);
    const change = fc.tuple(fc.constantFrom(...keys, "__proto__"), nasty);
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.array(change, { maxLength: 3 }),
        fc.constantFrom(undefined, ...filesystemTypes),
        (name, changes, type) => {
          const description = get(name);
          const parameters = { ...description.parameters, ...Object.fromEntries(changes) };
          const hostile = { ...description, label: null, parameters };
          try {
            const plan = planWith(hostile, target, type === undefined ? {} : { type }, everything);
            for (const command of plan.commands) {
              for (const word of command.arguments) {
                expect(word).toMatch(/^[\w=,.:^+-]*$|^set_super_value mount_opts "[ !\x23-\x5b\x5d-\x7e]{1,63}"$/);
              }
            }
          } catch (error) {
            if (!(error instanceof TsfsaError)) throw error;
            expect(error.code).toBe("ARCHIVE_HOSTILE");
          }
        },
      ),
      { numRuns: draws(2000) },
    );
  });
});

describe("a tool", () => {
  const fake: OpenTarget = {
    path: "/image",
    devicePath: "/dev/loop99",
    fd: -1,
    sizeBytes: GiB,
    sectorSize: 512,
    current: undefined,
    holdsData: false,
    currentContents: "",
    release: () => undefined,
    claim: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };

  test("that is not installed is named, with its package", async () => {
    const plan = {
      ...planWith(get("xfs-v5"), target, {}, everything),
      commands: [{ program: "mkfs.no-such", arguments: [] }],
    };
    await expect(makeFilesystem(plan, fake)).rejects.toMatchObject({
      code: "TOOL_MISSING",
      context: { command: ["mkfs.no-such"] },
    });
    const bytes = { program: "mkfs.no-such", arguments: [Buffer.from([0xff])] };
    await expect(makeFilesystem({ ...plan, commands: [bytes] }, fake)).rejects.toMatchObject({ code: "TOOL_MISSING" });
  });

  test("that fails is shown with its command and its own words, and nothing more is run", async () => {
    const ran: string[] = [];
    const plan = planWith(get("ext3-2k"), target, {}, everything);
    const failing = makeFilesystem(plan, fake, async (command) => {
      ran.push(command.program);
      return Promise.resolve({ status: 1, stdout: "", stderr: "mke2fs: it is broken\n" });
    });
    await expect(failing).rejects.toMatchObject({
      code: "TOOL_FAILED",
      message: expect.stringContaining("it is broken"),
      context: { command: expect.arrayContaining(["mke2fs", "/dev/loop99"]) },
    });
    expect(ran).toEqual(["mke2fs"]);
  });

  test("gets arguments with any bytes as they are, without a shell", async () => {
    const bytes = Buffer.from([0xff, 0x0a, 0x27, 0x22, 0x20, 0x24, 0x28, 0x69, 0x64, 0x29]);
    const { stdout } = await runTool({ program: "od", arguments: ["-An", "-tx1", "/dev/null"] });
    expect(stdout).toBe("");
    const shown = await runTool({ program: "printf", arguments: ["%s|", "$(id)", bytes, "-x"] });
    expect(shown.status).toBe(0);
    expect(shown.stdout.startsWith("$(id)|")).toBe(true);
    expect(shown.stdout.endsWith("|-x|")).toBe(true);
    expect(shown.stdout).toContain(`\n'" $(id)|`);
  });

  test("is asked what it knows", async () => {
    const answers: Record<string, string> = {
      "mke2fs -V": "mke2fs 1.46.2 (28-Feb-2021)",
      "mkfs.xfs ": "/* inode size */ [-i sparse=0|1,nrext64=0|1]",
      "mkfs.btrfs -O list-all": "no-holes   - no explicit hole extents",
      "mkfs.btrfs -R list-all": "free-space-tree - x",
    };
    const support = (program: string) =>
      toolSupport(program, async (command) =>
        Promise.resolve({ status: 1, stdout: "", stderr: answers[`${program} ${command.arguments.join(" ")}`] ?? "" }),
      );
    const ext = await support("mke2fs");
    expect([ext.knows("orphan_file"), ext.knows("fast_commit"), ext.knows("extent")]).toEqual([false, true, true]);
    const xfs = await support("mkfs.xfs");
    expect([xfs.knows("nrext64"), xfs.knows("parent")]).toEqual([true, false]);
    const btrfs = await support("mkfs.btrfs");
    expect([btrfs.knows("free-space-tree"), btrfs.knows("block-group-tree")]).toEqual([true, false]);
  });
});
