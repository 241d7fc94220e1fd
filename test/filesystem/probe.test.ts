import { describe, expect, test } from "vitest";
import { probe } from "../../src/filesystem/probe.ts";
import { withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";
import { small } from "./support/recipes.ts";

requireOrSkip("loop");

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
      expect(of(idle)).toMatchObject({ type: "ext4", label: "four", mountPoints: [], writable: false, heldBy: [] });
      expect(of(written)).toMatchObject({ type: "btrfs", label: "butter", mountPoints: [point], writable: true });
      expect(of(read)).toMatchObject({ type: "ext2", mountPoints: [readPoint], writable: false });
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
      expect(first).toMatchObject({ path: image, type: "xfs", heldBy: [device] });
      expect(second).toMatchObject({ path: device, type: "xfs", heldBy: [], major: 7 });
      await expect(probe(["/dev/shm/there-is-nothing"])).rejects.toMatchObject({ code: "SOURCE_MISSING" });
    }));

  test("shows labels that are not UTF-8 exactly", () =>
    withLab(async (lab) => {
      const image = await lab.filesystem(small.ext4);
      await must(["bash", "-c", `tune2fs -L $'a\\xff' "$1"`, "bash", image]);
      const [device] = await probe([image]);
      expect(device).toMatchObject({ label: null, labelBase64: Buffer.from([0x61, 0xff]).toString("base64") });
    }));
});
