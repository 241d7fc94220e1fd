// savefs and saveimg --snapshot on thin volumes, under a writer. A full pool takes its toll of the volumes themselves: the snapshot must not come so far.

import assert from "node:assert/strict";
import { tsfsa } from "../support/cli.ts";
import { judge } from "../support/load/judge.ts";
import { saveUnderLoad, stallBytes } from "../support/load/save.ts";
import { must } from "../support/run.ts";
import { thinVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
    "lvm-thin: xfs and an image of it are saved as it was at one instant, and nothing is left": async (guest) => {
      const mounted = await thinVolume(guest, 400, 304, "xfs");
      guest.bulk(mounted, 4 * MiB);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      await guest.imagesUnderLoad(load, [{ mounted, type: "xfs" }], ["--snapshot=lvm-thin"]);
      const save = await saveUnderLoad(load, [mounted], ["--snapshot"], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      assert.equal(save.recorded.volumes[0]?.method, "lvm-thin");
      await guest.expectState(before);
    },

    "lvm-thin: a pool that is nearly full is refused before anything is made": async (guest) => {
      const mounted = await thinVolume(guest, 120, 200);
      await guest.ballast(mounted, 100);
      const before = await guest.state();
      const result = await tsfsa(["savefs", "--json", "--snapshot=lvm-thin", guest.path("archive"), mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_REFUSED/, result.stderr);
      assert.equal(result.status, 15);
      await guest.expectState(before);
    },

    "lvm-thin: a pool that fills while it is read ends the save before the volume loses anything": async (guest) => {
      const mounted = await thinVolume(guest, 200, 200);
      guest.bulk(mounted, stallBytes);
      const overwrite = await guest.ballast(mounted, 96);
      const load = await guest.load([mounted], { pauseMs: 2000 }, 1);
      const before = await guest.state();
      const save = guest.stalledSave([mounted], ["--snapshot=lvm-thin"]);
      await save.readable();
      for (let written = 0; written < 90 && (await poolShare()) < 0.955; written += 1) await overwrite(1024);
      guest.figures["poolPercent"] = Math.round((await poolShare()) * 1000) / 10;
      // Nobody reads what it saves: it ends all the same.
      assert.equal(await save.ended(), 14, save.said);
      assert.match(save.said, /SNAPSHOT_LOST/);
      // The pool has room again, and the volume has all that was written.
      await load.reach(load.finished() + 2);
      await load.stop();
      await must(["sync", "-f", mounted]);
      assert.deepEqual(judge([mounted]).faults, []);
      await guest.expectState(before);
    },
  },
});

/** Share of the pool's data that is in use. */
async function poolShare(): Promise<number> {
  const { stdout } = await must(["dmsetup", "status", "vg0-pool-tpool"]);
  const [, used = 0, size = 1] = (/ thin-pool \d+ \d+\/\d+ (\d+)\/(\d+) /.exec(stdout.toString()) ?? []).map(Number);
  return used / size;
}
