// Stores of thick LVM snapshots that fill, grow or overflow while they are read. What is tried depends on which is faster, the writer or the tools: on a machine
// that is slow or shared a scenario may not come about, so the gate leaves this file to `npm run test:vm`.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { recordOf, restored, StalledSave, stallBytes } from "../support/load/save.ts";
import { must, run } from "../support/run.ts";
import { dataVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;
/** Overwrites of a file of 64 MiB: what fills the store of a thick snapshot. */
const ballast = { bytes: 64 * MiB, perStep: 256 * 1024 };

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
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

    "lvm: dmeventd unmounting by force does not turn a full snapshot into an empty archive": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const save = new StalledSave([mounted], ["--snapshot=lvm", "--snapshot-size", "16M", "--snapshot-max", "16M"]);
      await save.until(async () => (await snapshots()).length > 0);
      await sleep(2000);
      // As where an administrator, or another version of LVM, has it watched.
      const [view = ""] = await snapshots();
      await must(["dmeventd"]);
      await must(["lvchange", "--monitor", "y", `vg0/${view}`]);
      await load.stop();
      await must(["dd", "if=/dev/zero", `of=${mounted}/overflow`, "bs=1M", "count=48", "conv=fsync", "status=none"]);
      const archive = guest.path("archive");
      guest.figures["status"] = (await save.finish(archive).catch(() => save.ended())) ?? "none";
      assert.match(save.said, /SNAPSHOT_LOST/);
      const verified = await tsfsa(["verify", archive]);
      assert.notEqual(verified.status, 0);
      await must(["rm", `${mounted}/overflow`]);
      assert.deepEqual(judge([mounted]).faults, []);
      process.kill(Number(readFileSync("/run/dmeventd.pid", "utf8")), "SIGKILL");
      await guest.expectState(before);
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

/** Names of the snapshots in vg0. */
async function snapshots(): Promise<string[]> {
  const { stdout } = await run(["lvs", "--noheadings", "-S", "lv_attr=~^[sS]", "-o", "lv_name", "vg0"]);
  return stdout
    .toString()
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
