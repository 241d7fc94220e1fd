// savefs and saveimg --snapshot on logical volumes, under a writer.

import assert from "node:assert/strict";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { restored, saveUnderLoad } from "../support/load/save.ts";
import { run } from "../support/run.ts";
import { dataVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
    "lvm: ext4 is saved as it was at one instant, and nothing is left": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, 4 * MiB);
      const { words, predictedBytes } = await guest.changes(mounted, 12);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const save = await saveUnderLoad(load, [mounted], ["--snapshot", ...words], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      const [volume] = save.recorded.volumes;
      assert.equal(volume?.method, "lvm");
      guest.expectPeak(volume, predictedBytes);
      assert.equal(save.recorded.oneInstant, true);
      await guest.expectState(before);
    },

    "lvm: ext4 and xfs are saved as they were at one instant": async (guest) => {
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

    "lvm: an image, and the files in it, are of one instant": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const archive = await guest.imagesUnderLoad(load, [{ mounted, type: "ext4" }], ["--snapshot=lvm"]);
      await load.stop();
      const copy = guest.path("copy");
      const extracted = await tsfsa(["extract", "-q", "--to", copy, archive, "*", "!/lost+found"]);
      assert.equal(extracted.status, 0, extracted.stderr);
      assert.deepEqual(judge([copy]).faults, []);
      await guest.expectState(before);
    },

    "the live file system, saved with --allow-rw, is not of one instant": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, 8 * MiB);
      await guest.load([mounted], { pauseMs: 0 });
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
