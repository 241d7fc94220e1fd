// savefs and saveimg --snapshot on a device of device-mapper without LVM: the table is swapped below the mounted file system, and back.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { type RecordedVolume, saveUnderLoad } from "../support/load/save.ts";
import { must } from "../support/run.ts";
import type { Guest, VolumeType } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;

const sectors = 320 * 2048;

/** A linear device over a disk, as any stack of device-mapper may end, and a place for the store of changes. */
async function linearVolume(
  guest: Guest,
  type: VolumeType = "ext4",
  { name = "data", disk = "/dev/vda" } = {},
): Promise<{ readonly mounted: string; readonly store: string }> {
  await guest.mapped(name, `0 ${sectors} linear ${disk} 0`);
  const mounted = await guest.filesystem(type, `/dev/mapper/${name}`);
  const store = guest.path("store");
  mkdirSync(store);
  return { mounted, store };
}

await inMachine(import.meta.url, {
  disks: [400 * MiB, 400 * MiB],
  scenarios: {
    "dm: ext4 and xfs, and images of them, are saved as they were at one instant, and the tables are what they were":
      async (guest) => {
        const { mounted, store } = await linearVolume(guest);
        const { mounted: other } = await linearVolume(guest, "xfs", { name: "other", disk: "/dev/vdb" });
        guest.bulk(mounted, 4 * MiB);
        const changes = await guest.changes(mounted, 12);
        const volumes = [mounted, other];
        const load = await guest.load(volumes);
        const before = await guest.state();
        const method = ["--snapshot=dm", "--snapshot-store", store, "--snapshot-size", "64M"];
        const words = [...method, ...changes.words];
        await guest.imagesUnderLoad(
          load,
          [
            { mounted, type: "ext4" },
            { mounted: other, type: "xfs" },
          ],
          method,
        );
        const save = await saveUnderLoad(load, volumes, words, (name) => guest.path(name));
        Object.assign(guest.figures, save.figures);
        assert.equal(save.recorded.oneInstant, true);
        guest.expectPeak(save.recorded.volumes[0] as RecordedVolume, changes.predictedBytes);
        await guest.expectState(before);
        for (const each of volumes) await guest.unmount(each);
        await must(["e2fsck", "-fn", "/dev/mapper/data"]);
        await must(["xfs_repair", "-n", "/dev/mapper/other"]);
      },

    "dm: a store on the file system that is saved is refused": async (guest) => {
      const { mounted } = await linearVolume(guest);
      const before = await guest.state();
      const words = ["--snapshot=dm", "--snapshot-store", mounted];
      const result = await tsfsa(["savefs", "--json", ...words, guest.path("archive"), mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_REFUSED/, result.stderr);
      guest.figures["status"] = result.status;
      await guest.expectState(before);
    },

    "dm: a store that overflows ends the save without an archive, and the table is what it was": async (guest) => {
      const { mounted, store } = await linearVolume(guest);
      const changes = await guest.changes(mounted, 12);
      const before = await guest.state();
      const archive = guest.path("archive");
      const words = ["--snapshot=dm", "--snapshot-store", store, "--snapshot-size", "8M", ...changes.words];
      const result = await tsfsa(["savefs", "--json", ...words, archive, mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_LOST/, result.stderr);
      assert.equal(result.status, 14);
      assert.equal(existsSync(archive), false);
      await guest.expectState(before);
    },

    "dm: a device that was left suspended, its guard killed too, goes on after cleanup": async (guest) => {
      const { mounted } = await linearVolume(guest);
      const before = await guest.state();
      const real = "data.tsfsa-4242-1000-0badc0de-0-real";
      const table = (await must(["dmsetup", "table", "data"])).stdout.toString().trim();
      await must(["dmsetup", "create", real, "--table", table]);
      await must(["dmsetup", "suspend", "data"]);
      await must(["dmsetup", "load", "data", "--table", `0 ${sectors} snapshot-origin /dev/mapper/${real}`]);
      try {
        const cleaned = await tsfsa(["cleanup"]);
        assert.equal(cleaned.status, 0, cleaned.stderr);
        const { stdout } = await must(["dmsetup", "info", "-c", "--noheadings", "-o", "suspended", "data"]);
        assert.equal(stdout.toString().trim(), "Active");
      } finally {
        // What follows would wait for ever.
        await must(["dmsetup", "resume", "data"]);
      }
      await must(["touch", `${mounted}/after`]);
      await guest.expectState(before);
    },

    "dm: the device goes back to the snapshot that was kept": async (guest) => {
      const { mounted, store } = await linearVolume(guest);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const words = ["--method", "dm", "--snapshot-store", store, "--snapshot-size", "64M"];
      const created = await tsfsa(["snapshot", "create", "--json", ...words, mounted]);
      assert.equal(created.status, 0, created.stderr);
      const reached = load.finished();
      await load.reach(reached + 50);
      await load.stop();
      await guest.unmount(mounted);
      const [name = ""] = /data\.tsfsa-kept-\d+/.exec(created.stdout.toString()) ?? [];
      const merged = await tsfsa(["snapshot", "merge", "--yes", name]);
      assert.equal(merged.status, 0, merged.stderr);
      const verdict = judge([await guest.mount("/dev/mapper/data", "noatime", mounted)]);
      assert.deepEqual(verdict.faults, []);
      assert.ok(verdict.step <= reached + 1, `step ${verdict.step}, the snapshot was taken before ${reached}`);
      await guest.expectState(before);
    },
  },
});
