// Who can write a source: every way it can be mounted or held, in this and other mount namespaces.

import { spawn } from "node:child_process";
import { chmodSync, closeSync, constants, openSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { writableBelow, writableReason } from "../../src/filesystem/writable.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { small } from "./support/recipes.ts";

requireOrSkip("loop");

const free = { writable: false };

describe("a source is not writable", () => {
  test("when nobody uses the device or its image", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.ext4);
      expect(await writableReason(image)).toEqual(free);
      const device = await lab.attach(image);
      expect(await writableReason(device)).toEqual(free);
      expect(await writableReason(image)).toEqual(free);
    }));

  test.each(["ext4", "xfs", "btrfs"] as const)("when %s is mounted read-only", (type) =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small[type]);
      const device = await lab.attach(image);
      const point = await lab.mount(device, { options: "ro" });
      for (const path of [image, device, point]) expect(await writableReason(path)).toEqual(free);
    }),
  );
});

describe("a source without a device", () => {
  test("is read-only here, and may be written elsewhere", () =>
    withLab(async (lab) => {
      const layers = await lab.tmpfs(1024 * 1024);
      await must(["mkdir", `${layers}/one`, `${layers}/two`, `${layers}/seen`]);
      const options = `lowerdir=${layers}/one:${layers}/two`;
      await must(["mount", "-t", "overlay", "-o", options, "overlay", `${layers}/seen`]);
      try {
        expect(await writableReason(`${layers}/seen`)).toEqual({ writable: false, elsewhere: true });
      } finally {
        await must(["umount", `${layers}/seen`]);
      }
    }));
});

describe("what is mounted below a directory", () => {
  test("is asked one by one", () =>
    withLab(async (lab) => {
      const top = await lab.mount(await lab.filesystem(small.ext4));
      await must(["mkdir", "-p", `${top}/a b/c`, `${top}/d`, `${top}-beside`]);
      expect(writableBelow(top)).toEqual([]);
      const inner = await lab.mount(await lab.filesystem(small.ext2), { options: "ro" });
      const other = await lab.tmpfs(1024 * 1024);
      const binds = [
        [inner, `${top}/a b/c`],
        [other, `${top}/d`],
      ] as const;
      for (const [from, to] of binds) await must(["mount", "--bind", from, to]);
      try {
        const states = writableBelow(`${top}/a b/..`);
        expect(states).toHaveLength(2);
        expect(states[0]).toEqual(free);
        expect(states[1]).toMatchObject({ writable: true, reason: expect.stringContaining(`${top}/d`) });
        expect(writableBelow(`${top}/a b`)).toEqual([free]);
      } finally {
        for (const [, to] of binds) await must(["umount", to]);
        await must(["rmdir", `${top}-beside`]);
      }
    }));
});

describe("a source is writable", () => {
  test.each(["ext2", "ext4", "xfs", "btrfs"] as const)(
    "when %s is mounted read-write: device, image, mount point and directory alike",
    (type) =>
      withLab(async (lab) => {
        const image = await lab.filesystem(small[type]);
        const device = await lab.attach(image);
        const point = await lab.mount(device);
        await must(["mkdir", `${point}/dir`]);
        for (const path of [image, device, point, `${point}/dir`]) {
          const state = await writableReason(path);
          expect(state).toMatchObject({ writable: true, reason: expect.stringContaining(`read-write at ${point}`) });
          expect(state.writable && state.ways.some((way) => way.includes("--allow-rw"))).toBe(true);
        }
      }),
  );

  test("through a read-only bind mount of a writable file system", () =>
    withLab(async (lab) => {
      const point = await lab.mount(await lab.filesystem(small.ext4));
      const bind = await lab.bind(point, { readOnly: true });
      expect((await writableReason(bind)).writable).toBe(true);
    }));

  test("when it is mounted through a second loop device on the same file", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.ext4);
      const first = await lab.attach(image);
      await lab.mount(await lab.attach(image));
      expect(await writableReason(first)).toMatchObject({ writable: true });
      expect(await writableReason(image)).toMatchObject({ writable: true });
    }));

  test.each(["ext4", "btrfs"] as const)("when %s is mounted in another mount namespace only", (type) =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small[type]);
      const device = await lab.attach(image);
      const point = lab.folder();
      const script = 'mount "$1" "$2" && echo ready && read line';
      const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", device, point], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      try {
        await new Promise((resolve, reject) => {
          child.stdout.once("data", resolve);
          child.once("exit", reject);
        });
        const state = await writableReason(device);
        expect(state).toMatchObject({
          writable: true,
          reason: expect.stringContaining(`namespace of process ${child.pid}`),
        });
        expect(await writableReason(image)).toMatchObject({ writable: true });
      } finally {
        const gone = new Promise((resolve) => child.once("exit", resolve));
        child.stdin.end();
        await gone;
      }
    }),
  );

  test("when another program has claimed it and no mount shows", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await lab.filesystem(small.ext4));
      const fd = openSync(device, constants.O_RDONLY | constants.O_EXCL);
      try {
        expect(await writableReason(device)).toMatchObject({
          writable: true,
          reason: expect.stringContaining("in use by"),
        });
      } finally {
        closeSync(fd);
      }
    }));

  test("when it is swap, as a device or as a file", () =>
    withLab(async (lab) => {
      const image = lab.image("swap", 8 * 1024 * 1024);
      chmodSync(image, 0o600);
      const device = await lab.attach(image);
      await must(["mkswap", "-q", device]);
      await must(["swapon", device]);
      try {
        for (const path of [device, image]) {
          expect(await writableReason(path)).toMatchObject({ writable: true, reason: expect.stringContaining("swap") });
        }
      } finally {
        await must(["swapoff", device]);
      }
    }));

  test("on tmpfs and the like: there the superblock decides", () =>
    withLab(async (lab) => {
      const point = await lab.tmpfs(1024 * 1024);
      expect(await writableReason(point)).toMatchObject({ writable: true });
      await must(["mount", "-o", "remount,ro", point]);
      expect(await writableReason(point)).toEqual(free);
    }));
});

test("a source that is not there is missing", async () => {
  await expect(writableReason("/dev/shm/there-is-nothing")).rejects.toMatchObject({ code: "SOURCE_MISSING" });
  await expect(writableReason("/dev/null")).rejects.toMatchObject({ code: "SOURCE_NOT_FILESYSTEM" });
});
