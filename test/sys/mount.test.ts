import { mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import * as k from "../../src/sys/constants.ts";
import { EACCES, EINVAL, ENODEV, EROFS, check } from "../../src/sys/errors.ts";
import { attachLoop } from "../../src/sys/loop.ts";
import type { DetachedMount } from "../../src/sys/mount.ts";
import { cloneTree, cloneTreeAt, mountDetached } from "../../src/sys/mount.ts";
import type { Lab } from "../support/images.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { bytes, checkBytes, openDirectory, unpack } from "./scratch.ts";

requireOrSkip("root", "loop");

/** Runs the body with a detached mount of an image, and gives mount and loop device back. */
async function withDetached(
  lab: Lab,
  image: string,
  type: string,
  body: (mount: DetachedMount, root: number, device: string) => void,
): Promise<void> {
  const backing = check(addon().openAt(k.AT_FDCWD, bytes(image), k.O_RDONLY, 0, 0), "openat");
  const loop = attachLoop(backing, { readOnly: true });
  addon().close(backing);
  try {
    const mount = mountDetached({
      type,
      source: loop.path,
      options: ["ro"],
      attributes: k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV,
    });
    try {
      const root = mount.openRoot();
      try {
        body(mount, root, loop.path);
      } finally {
        addon().close(root);
      }
    } finally {
      mount.close();
    }
  } finally {
    loop.close();
  }
  expect(lab.leftovers()).toEqual([]);
}

/** Mounts of what lies below a folder or comes from a device. */
function mountsOf(...places: readonly string[]): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
  return lines.filter((line) => places.some((place) => line.includes(` ${place}`)));
}

describe("mountDetached", () => {
  it.each(["ext4", "xfs", "btrfs"] as const)("mounts %s read-only without a path", (type) =>
    withLab(async (lab) => {
      const image = await lab.filesystem(recipes[type]);
      const mounted = await lab.mount(image);
      writeFileSync(`${mounted}/file`, "content");
      await lab.unmount(mounted);
      await withDetached(lab, image, type, (_, root, device) => {
        expect(mountsOf(`${device} `, lab.dir)).toEqual([]);
        const names = unpack(checkBytes(addon().readDirectory(root), "readDirectory")).map(([, name]) => name);
        expect(names).toContain("file");
        expect(readFileSync(`/proc/self/fd/${root}/file`, "utf8")).toBe("content");
        expect(addon().openAt(root, bytes("new"), k.O_CREAT | k.O_WRONLY, 0o600, 0)).toBe(-EROFS);
        const found = new Float64Array(12);
        expect(addon().statFilesystem(root, found)).toBe(0);
        expect((found[11] as number) & k.ST_RDONLY).toBe(k.ST_RDONLY);
      });
    }),
  );

  it("tells the kernel's reason when it fails, and only then", () =>
    withLab(async (lab) => {
      const image = lab.image("nothing", 1 << 20);
      const loop = await lab.attach(image);
      expect(addon().mountDetached("ext4", loop, ["ro"], 0)).toBe(-EINVAL);
      expect(() =>
        mountDetached({ type: "ext4", source: loop, options: ["ro", "nosuchoption=1"], attributes: 0 }),
      ).toThrow(/mount of \/dev\/loop\d+ as ext4 failed: .*\(EINVAL\): .*nosuchoption/);
      expect(addon().mountDetached("nosuchtype", loop, [], 0)).toBe(-ENODEV);
      expect(addon().lastMountMessage()).toBe("");
    }));

  it("does not mount a read-only device writable", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await lab.filesystem(recipes.ext4), { readOnly: true });
      expect([-EACCES, -EROFS]).toContain(addon().mountDetached("ext4", device, [], 0));
    }));
});

describe("cloneTree", () => {
  it("shows a directory without the mounts below it, with attributes of its own", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.ext4));
      mkdirSync(`${mounted}/below`);
      await lab.bind("/etc");
      const inner = await lab.mount(await lab.filesystem(recipes.ext4SmallBlocks));
      writeFileSync(`${inner}/file`, "");
      const fd = openDirectory(mounted);
      const clone = cloneTree(fd);
      addon().close(fd);
      try {
        expect(addon().setMountAttributes(clone.fd, k.MOUNT_ATTR_RDONLY)).toBe(0);
        const root = clone.openRoot();
        expect(addon().mkdirAt(root, bytes("new"), 0o700)).toBe(-EROFS);
        addon().close(root);
        // The mount it was made from is as writable as before.
        mkdirSync(`${mounted}/new`);
      } finally {
        clone.close();
        clone.close();
      }
      expect(() => cloneTreeAt(bytes(`${mounted}/none`))).toThrow(expect.objectContaining({ code: "IO" }));
    }));

  it("leaves out what is mounted below", () =>
    withLab(async (lab) => {
      const inner = await lab.mount(await lab.filesystem(recipes.ext4));
      writeFileSync(`${inner}/file`, "");
      const clone = cloneTreeAt(bytes(lab.dir));
      try {
        const root = clone.openRoot();
        const under = openDirectory(`/proc/self/fd/${root}/${inner.slice(lab.dir.length + 1)}`);
        expect(checkBytes(addon().readDirectory(under), "readDirectory").length).toBe(0);
        addon().close(under);
        addon().close(root);
      } finally {
        clone.close();
      }
    }));
});

describe("statFilesystem", () => {
  it("agrees with statfs(2) of Node", () => {
    const fd = openDirectory("/dev/shm");
    const found = new Float64Array(12);
    expect(addon().statFilesystem(fd, found)).toBe(0);
    addon().close(fd);
    const expected = statfsSync("/dev/shm");
    expect([found[0], found[1], found[2], found[5]]).toEqual([
      expected.type,
      expected.bsize,
      expected.blocks,
      expected.files,
    ]);
    expect(found[9]).toBe(255);
    expect(() => addon().statFilesystem(0, new Float64Array(11))).toThrow(RangeError);
  });
});

describe("thaw", () => {
  it("lets writers of a frozen file system go on, and says so where none was frozen", () =>
    withLab(async (lab) => {
      const mounted = await lab.mount(await lab.filesystem(recipes.ext4));
      const fd = openDirectory(mounted);
      try {
        await must(["fsfreeze", "--freeze", mounted]);
        expect(addon().thaw(fd)).toBe(0);
        writeFileSync(`${mounted}/file`, "x");
        expect(addon().thaw(fd)).toBe(-EINVAL);
      } finally {
        addon().close(fd);
      }
    }));
});
