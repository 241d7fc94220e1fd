// Sources are opened in every way they can be given; the source's bytes stay what they were and nothing is left behind.

import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openSource } from "../../src/filesystem/open-source.ts";
import type { OpenSource } from "../../src/filesystem/types.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, run } from "../support/run.ts";
import { small } from "./support/recipes.ts";

requireOrSkip("loop");

const families = ["ext2", "ext3", "ext4", "xfs", "btrfs"] as const;
const md5 = (path: string): string => execFileSync("md5sum", [path]).toString().slice(0, 32);
const below = (source: OpenSource, name = ""): string => `/proc/self/fd/${source.rootFd}/${name}`;

/** Opens, runs, closes; nothing of ours may be left. */
async function opened(
  lab: Lab,
  path: string,
  body: (source: OpenSource) => Promise<void> | void,
  allowRw = false,
): Promise<void> {
  const source = await openSource(path, { allowRw });
  try {
    await body(source);
  } finally {
    await source.close();
  }
  expect(lab.leftovers()).toEqual([]);
}

/** An image with a file in it, cleanly unmounted. */
async function filled(lab: Lab, type: (typeof families)[number]): Promise<string> {
  const image = await lab.filesystem(small[type]);
  const point = await lab.mount(image);
  writeFileSync(`${point}/file`, "content");
  mkdirSync(`${point}/dir`);
  writeFileSync(`${point}/dir/hidden`, "below a mount");
  await lab.unmount(point);
  return image;
}

/** Copied while mounted and just written: what a crash leaves. */
async function dirty(lab: Lab, type: "ext3" | "ext4" | "xfs" | "btrfs"): Promise<string> {
  const image = await lab.filesystem(small[type]);
  const point = await lab.mount(image);
  await must(["sync", "-f", point]);
  for (let index = 0; index < 20; index += 1) {
    await must(["dd", "if=/dev/zero", `of=${point}/file${index}`, "bs=4096", "count=1", "conv=fsync", "status=none"]);
  }
  const copy = lab.path("dirty.img");
  await must(["cp", "--sparse=always", image, copy]);
  await lab.unmount(point);
  return copy;
}

const fixture = (name: string): Buffer =>
  gunzipSync(readFileSync(new URL(`../../fixtures/superblocks/${name}.img.gz`, import.meta.url)));

const codeOf = (path: string) =>
  openSource(path, { allowRw: true }).then(undefined, (error: { code: string }) => error.code);
const openDescriptors = () => readdirSync("/proc/self/fd").length;

describe("an unused file system", () => {
  test.each(families)("of type %s is read from image and device, byte for byte unchanged", (type) =>
    withLab(async (lab) => {
      const image = await filled(lab, type);
      const before = md5(image);
      const device = await lab.attach(image);
      for (const path of [image, device]) {
        await opened(lab, path, (source) => {
          expect(readFileSync(below(source, "file"), "utf8")).toBe("content");
          expect(source).toMatchObject({ origin: path, device: path, frozen: true, warnings: [] });
          expect(source.checkFrozen()).toEqual({ writable: false });
          expect(source.description).toMatchObject({ type, label: small[type].mkfs[1] });
          expect(source.description.sizeBytes).toBeLessThanOrEqual(small[type].sizeBytes);
          expect(() => writeFileSync(below(source, "new"), "")).toThrow(/EROFS/);
        });
        expect(md5(image)).toBe(before);
      }
    }),
  );

  test("cannot be mounted or claimed by others while it is read", () =>
    withLab(async (lab) => {
      const image = await filled(lab, "ext4");
      const device = await lab.attach(image);
      const point = lab.folder();
      await opened(lab, device, async () => {
        expect(() => openSync(device, constants.O_RDWR | constants.O_EXCL)).toThrow(/EBUSY/);
        expect((await run(["mount", device, point])).status).not.toBe(0);
        await expect(openSource(device, { allowRw: false })).rejects.toMatchObject({ code: "SOURCE_WRITABLE" });
      });
      await lab.detach(device);
      await opened(lab, image, async () => {
        expect((await run(["flock", "--nonblock", "--exclusive", image, "true"])).status).toBe(1);
      });
    }));

  test("also keeps an idle loop device on the same image from being mounted", () =>
    withLab(async (lab) => {
      const image = await filled(lab, "ext4");
      const device = await lab.attach(image);
      const point = lab.folder();
      await opened(lab, image, async () => {
        expect((await run(["mount", device, point])).status).not.toBe(0);
      });
    }));

  test("is read from an image that another program has locked for writing only after that", () =>
    withLab(async (lab) => {
      const image = await filled(lab, "ext4");
      const script = "flock --exclusive 9; echo ready; read line";
      const child = spawn("bash", ["-c", `exec 9<"$1"; ${script}`, "bash", image], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const gone = new Promise((resolve) => child.once("exit", resolve));
      try {
        await new Promise((resolve) => child.stdout.once("data", resolve));
        await expect(openSource(image, { allowRw: false })).rejects.toMatchObject({ code: "SOURCE_WRITABLE" });
      } finally {
        child.stdin.end();
        await gone;
      }
      await opened(lab, image, () => undefined);
    }));
});

describe("a mounted file system", () => {
  test.each(families)("of type %s is read when mounted read-only, by mount point, device and image", (type) =>
    withLab(async (lab) => {
      const image = await filled(lab, type);
      const device = await lab.attach(image);
      const point = await lab.mount(device, { options: "ro" });
      const before = md5(image);
      for (const path of [point, device, image]) {
        await opened(lab, path, (source) => {
          expect(readFileSync(below(source, "file"), "utf8")).toBe("content");
          expect(source).toMatchObject({ frozen: true, device });
        });
      }
      expect(md5(image)).toBe(before);
    }),
  );

  test.each(families)("of type %s is refused when mounted read-write, but for --allow-rw", (type) =>
    withLab(async (lab) => {
      const image = await filled(lab, type);
      const device = await lab.attach(image);
      const point = await lab.mount(device);
      for (const path of [point, device, image]) {
        const failure = await openSource(path, { allowRw: false }).then(undefined, (error: unknown) => error);
        expect(failure).toMatchObject({ code: "SOURCE_WRITABLE" });
        expect((failure as { context: { hints: string[] } }).context.hints.join()).toContain("--allow-rw");
        const seen = `seen through ${path}`;
        writeFileSync(`${point}/file`, seen);
        await opened(
          lab,
          path,
          (source) => {
            expect(readFileSync(below(source, "file"), "utf8")).toBe(seen);
            expect(source.frozen).toBe(false);
            expect(source.checkFrozen().writable).toBe(true);
            expect(() => writeFileSync(below(source, "new"), "")).toThrow(/EROFS/);
          },
          true,
        );
      }
      writeFileSync(`${point}/still`, "writable");
    }),
  );

  test("that is remounted read-write while it is read is no longer frozen", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await filled(lab, "ext4"));
      const point = await lab.mount(device, { options: "ro" });
      await opened(lab, point, async (source) => {
        expect(source.checkFrozen()).toEqual({ writable: false });
        await must(["mount", "-o", "remount,rw", point]);
        expect(source.checkFrozen()).toMatchObject({ writable: true });
      });
    }));

  test("shows what lies below nested mounts, not the mounts", () =>
    withLab(async (lab) => {
      const point = await lab.mount(await filled(lab, "ext4"), { options: "ro" });
      await must(["mount", "-t", "tmpfs", "tmpfs", `${point}/dir`]);
      await opened(lab, point, async (source) => {
        try {
          expect(readdirSync(below(source, "dir"))).toEqual(["hidden"]);
        } finally {
          await must(["umount", `${point}/dir`]);
        }
      });
    }));

  test("bind mounted from a subdirectory is read as a whole", () =>
    withLab(async (lab) => {
      const point = await lab.mount(await filled(lab, "xfs"), { options: "ro" });
      const bind = await lab.bind(`${point}/dir`);
      await opened(lab, bind, (source) => {
        expect(readdirSync(below(source)).toSorted()).toEqual(["dir", "file"]);
      });
    }));

  test("in another mount namespace only is read through its superblock", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await filled(lab, "ext4"));
      const script = 'mount -o ro "$1" "$2" && echo ready && read line';
      const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", device, lab.folder()], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const gone = new Promise((resolve) => child.once("exit", resolve));
      try {
        await new Promise((resolve) => child.stdout.once("data", resolve));
        await opened(lab, device, (source) => {
          expect(readFileSync(below(source, "file"), "utf8")).toBe("content");
        });
      } finally {
        child.stdin.end();
        await gone;
      }
    }));
});

describe("btrfs", () => {
  test("shows the subvolume that is mounted, or all of a device, whichever is the default", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.btrfs);
      const point = await lab.mount(image);
      for (const name of ["home", "root"]) {
        await must(["btrfs", "subvolume", "create", `${point}/${name}`]);
        writeFileSync(`${point}/${name}/name`, name);
      }
      await must(["btrfs", "subvolume", "set-default", `${point}/root`]);
      mkdirSync(`${point}/root/dir`);
      await lab.unmount(point);
      const device = await lab.attach(image);
      await opened(lab, device, (source) => expect(readFileSync(below(source, "root/name"), "utf8")).toBe("root"));
      const home = await lab.mount(device, { options: "ro,subvol=/home" });
      await opened(lab, home, (source) => expect(readFileSync(below(source, "name"), "utf8")).toBe("home"));
      await opened(lab, device, (source) => expect(readFileSync(below(source, "root/name"), "utf8")).toBe("root"));
      const bind = await lab.bind(await lab.mount(device, { options: "ro" }));
      await opened(lab, bind, (source) => expect(readFileSync(below(source, "name"), "utf8")).toBe("root"));
      await expect(openSource(await lab.bind(`${bind}/dir`), { allowRw: false })).rejects.toMatchObject({
        code: "SOURCE_NOT_FILESYSTEM",
      });
    }));

  test("with the UUID of a mounted one is read itself, not the other", () =>
    withLab(async (lab) => {
      const image = await filled(lab, "btrfs");
      const copy = lab.path("copy.img");
      await must(["cp", "--sparse=always", image, copy]);
      const point = await lab.mount(image);
      writeFileSync(`${point}/file`, "changed since");
      await opened(lab, copy, (source) => expect(readFileSync(below(source, "file"), "utf8")).toBe("content"));
    }));
});

describe("a file system that was not unmounted cleanly", () => {
  test.each(["ext3", "ext4", "xfs", "btrfs"] as const)("is refused and byte for byte unchanged: %s", (type) =>
    withLab(async (lab) => {
      const image = await dirty(lab, type);
      const before = md5(image);
      const device = await lab.attach(image);
      for (const path of [image, device]) {
        const failure = await openSource(path, { allowRw: false }).then(undefined, (error: unknown) => error);
        expect(failure).toMatchObject({ code: "SOURCE_NEEDS_REPLAY" });
        expect((failure as { context: { hints: string[] } }).context.hints).not.toEqual([]);
        expect(md5(image)).toBe(before);
        expect(lab.leftovers()).toEqual([]);
      }
      // A throw-away copy may be replayed.
      const source = await openSource(device, { allowRw: false, replay: true });
      expect(readdirSync(below(source)).filter((name) => name.startsWith("file"))).toHaveLength(20);
      await source.close();
    }),
  );

  test("is warned about when it is mounted without replay", () =>
    withLab(async (lab) => {
      const device = await lab.attach(await dirty(lab, "ext4"), { readOnly: true });
      const point = await lab.mount(device, { options: "ro,noload" });
      await opened(lab, point, (source) => {
        expect(source.warnings.join()).toContain("without its journal");
      });
    }));
});

describe("what is no file system for savefs", () => {
  test.each([
    ["swap", "swap"],
    ["luks2", "crypto_LUKS"],
    ["lvm", "LVM2_member"],
    ["gpt", "gpt"],
    ["vfat16", "vfat"],
    ["squash", "squashfs"],
  ])("%s is refused by its name", (name, type) =>
    withLab(async (lab) => {
      const image = lab.image(name, 8 * 1024 * 1024);
      writeFileSync(image, fixture(name), { flag: "r+" });
      await expect(openSource(image, { allowRw: false })).rejects.toMatchObject({
        code: "SOURCE_NOT_FILESYSTEM",
        message: expect.stringContaining(type),
      });
      expect(lab.leftovers()).toEqual([]);
    }),
  );

  test("nothing, a plain directory, tmpfs, an empty image", () =>
    withLab(async (lab) => {
      expect(await codeOf("/dev/shm/there-is-nothing")).toBe("SOURCE_MISSING");
      expect(await codeOf(lab.folder())).toBe("SOURCE_NOT_FILESYSTEM");
      expect(await codeOf(await lab.tmpfs(65_536))).toBe("SOURCE_NOT_FILESYSTEM");
      expect(await codeOf(lab.image("empty", 0))).toBe("SOURCE_NOT_FILESYSTEM");
    }));

  test("two signatures at once are not guessed about, but a mount tells", () =>
    withLab(async (lab) => {
      const image = await filled(lab, "ext4");
      const ext = readFileSync(image);
      const other = await lab.filesystem(small.btrfs);
      ext.set(readFileSync(other).subarray(65_536, 65_536 + 4096), 65_536);
      const both = lab.path("both.img");
      writeFileSync(both, ext);
      await expect(openSource(both, { allowRw: false })).rejects.toMatchObject({
        code: "SOURCE_NOT_FILESYSTEM",
        message: expect.stringContaining("btrfs and ext4"),
      });
      const point = await lab.mount(both, { options: "ro", type: "ext4" });
      await opened(lab, point, (source) => expect(source.description.type).toBe("ext4"));
    }));

  test("a damaged superblock that the kernel refuses is unreadable, not a crash", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.ext4);
      const bytes = readFileSync(image);
      bytes[1024 + 0x20] = (bytes[1024 + 0x20] ?? 0) ^ 0x08; // blocks per group; the checksum no longer matches
      writeFileSync(image, bytes);
      await expect(openSource(image, { allowRw: false })).rejects.toMatchObject({ code: "SOURCE_UNREADABLE" });
      expect(lab.leftovers()).toEqual([]);
    }));
});

test("closing twice is harmless, and closing gives back every descriptor", () =>
  withLab(async (lab) => {
    const image = await filled(lab, "ext4");
    const before = openDescriptors();
    const source = await openSource(image, { allowRw: false });
    await source.close();
    await source.close();
    expect(openDescriptors()).toBe(before);
    closeSync(openSync(image, "r"));
  }));
