// probe as users run it: over the machine, over images, as root and as an ordinary user; judged by blkid, findmnt and blockdev.

import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectStatus, jsonLines } from "../support/cli.ts";
import { recipes, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";
import { must } from "../support/run.ts";

requireOrSkip("root", "loop");

const nobody = { uid: 65_534 };

describe("probe", () => {
  it("shows what blkid and the mount table say of a device", async () => {
    await withLab(async (lab) => {
      const device = await lab.attach(await lab.filesystem(recipes.xfs));
      const point = await lab.mount(device);
      const found = jsonLines((await expectStatus(0, ["probe", "--json"])).stdout);
      const one = found.find((line) => line.type === "device" && line["path"] === device);
      const tag = async (name: string): Promise<string> =>
        (await must(["blkid", "-p", "-o", "value", "-s", name, device])).stdout.toString().trim();
      expect(one).toMatchObject({ holds: await tag("TYPE"), label: await tag("LABEL"), uuid: await tag("UUID") });
      expect(one).toMatchObject({ writable: true, snapshot: { method: "freeze" }, mounts: [{ path: point }] });
      const { stdout } = await must(["blockdev", "--getsize64", device]);
      expect(one?.["sizeBytes"]).toBe(Number(stdout.toString()));
      const table = (await expectStatus(0, ["probe", device])).stdout.toString().split("\n");
      expect(table[0]).toMatch(/^DEVICE +KIND +TYPE +LABEL/);
      expect(table[1]).toMatch(new RegExp(`^${device} +loop +xfs +xfs-data .* yes +freeze +${point}$`));
    });
  });

  it("changes nothing and leaves nothing", async () => {
    await withLab(async (lab) => {
      const image = await lab.filesystem(recipes.ext4);
      const before = (await must(["sha256sum", image])).stdout.toString();
      await expectStatus(0, ["probe", image]);
      expect((await must(["sha256sum", image])).stdout.toString()).toBe(before);
      expect(lab.leftovers()).toEqual([]);
    });
  });

  it("works for an ordinary user: images that may be read, devices as far as they can be seen", async () => {
    await withLab(async (lab) => {
      const open = await lab.filesystem(recipes.ext4);
      chmodSync(open, 0o644);
      const secret = await lab.filesystem(recipes.btrfs);
      chmodSync(secret, 0o600);
      const device = await lab.attach(await lab.filesystem(recipes.ext2));
      const point = await lab.mount(device);
      const { stdout } = await expectStatus(0, ["probe", "--json", open, secret, device], nobody);
      const [readable, unreadable, mounted] = jsonLines(stdout);
      expect(readable).toMatchObject({ readable: true, holds: "ext4", label: "root fs", kind: "image" });
      expect(unreadable).toMatchObject({
        readable: false,
        holds: null,
        label: null,
        sizeBytes: recipes.btrfs.sizeBytes,
      });
      expect(mounted).toMatchObject({ readable: false, holds: "ext2", mounts: [{ path: point }], writable: true });
      expect(mounted?.["sizeBytes"]).toBe(recipes.ext2.sizeBytes);
      const all = await expectStatus(0, ["probe"], nobody);
      expect(all.stdout.toString()).toContain(device);
    });
  });

  it("says which name is of nothing", async () => {
    const { stderr } = await expectStatus(2, ["probe", "/dev/there-is-nothing"]);
    expect(stderr).toBe("tsfsa: there is no such block device or image file: /dev/there-is-nothing\n");
    await expectStatus(2, ["probe", "/dev/null"]);
    await expectStatus(64, ["probe", ""]);
  });
});
