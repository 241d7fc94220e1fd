// Stores of thick LVM snapshots that fill, grow or overflow while they are read. What fills them goes on only when what it waits for has come about: so
// nothing here depends on which is faster, the writer or the tools.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { recordOf, restored, stallBytes } from "../support/load/save.ts";
import { must, run } from "../support/run.ts";
import { dataVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;
/** A writer that changes little beside what a scenario writes on purpose. */
const slow = { pauseMs: 2000 };

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
    "lvm: a store that fills is grown while it is read": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const overwrite = await guest.ballast(mounted, 32);
      await guest.load([mounted], slow, 1);
      const before = await guest.state();
      const save = guest.stalledSave([mounted], ["--snapshot=lvm", "--snapshot-size", "16M", "--snapshot-max", "64M"]);
      await save.until(async () => (await store()) !== undefined);
      for (let written = 0; written < 20; written += 1) {
        // Less room than this is an invitation to grow.
        await save.until(async () => (await roomMiB()) > 4);
        await overwrite(1024);
      }
      assert.equal(await monitored(), "not monitored", save.said);
      const archive = guest.path("archive");
      assert.equal(await save.finish(archive), 0, save.said);
      const { usedBytes = 0, storeBytes = 0 } = recordOf(save.said).volumes[0] ?? {};
      assert.ok(usedBytes > 20 * MiB, `used ${usedBytes}`);
      guest.figures["storeUsedKiB"] = usedBytes / 1024;
      guest.figures["storeKiB"] = storeBytes / 1024;
      assert.deepEqual(judge(await restored(archive, 1, guest.path("copy"))).faults, []);
      await guest.expectState(before);
    },

    "lvm: a store that fills and may not grow ends the save, and not the volume": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const overwrite = await guest.ballast(mounted, 32);
      const load = await guest.load([mounted], slow, 1);
      const before = await guest.state();
      const save = guest.stalledSave([mounted], ["--snapshot=lvm", "--snapshot-size", "12M", "--snapshot-max", "12M"]);
      await save.until(async () => (await store()) !== undefined);
      while ((await roomMiB()) > 0.3) await overwrite(128);
      // Nobody reads what it saves: it ends all the same.
      assert.equal(await save.ended(), 14, save.said);
      assert.match(save.said, /SNAPSHOT_LOST/);
      guest.figures["givenUpBeforeItWasLost"] = String(save.said.includes("is given up before it is lost"));
      await load.reach(load.finished() + 2);
      await guest.expectState(before);
    },

    "lvm: an archive file is not made when the snapshot overflows": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      const changes = await guest.changes(mounted, 24);
      const before = await guest.state();
      const archive = guest.path("archive");
      const words = ["--snapshot=lvm", "--snapshot-size", "8M", "--snapshot-max", "8M", ...changes.words];
      const result = await tsfsa(["savefs", "--json", ...words, archive, mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_LOST/, result.stderr);
      assert.equal(result.status, 14);
      assert.equal(existsSync(archive), false);
      await guest.expectState(before);
    },

    "lvm: dmeventd unmounting by force does not turn a full snapshot into an empty archive": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      const overwrite = await guest.ballast(mounted, 32);
      const load = await guest.load([mounted], slow, 1);
      const before = await guest.state();
      const save = guest.stalledSave([mounted], ["--snapshot=lvm", "--snapshot-size", "16M", "--snapshot-max", "16M"]);
      await save.until(async () => (await store()) !== undefined);
      // It reads: the snapshot is mounted, and made in full.
      await save.readable();
      const [view = ""] = await snapshots();
      // As where an administrator, or another version of LVM, has it watched, and has a look at it. LVM starts dmeventd by itself.
      await must(["lvchange", "--monitor", "y", `vg0/${view}`]);
      const look = guest.path("look");
      await guest.mount(`/dev/vg0/${view}`, "ro", look);
      await load.stop();
      await overwrite(24 * 1024);
      const deadline = Date.now() + 600_000;
      while (isMounted(look)) {
        assert.ok(Date.now() < deadline, `it is not unmounted: ${save.said}`);
        await sleep(100);
      }
      guest.forget(look);
      const archive = guest.path("archive");
      assert.equal(await save.finish(archive), 14, save.said);
      assert.match(save.said, /SNAPSHOT_LOST/);
      const verified = await tsfsa(["verify", archive]);
      assert.notEqual(verified.status, 0);
      assert.deepEqual(judge([mounted]).faults, []);
      await guest.expectState(before);
    },
  },
});

/** Fill of the only store of changes, in MiB; undefined: there is none. */
async function store(): Promise<{ readonly used: number; readonly size: number } | undefined> {
  const { stdout } = await run(["dmsetup", "status", "--target", "snapshot"]);
  const [, used, size] = / (\d+)\/(\d+) \d+\s*$/.exec(stdout.toString()) ?? [];
  return used === undefined ? undefined : { used: Number(used) / 2048, size: Number(size) / 2048 };
}

async function roomMiB(): Promise<number> {
  const { used, size } = (await store()) ?? { used: 0, size: 0 };
  return size - used;
}

/** Names of the snapshots in vg0. */
async function snapshots(): Promise<string[]> {
  return report("lv_name");
}

/** What LVM says of whether dmeventd watches the snapshot. */
async function monitored(): Promise<string | undefined> {
  return (await report("seg_monitor"))[0];
}

/** A field of each snapshot in vg0. */
async function report(field: string): Promise<string[]> {
  const { stdout } = await must(["lvs", "--noheadings", "-S", "lv_attr=~^[sS]", "-o", field, "vg0"]);
  return stdout
    .toString()
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function isMounted(path: string): boolean {
  return readFileSync("/proc/self/mounts", "utf8").includes(` ${path} `);
}
