// What a killed run leaves behind is found and removed by `tsfsa cleanup` and by the next run, and nothing else is touched. The run is killed after
// calls of a tool (TSFSA_TEST_KILLS=all: after each): on PATH stand scripts of the tools' names, which do the real thing and then kill who called them.

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectStatus, tsfsa } from "../support/cli.ts";
import type { Load } from "../support/load/load.ts";
import { stallBytes } from "../support/load/save.ts";
import { must, run } from "../support/run.ts";
import { dataVolume, type Guest, thinVolume } from "./harness/guest.ts";
import { inMachine } from "./harness/in-machine.ts";

const MiB = 1024 * 1024;
const tools = ["lvs", "lvcreate", "lvremove", "lvchange", "dmsetup", "udevadm"];

/** Runs savefs so that it is killed after its n-th call of a tool; tells which that was, or undefined when there were fewer. */
async function killedAfter(call: number, guest: Guest, words: readonly string[]): Promise<string | undefined> {
  const folder = guest.path("tools");
  mkdirSync(folder);
  const { stdout } = await must(["bash", "-c", `type -P ${tools.join(" ")}`]);
  const paths = stdout.toString().split("\n");
  for (const [index, tool] of tools.entries()) {
    // Without a process of its own: there are many calls, and processes cost an emulated machine much.
    const script = `#!/bin/bash
${paths[index]} "$@"; status=$?
echo "${tool} $*" >>${folder}/calls
mapfile -t calls <${folder}/calls
if [ \${#calls[@]} = ${call} ]; then echo "${tool} $*" >${folder}/killed; kill -9 $PPID; fi
exit $status
`;
    writeFileSync(join(folder, tool), script);
    chmodSync(join(folder, tool), 0o755);
  }
  const { status, stderr } = await tsfsa(["savefs", ...words], { env: { PATH: `${folder}:${process.env["PATH"]}` } });
  if (existsSync(join(folder, "killed"))) return readFileSync(join(folder, "killed"), "utf8").trim();
  assert.equal(status, 0, stderr);
  return undefined;
}

/** Calls from one kill to the next: a sample, or all of them. */
const callsBetween = process.env["TSFSA_TEST_KILLS"] === "all" ? 1 : 5;

/** Kills a save after one call and another; after each, cleanup must bring the machine back to what it was, with the writer at work. */
async function killEverywhere(guest: Guest, load: Load, words: readonly string[]): Promise<void> {
  const before = await guest.state();
  let dirty = 0;
  let kills = 0;
  for (let call = callsBetween; ; call += callsBetween) {
    const killed = await killedAfter(call, guest, ["--overwrite", ...words]);
    if (killed === undefined) break;
    kills += 1;
    console.log(`killed after call ${call}: ${killed}`);
    // What holds devices for the killed run gives them back by itself.
    await settle(load);
    await run(["udevadm", "settle"]);
    if (different(before, await guest.state())) dirty += 1;
    const cleaned = await tsfsa(["cleanup"]);
    assert.equal(cleaned.status, 0, `after ${killed}: ${cleaned.stderr}`);
    await run(["udevadm", "settle"]);
    assert.deepEqual((await guest.state()).toSorted(), before.toSorted(), `after ${killed}`);
  }
  assert.ok(dirty > 0, `none of ${kills} kills left anything`);
  guest.figures["kills"] = kills;
  guest.figures["killsThatLeftSomething"] = dirty;
}

/** The writer goes on: nothing is suspended or frozen. */
async function settle(load: Load): Promise<void> {
  await load.reach(load.finished() + 3);
}

function different(one: readonly string[], other: readonly string[]): boolean {
  return one.toSorted().join("\n") !== other.toSorted().join("\n");
}

await inMachine(import.meta.url, {
  disks: [1024 * MiB, 400 * MiB],
  scenarios: {
    "lvm: killed after calls of tools, cleanup leaves nothing": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      const load = await guest.load([mounted], { pauseMs: 50 });
      await killEverywhere(guest, load, ["--snapshot=lvm", guest.path("archive"), mounted]);
    },

    "lvm-thin: killed after calls of tools, cleanup leaves nothing": async (guest) => {
      const mounted = await thinVolume(guest, 200, 160);
      const load = await guest.load([mounted], { pauseMs: 50 });
      await killEverywhere(guest, load, ["--snapshot=lvm-thin", guest.path("archive"), mounted]);
    },

    "dm: killed after calls of tools, cleanup leaves nothing": async (guest) => {
      await guest.mapped("data", `0 ${200 * 2048} linear /dev/vdb 0`);
      const mounted = await guest.filesystem("ext4", "/dev/mapper/data");
      const store = guest.path("store");
      mkdirSync(store);
      const load = await guest.load([mounted], { pauseMs: 50 });
      const words = ["--snapshot=dm", "--snapshot-store", store, "--snapshot-size", "32M"];
      await killEverywhere(guest, load, [...words, guest.path("archive"), mounted]);
    },

    "lvm: the next run removes what a killed one left, also from before the last boot, and no snapshot of others":
      async (guest) => {
        const { mounted } = await dataVolume(guest, "ext4");
        await must(["lvcreate", "-y", "-s", "-n", "mine", "-L", "16M", "--addtag", "weekly", "vg0/data"]);
        const load = await guest.load([mounted]);
        const before = await guest.state();
        // A name and tag as a run of an earlier boot gives them.
        const name = "data.tsfsa-4242-1000-0badc0de-0";
        await must([
          "lvcreate",
          "-y",
          "-s",
          "-n",
          name,
          "-L",
          "16M",
          "--addtag",
          "tsfsa.4242-1000-0badc0de",
          "vg0/data",
        ]);
        await expectStatus(0, ["savefs", "--snapshot=lvm", guest.path("archive"), mounted]);
        await load.reach(load.finished() + 3);
        await guest.expectState(before);
      },

    "lvm: a run that is terminated while it reads leaves nothing": async (guest) => {
      const { mounted } = await dataVolume(guest, "ext4");
      guest.bulk(mounted, stallBytes);
      await guest.load([mounted], { pauseMs: 20 });
      const before = await guest.state();
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
        const save = guest.stalledSave([mounted], ["--snapshot=lvm"]);
        await save.readable();
        assert.ok(different(before, await guest.state()));
        process.kill(save.pid, signal);
        guest.figures[signal] = (await save.ended()) ?? "killed";
        await guest.expectState(before);
      }
    },
  },
});
