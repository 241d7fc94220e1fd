// savefs --snapshot on logical volumes, under a writer.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { recordOf, restored, saveUnderLoad, StalledSave, stallBytes } from "../support/load/save.ts";
import { must, run } from "../support/run.ts";
import { dataVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;
/** Overwrites of a file of 64 MiB: what fills the store of a thick snapshot. */
const ballast = { bytes: 64 * MiB, perStep: 256 * 1024 };

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
    "lvm: ext4 is saved as it was at one instant, and nothing is left": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, 4 * MiB);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const save = await saveUnderLoad(load, [mounted], ["--snapshot"], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      assert.equal(save.recorded.volumes[0]?.method, "lvm");
      assert.equal(save.recorded.oneInstant, true);
      await guest.expectState(before);
    },

    "lvm: xfs is saved as it was at one instant": async (guest) => {
      const { mounted } = await dataVolume(guest, "xfs");
      guest.bulk(mounted, 4 * MiB);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const save = await saveUnderLoad(load, [mounted], ["--snapshot=lvm"], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      await guest.expectState(before);
    },

    "lvm: two volumes are saved as they were at one instant": async (guest) => {
      await guest.group("vg0", ["/dev/vda"]);
      const first = await guest.filesystem("ext4", await guest.volume("vg0", "first", 100));
      const second = await guest.filesystem("xfs", await guest.volume("vg0", "second", 304));
      const load = await guest.load([first, second]);
      const before = await guest.state();
      const save = await saveUnderLoad(load, [first, second], ["--snapshot=lvm"], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      assert.equal(save.recorded.oneInstant, true);
      await guest.expectState(before);
    },

    "lvm: a store that fills is grown while it is read": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const load = await guest.load([mounted], { ballast, pauseMs: 400 });
      const before = await guest.state();
      const save = new StalledSave([mounted], ["--snapshot=lvm", "--snapshot-size", "16M"]);
      await save.until(async () => (await snapshotMiB()) >= 32);
      const archive = guest.path("archive");
      assert.equal(await save.finish(archive), 0, save.said);
      const volume = recordOf(save.said).volumes[0];
      assert.ok((volume?.usedBytes ?? 0) > 16 * MiB, `used ${volume?.usedBytes}`);
      guest.figures["storeUsedKiB"] = Math.round((volume?.usedBytes ?? 0) / 1024);
      guest.figures["storeKiB"] = Math.round((volume?.storeBytes ?? 0) / 1024);
      guest.figures["writtenOverKiB"] = (load.finished() * ballast.perStep) / 1024;
      assert.deepEqual(judge(await restored(archive, 1, guest.path("copy"))).faults, []);
      await guest.expectState(before);
    },

    "lvm: a store that fills and may not grow ends the save, and not the volume": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const load = await guest.load([mounted], { ballast, pauseMs: 50 });
      const before = await guest.state();
      const words = ["--snapshot=lvm", "--snapshot-size", "12M", "--snapshot-max", "12M"];
      const save = new StalledSave([mounted], words);
      await save.until(() => save.said.includes("SNAPSHOT_LOST"));
      // The run ends when its reader takes what is under way.
      assert.equal(await save.finish(guest.path("archive")), 14);
      await load.reach(load.finished() + 20);
      await guest.expectState(before);
    },

    "lvm: an archive file is not made when the snapshot overflows": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      await guest.load([mounted], { ballast });
      const before = await guest.state();
      const archive = guest.path("archive");
      // The hook writes more than the store holds between the instant and the reading.
      const overflow = `cat >/dev/null; dd if=/dev/zero of=${mounted}/n-ballast bs=1M count=48 conv=notrunc,fsync status=none`;
      const words = [
        "--snapshot=lvm",
        "--snapshot-size",
        "8M",
        "--snapshot-max",
        "8M",
        "--hold",
        `echo ready; ${overflow}`,
      ];
      const result = await tsfsa(["savefs", "--json", ...words, archive, mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_LOST/, result.stderr);
      assert.notEqual(result.status, 0);
      assert.equal(existsSync(archive), false);
      await guest.expectState(before);
    },

    "the live file system, saved with --allow-rw, is not of one instant": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, 8 * MiB);
      await guest.load([mounted]);
      const archive = guest.path("archive");
      const result = await tsfsa(["savedir", "--json", "--allow-rw", archive, mounted]);
      // Files came and went: they are named.
      assert.equal(result.status, 1, result.stderr);
      const { faults } = judge(await restored(archive, 1, guest.path("copy"), result.status));
      guest.figures["faults"] = faults.length;
      guest.figures["named"] = result.stdout.toString().split("ENTRY_").length - 1;
      assert.notDeepEqual(faults, []);
    },

    "merge: the volume goes back to the snapshot that was kept": async (guest) => {
      const { mounted, device } = await dataVolume(guest, "ext4");
      const load = await guest.load([mounted]);
      const created = await tsfsa(["snapshot", "create", "--json", mounted]);
      assert.equal(created.status, 0, created.stderr);
      const reached = load.finished();
      await load.reach(reached + 50);
      await load.stop();
      await guest.unmount(mounted);
      const [name = ""] = /vg0\/data\.tsfsa-[0-9a-z-]+/.exec(created.stdout.toString()) ?? [];
      const merged = await tsfsa(["snapshot", "merge", "--yes", name]);
      assert.equal(merged.status, 0, merged.stderr);
      const again = await guest.mount(device);
      const verdict = judge([again]);
      assert.deepEqual(verdict.faults, []);
      assert.ok(verdict.step <= reached + 1, `step ${verdict.step}, the snapshot was taken before ${reached}`);
      assert.equal((await run(["lvs", name])).status, 5);
    },
  },
});

/** Size of the only snapshot in vg0. */
async function snapshotMiB(): Promise<number> {
  const { stdout } = await must([
    "lvs",
    "--noheadings",
    "--units",
    "b",
    "--nosuffix",
    "-S",
    "lv_attr=~^[sS]",
    "-o",
    "lv_size",
    "vg0",
  ]);
  return Number(stdout.toString().trim()) / MiB;
}
