// The harness, the writer and the judge judged with the distribution's own tools: a copy of an LVM snapshot is of one instant, a copy of the live file system is not.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { judge } from "../support/load/judge.ts";
import { longestPauseMs, rate } from "../support/load/load.ts";
import { must } from "../support/run.ts";
import type { Guest, VolumeType } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;

async function volumeWithLoad(guest: Guest, type: VolumeType) {
  await guest.group("vg0", ["/dev/vda"]);
  const device = await guest.volume("vg0", "data", type === "xfs" ? 304 : 200);
  const mounted = await guest.filesystem(type, device);
  // What stands between the counters in the order of names: a copy takes its time over it.
  mkdirSync(join(mounted, "m-bulk"));
  for (let file = 0; file < 400; file += 1)
    writeFileSync(join(mounted, "m-bulk", String(file)), Buffer.alloc(20_000, file));
  return { mounted, load: await guest.load([mounted], { pauseMs: 0 }) };
}

async function snapshotIsOfOneInstant(guest: Guest, type: VolumeType): Promise<void> {
  const { mounted, load } = await volumeWithLoad(guest, type);
  const began = Date.now();
  const acknowledged = load.finished();
  await must(["lvcreate", "-y", "-s", "-n", "view", "-L", "64M", "vg0/data"]);
  const taken = Date.now();
  const last = load.finished();
  const view = await guest.mount("/dev/vg0/view", type === "xfs" ? "ro,nouuid" : "ro");
  const copy = guest.path("copy");
  mkdirSync(copy);
  await must(["cp", "-a", `${view}/.`, copy]);
  const verdict = judge([copy]);
  assert.deepEqual(verdict.faults, []);
  assert.ok(
    verdict.step >= acknowledged && verdict.step <= last + 1,
    `step ${verdict.step} of ${acknowledged} to ${last}`,
  );
  await load.reach(load.finished() + 20);
  const steps = load.steps();
  guest.figures["stepsBefore/s"] = rate(steps, 0, began) || rate(steps, steps[0]?.at ?? 0, began);
  guest.figures["stepsDuring/s"] = rate(steps, began, taken);
  guest.figures["pauseMs"] = longestPauseMs(steps, began, taken);
  await load.stop();
  // A killed writer leaves a prefix, too.
  assert.deepEqual(judge([mounted]).faults, []);
}

await inMachine(import.meta.url, {
  disks: [600 * MiB],
  scenarios: {
    "a copy of an LVM snapshot of ext4 is of one instant": (guest) => snapshotIsOfOneInstant(guest, "ext4"),
    "a copy of an LVM snapshot of xfs is of one instant": (guest) => snapshotIsOfOneInstant(guest, "xfs"),
    "a copy of the live file system is not of one instant": async (guest) => {
      const { mounted } = await volumeWithLoad(guest, "ext4");
      const copy = guest.path("copy");
      mkdirSync(copy);
      const { status } = await guest.copyInOrder(mounted, copy);
      // tar names what goes or changes under it.
      assert.ok(status <= 1, `tar: status ${status}`);
      assert.notDeepEqual(judge([copy]).faults, []);
    },
  },
});
