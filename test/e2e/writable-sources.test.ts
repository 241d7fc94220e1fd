// Sources that somebody else can write are refused before anything is created, whatever way they are named.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectStatus, tsfsaArgv } from "../support/cli.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must, shell } from "../support/run.ts";

requireOrSkip("root", "loop");

interface Case {
  readonly source: string;
  readonly command?: "savedir";
}

const cases: readonly [title: string, prepare: (lab: Lab) => Promise<Case>][] = [
  ["a device that is mounted read-write", async (lab) => ({ source: (await mountedDevice(lab)).device })],
  ["the mount point of it", async (lab) => ({ source: (await mountedDevice(lab)).mountpoint })],
  [
    "a directory on it",
    async (lab) => ({ source: join((await mountedDevice(lab)).mountpoint, "folder"), command: "savedir" }),
  ],
  [
    "its mount point as a directory",
    async (lab) => ({ source: (await mountedDevice(lab)).mountpoint, command: "savedir" }),
  ],
  [
    "a read-only bind mount of it",
    async (lab) => ({ source: await lab.bind((await mountedDevice(lab)).mountpoint, { readOnly: true }) }),
  ],
  [
    "a read-only bind mount of a directory of it",
    async (lab) => {
      const { mountpoint } = await mountedDevice(lab);
      return { source: await lab.bind(join(mountpoint, "folder"), { readOnly: true }), command: "savedir" };
    },
  ],
  ["the image behind its loop device", async (lab) => ({ source: (await mountedDevice(lab)).image })],
  [
    "a second loop device on the same image",
    async (lab) => {
      const { image } = await mountedDevice(lab);
      return { source: await lab.attach(image, { readOnly: true }) };
    },
  ],
  ["an ordinary directory of this machine", async (lab) => ({ source: lab.folder("plain"), command: "savedir" })],
];

describe("a writable source is refused with status 3 and nothing is created", () => {
  it.each(cases)("%s", async (_, prepare) => {
    await withLab(async (lab) => {
      const { source, command = "savefs" } = await prepare(lab);
      const out = lab.folder("out");
      const archive = join(out, "a.tsfsa");
      const result = await expectStatus(3, [command, archive, source]);
      expect(result.stderr).toMatch(/--allow-rw/);
      expect(result.stderr).toMatch(/read-only|unmount/);
      expect(readdirSync(out)).toEqual([]);
      expect(lab.leftovers()).toEqual([]);

      // Asked to, it saves: nothing changes meanwhile, so there is nothing to remark.
      await expectStatus(0, [command, "--allow-rw", archive, source]);
      await expectStatus(0, ["verify", archive]);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("two sources, one of them writable, with an old archive kept as it is", async () => {
    await withLab(async (lab) => {
      const still = await lab.filesystem(recipes.ext2);
      const { device } = await mountedDevice(lab);
      const archive = join(lab.folder("out"), "a.tsfsa");
      await expectStatus(0, ["savefs", archive, still]);
      await expectStatus(3, ["savefs", "--overwrite", archive, still, device]);
      await expectStatus(0, ["verify", archive]);
      expect(readdirSync(dirname(archive))).toEqual(["a.tsfsa"]);
    });
  });

  it("what is mounted below, where mounts are crossed", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const writer = await lab.mount(image);
      mkdirSync(join(writer, "inner"));
      writeFileSync(join(writer, "file"), "outer");
      await must(["mount", "-o", "remount,ro", writer]);
      const inner = await lab.tmpfs(1024 * 1024);
      writeFileSync(join(inner, "inside"), "can change");
      await must(["mount", "--bind", inner, join(writer, "inner")]);
      try {
        const archive = join(lab.folder("out"), "a.tsfsa");
        await expectStatus(0, ["savedir", archive, writer]);
        const refused = await expectStatus(3, ["savedir", "-o", "--cross-mounts", archive, writer]);
        expect(refused.stderr).toContain(join(writer, "inner"));
        expect(refused.stderr).toMatch(/--allow-rw/);
        await expectStatus(0, ["savedir", "-o", "-A", "--cross-mounts", archive, writer]);
        expect((await expectStatus(0, ["cat", archive, "/inner/inside"])).stdout.toString()).toBe("can change");
      } finally {
        await must(["umount", join(writer, "inner")]);
      }
    });
  });

  it("a directory that becomes writable while it is read: no archive stays", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const point = await lab.mount(image);
      for (let i = 0; i < 600; i++) writeFileSync(join(point, `f${i}`), Buffer.alloc(16_384, i));
      await must(["mount", "-o", "remount,ro", point]);
      const archive = join(lab.folder("out"), "a.tsfsa");
      // The first byte comes after the source was found read-only, and the pipe is full until it is remounted: the last read comes later.
      const words = tsfsaArgv("savedir", "-z0", "--block-size", "1MiB", "-", point);
      const script =
        'point=$1 archive=$2; shift 2; "$@" | { head -c 1 > "$archive"; mount -o remount,rw "$point"; cat >> "$archive"; }';
      const result = await shell(script, [point, archive, ...words]);
      expect(result.stderr).toMatch(/became writable while it was read.*read-write at/);
      expect(result.status).toBe(3);
      await expectStatus(10, ["verify", archive]);
    });
  });

  it("a journal that needs replay is refused with status 5, and the image stays as it is", async () => {
    await withLab(async (lab) => {
      for (const recipe of [recipes.ext4, recipes.xfs]) {
        const image = await lab.filesystem(recipe);
        const mountpoint = await lab.mount(image);
        writeFileSync(join(mountpoint, "file"), "in the journal only");
        const dirty = lab.path("dirty.img");
        await must(["sync", "-f", mountpoint]);
        writeFileSync(join(mountpoint, "second"), "unsynced");
        await must(["cp", "--sparse=always", image, dirty]);
        const before = (await must(["sha256sum", dirty])).stdout.toString();
        const archive = lab.path("a.tsfsa");
        await expectStatus(5, ["savefs", archive, dirty]);
        expect(existsSync(archive)).toBe(false);
        expect((await must(["sha256sum", dirty])).stdout.toString()).toBe(before);
        expect(lab.leftovers()).toEqual([]);
      }
    });
  });
});

async function mountedDevice(lab: Lab): Promise<{ image: string; device: string; mountpoint: string }> {
  const image = await lab.filesystem(recipes.ext4);
  const device = await lab.attach(image);
  const mountpoint = await lab.mount(device);
  mkdirSync(join(mountpoint, "folder"));
  writeFileSync(join(mountpoint, "folder", "file"), "content");
  return { image, device, mountpoint };
}
