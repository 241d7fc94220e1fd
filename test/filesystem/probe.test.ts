import { closeSync, openSync, writeSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { probe } from "../../src/filesystem/probe.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { small } from "./support/recipes.ts";

requireOrSkip("loop");

/** An image with one DOS partition, from its first MiB on, that holds an ext2. */
async function partitioned(lab: Lab): Promise<string> {
  const image = lab.image("disk", 20 * 1024 * 1024);
  const content = await lab.filesystem(small.ext2);
  await must(["dd", `if=${content}`, `of=${image}`, "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"]);
  const record = Buffer.alloc(512);
  record[446 + 4] = 0x83; // type: Linux
  record.writeUInt32LE(2048, 446 + 8); // first sector
  record.writeUInt32LE(32_768, 446 + 12); // sectors
  record.writeUInt16LE(0xaa55, 510);
  const fd = openSync(image, "r+");
  writeSync(fd, record, 0, 512, 0);
  closeSync(fd);
  return image;
}

describe("probe", () => {
  test("shows every device with what it holds, where it is mounted and whether it can be written", () =>
    withLab(async (lab) => {
      const idle = await lab.attach(await lab.filesystem(small.ext4));
      const written = await lab.attach(await lab.filesystem(small.btrfs));
      const point = await lab.mount(written);
      const read = await lab.attach(await lab.filesystem(small.ext2));
      const readPoint = await lab.mount(read, { options: "ro" });
      const blank = await lab.attach(lab.image("blank", 1024 * 1024));
      const all = await probe();
      const of = (path: string) => all.find((device) => device.path === path);
      expect(of(idle)).toMatchObject({
        type: "ext4",
        label: "four",
        kind: "loop",
        mounts: [],
        writable: false,
        heldBy: [],
      });
      expect(of(idle)?.snapshot.method).toBe("none");
      expect(of(written)).toMatchObject({
        type: "btrfs",
        label: "butter",
        mounts: [{ mountPoint: Buffer.from(point), root: Buffer.from("/"), writable: true, pid: 0 }],
        writable: true,
        writableBecause: expect.stringContaining(point),
        snapshot: { method: "btrfs" },
      });
      expect(of(read)).toMatchObject({
        type: "ext2",
        mounts: [{ mountPoint: Buffer.from(readPoint) }],
        writable: false,
      });
      expect(of(blank)).toMatchObject({ type: null, label: null, uuid: null, usedBytes: null, sizeBytes: 1024 * 1024 });
      const df = await must(["df", "--output=used", "-B1", readPoint]);
      expect(of(read)?.usedBytes).toBe(Number(df.stdout.toString().split("\n")[1]));
      for (const device of [idle, written, read]) {
        const { stdout } = await must(["blkid", "-p", "-o", "value", "-s", "UUID", device]);
        expect(of(device)?.uuid).toBe(stdout.toString().trim());
        const size = await must(["blockdev", "--getsize64", device]);
        expect(of(device)?.sizeBytes).toBe(Number(size.stdout.toString()));
      }
    }));

  test("takes names of devices and images, and says which is missing", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.xfs);
      const device = await lab.attach(image);
      const [first, second] = await probe([image, device]);
      expect(first).toMatchObject({ path: image, kind: "image", major: 0, minor: 0, type: "xfs", heldBy: [device] });
      expect(second).toMatchObject({ path: device, type: "xfs", heldBy: [], major: 7 });
      await expect(probe(["/dev/shm/there-is-nothing"])).rejects.toMatchObject({ code: "SOURCE_MISSING" });
    }));

  test("tells a disk's partitions from the disk: mounts are theirs, but who can write one can write a part of the disk", () =>
    withLab(async (lab) => {
      const disk = await lab.attach(await partitioned(lab));
      await must(["partx", "--add", disk]);
      try {
        const partition = `${disk}p1`;
        const point = await lab.mount(partition);
        const [whole, part] = await probe([disk, partition]);
        expect(whole).toMatchObject({ kind: "loop", type: "dos", usage: "table", mounts: [], writable: true });
        expect(whole?.snapshot).toEqual({ method: "none", reason: "it holds no file system" });
        expect(part).toMatchObject({ kind: "partition", type: "ext2", writable: true, snapshot: { method: "freeze" } });
        expect(part?.mounts.map(({ mountPoint }) => Buffer.from(mountPoint).toString())).toEqual([point]);
        await lab.unmount(point);
      } finally {
        await must(["partx", "--delete", disk]);
      }
    }));

  test("shows labels that are not UTF-8 exactly", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.ext4);
      await must(["bash", "-c", `tune2fs -L $'a\\xff' "$1"`, "bash", image]);
      const [device] = await probe([image]);
      expect(device).toMatchObject({ label: null, labelBase64: Buffer.from([0x61, 0xff]).toString("base64") });
    }));
});
