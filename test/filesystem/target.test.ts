// Targets: everything that speaks against taking one, and that a claim keeps others away while it lasts.

import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { mountTarget } from "../../src/filesystem/mount-target.ts";
import { openTarget } from "../../src/filesystem/target.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";
import { small } from "./support/recipes.ts";

requireOrSkip("loop");

const MiB = 1024 * 1024;

async function refusal(path: string, overwrite = true): Promise<{ code: string; message: string; hints: string }> {
  try {
    const target = await openTarget(path, { overwrite });
    await target.close();
  } catch (error) {
    const { code, message, context } = error as { code: string; message: string; context: { hints?: string[] } };
    return { code, message, hints: (context.hints ?? []).join() };
  }
  return { code: "none", message: "", hints: "" };
}

describe("a target is refused", () => {
  test("when there is nothing, with the command that makes an image", async () => {
    const failure = await refusal("/dev/shm/there-is-nothing");
    expect(failure).toMatchObject({ code: "TARGET_REFUSED", hints: expect.stringContaining("truncate -s SIZE") });
  });

  test("when it is a directory or a character device", () =>
    withLab(async (lab) => {
      expect((await refusal(lab.folder())).code).toBe("TARGET_REFUSED");
      expect((await refusal("/dev/null")).code).toBe("TARGET_REFUSED");
    }));

  test.each([
    ["ext4", "rw"],
    ["ext4", "ro"],
    ["xfs", "ro"],
    ["btrfs", "rw"],
    ["btrfs", "ro"],
  ] as const)("when it holds a mounted %s (%s), by device and by image", (type, options) =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small[type]);
      const device = await lab.attach(image);
      const point = await lab.mount(device, { options });
      for (const path of [device, image]) {
        expect(await refusal(path)).toMatchObject({ code: "TARGET_REFUSED", message: expect.stringContaining(point) });
      }
    }),
  );

  test("when it is mounted in another mount namespace only", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await lab.filesystem(small.ext4));
      const script = 'mount "$1" "$2" && echo ready && read line';
      const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", device, lab.folder()], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const gone = new Promise((resolve) => child.once("exit", resolve));
      try {
        await new Promise((resolve) => child.stdout.once("data", resolve));
        expect(await refusal(device)).toMatchObject({
          code: "TARGET_REFUSED",
          message: expect.stringContaining("namespace"),
        });
      } finally {
        child.stdin.end();
        await gone;
      }
    }));

  test("when another loop device is attached to the image or to the same image", () =>
    withLab(async (lab) => {
      const image = lab.image("two", MiB);
      const first = await lab.attach(image);
      expect(await refusal(image)).toMatchObject({ code: "TARGET_REFUSED", message: expect.stringContaining(first) });
      const second = await lab.attach(image);
      expect(await refusal(first)).toMatchObject({ code: "TARGET_REFUSED", message: expect.stringContaining(second) });
    }));

  test("when it is swap in use, or claimed by somebody", () =>
    withLab(async (lab) => {
      const device = await lab.attach(lab.image("swap", 8 * MiB));
      await must(["mkswap", "-q", device]);
      await must(["swapon", device]);
      try {
        expect((await refusal(device)).code).toBe("TARGET_REFUSED");
      } finally {
        await must(["swapoff", device]);
      }
      const fd = openSync(device, constants.O_RDWR | constants.O_EXCL);
      try {
        expect(await refusal(device)).toMatchObject({
          code: "TARGET_REFUSED",
          message: expect.stringContaining("claimed"),
        });
      } finally {
        closeSync(fd);
      }
      expect((await refusal(device)).code).toBe("none");
    }));

  test("when the device is read-only", () =>
    withLab(async (lab) => {
      const device = await lab.attach(lab.image("ro", MiB), { readOnly: true });
      expect((await refusal(device)).code).toBe("TARGET_REFUSED");
    }));

  test.each(["ext3-2k", "xfs-v5", "swap", "luks1", "lvm", "gpt", "dos", "vfat12", "ntfs", "iso"])(
    "when it holds the signature of %s, unless --overwrite is given",
    (name) =>
      withLab(async (lab) => {
        const image = lab.image(name, 4 * MiB);
        const bytes = gunzipSync(readFileSync(new URL(`../../fixtures/superblocks/${name}.img.gz`, import.meta.url)));
        writeFileSync(image, bytes, { flag: "r+" });
        const before = readFileSync(image);
        expect(await refusal(image, false)).toMatchObject({
          code: "TARGET_REFUSED",
          hints: expect.stringContaining("--overwrite"),
        });
        expect(readFileSync(image).equals(before)).toBe(true);
        expect((await refusal(image, true)).code).toBe("none");
        expect(readFileSync(image).equals(before)).toBe(true);
        expect(lab.leftovers()).toEqual([]);
      }),
  );

  test("when it is too small, with the size that is needed", () =>
    withLab(async (lab) => {
      const image = lab.image("small", MiB);
      await expect(openTarget(image, { overwrite: false, sizeBytes: 2 * MiB })).rejects.toMatchObject({
        code: "TARGET_TOO_SMALL",
        message: expect.stringContaining("2 MiB"),
      });
      await expect(openTarget(lab.image("empty", 0), { overwrite: false })).rejects.toMatchObject({
        code: "TARGET_TOO_SMALL",
      });
      expect(lab.leftovers()).toEqual([]);
    }));
});

describe("a claimed target", () => {
  test("says what it holds now, with labels that cannot do anything to a terminal", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem({ ...small.ext4, mkfs: ["-L", "\u001b[31mred"] });
      const target = await openTarget(image, { overwrite: true });
      await target.close();
      expect(target.currentContents).toMatch(/^ext4 "\\\S*\[31mred" UUID [0-9a-f-]{36} of 16 MiB$/);
      expect(target.currentContents).not.toContain("\u001b");
      expect(target.current?.type).toBe("ext4");
    }));

  test("is kept from others, given up for mkfs and taken back", () =>
    withLab(async (lab) => {
      const image = lab.image("claimed", 16 * MiB);
      const target = await openTarget(image, { overwrite: false });
      try {
        expect(target).toMatchObject({ sizeBytes: 16 * MiB, sectorSize: 512, currentContents: "nothing (zeros)" });
        const mkfs = ["mkfs.ext4", "-q", "-F", target.devicePath];
        expect((await run(mkfs)).status).not.toBe(0);
        await expect(openTarget(image, { overwrite: true })).rejects.toMatchObject({ code: "TARGET_REFUSED" });
        target.release();
        expect((await run(mkfs)).status).toBe(0);
        await target.claim();
        expect((await run(mkfs)).status).not.toBe(0);
        target.release();
        const fd = openSync(target.devicePath, constants.O_RDWR | constants.O_EXCL);
        await expect(target.claim()).rejects.toMatchObject({ code: "TARGET_REFUSED" });
        closeSync(fd);
      } finally {
        await target.close();
        await target.close();
      }
      expect(lab.leftovers()).toEqual([]);
    }));

  test.each(["ext2", "ext4", "xfs", "btrfs"] as const)(
    "is mounted where nobody sees it, and everything is written out: %s",
    (type) =>
      withLab(async (lab) => {
        const image = await lab.filesystem(small[type]);
        const target = await openTarget(image, { overwrite: true });
        const mounted = await mountTarget(target, type);
        const tables = readFileSync("/proc/self/mountinfo", "utf8");
        expect(tables).not.toContain(` ${target.devicePath} `);
        writeFileSync(`/proc/self/fd/${mounted.rootFd}/file`, "restored");
        expect(() => openSync(target.devicePath, constants.O_RDWR | constants.O_EXCL)).toThrow(/EBUSY/);
        await must(["mknod", `/proc/${process.pid}/fd/${mounted.rootFd}/null`, "c", "1", "3"]);
        expect(() => openSync(`/proc/self/fd/${mounted.rootFd}/null`, "r")).toThrow(/EACCES/);
        await mounted.unmount();
        await mounted.unmount();
        await target.close();
        expect(lab.leftovers()).toEqual([]);
        await expectFile(lab, image);
      }),
  );

  test("that holds nothing mountable gives its claim back after the failure", () =>
    withLab(async (lab) => {
      const target = await openTarget(lab.image("blank", 16 * MiB), { overwrite: false });
      await expect(mountTarget(target, "ext4")).rejects.toMatchObject({ code: "FAILED" });
      expect(() => openSync(target.devicePath, constants.O_RDWR | constants.O_EXCL)).toThrow(/EBUSY/);
      await target.close();
      expect(lab.leftovers()).toEqual([]);
    }));
});

async function expectFile(lab: Lab, image: string): Promise<void> {
  const point = await lab.mount(image, { options: "ro" });
  expect(readFileSync(`${point}/file`, "utf8")).toBe("restored");
  expect(statSync(`${point}/null`).isCharacterDevice()).toBe(true);
}
