// savefs --snapshot on thin volumes, under a writer. A full pool takes its toll of the volumes themselves: the snapshot must not come so far.

import assert from "node:assert/strict";
import { tsfsa } from "../support/cli.ts";
import { saveUnderLoad, StalledSave, stallBytes } from "../support/load/save.ts";
import { must } from "../support/run.ts";
import type { Guest } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;

async function thinVolume(guest: Guest, poolMiB: number, sizeMiB: number): Promise<string> {
  await guest.group("vg0", ["/dev/vda"]);
  await must(["lvcreate", "-y", "--type", "thin-pool", "-L", `${poolMiB}M`, "-n", "pool", "vg0"]);
  await must(["lvcreate", "-y", "-V", `${sizeMiB}M`, "-n", "data", "--thinpool", "vg0/pool"]);
  return guest.filesystem("ext4", "/dev/vg0/data");
}

await inMachine(import.meta.url, {
  disks: [1024 * MiB],
  scenarios: {
    "lvm-thin: ext4 is saved as it was at one instant, and nothing is left": async (guest) => {
      const mounted = await thinVolume(guest, 400, 200);
      guest.bulk(mounted, 4 * MiB);
      const load = await guest.load([mounted]);
      const before = await guest.state();
      const save = await saveUnderLoad(load, [mounted], ["--snapshot"], (name) => guest.path(name));
      Object.assign(guest.figures, save.figures);
      assert.equal(save.recorded.volumes[0]?.method, "lvm-thin");
      await guest.expectState(before);
    },

    "lvm-thin: a pool that is nearly full is refused before anything is made": async (guest) => {
      const mounted = await thinVolume(guest, 120, 200);
      guest.bulk(mounted, 100 * MiB);
      await must(["sync", "-f", mounted]);
      const before = await guest.state();
      const result = await tsfsa(["savefs", "--json", "--snapshot=lvm-thin", guest.path("archive"), mounted]);
      assert.match(result.stdout.toString(), /SNAPSHOT_REFUSED/, result.stderr);
      guest.figures["status"] = result.status;
      await guest.expectState(before);
    },

    "lvm-thin: a pool that fills while it is read ends the save before the volume loses anything": async (guest) => {
      const mounted = await thinVolume(guest, 200, 200);
      guest.bulk(mounted, stallBytes);
      const ballast = { bytes: 96 * MiB, perStep: 256 * 1024 };
      const load = await guest.load([mounted], { ballast, pauseMs: 100 });
      const before = await guest.state();
      const save = new StalledSave([mounted], ["--snapshot=lvm-thin"]);
      guest.figures["status"] = (await save.ended()) ?? "none";
      assert.match(save.said, /SNAPSHOT_LOST/);
      await load.reach(load.finished() + 20);
      await guest.expectState(before);
    },
  },
});
