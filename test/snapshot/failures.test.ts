// The providers that run tools, with tools that answer as the real ones did: whichever call fails, at once or after its work, nothing is left.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Cleanup } from "../../src/filesystem/cleanup.ts";
import { parseMountInfo } from "../../src/filesystem/mounts.ts";
import { dm } from "../../src/snapshot/dm.ts";
import { lvm } from "../../src/snapshot/lvm.ts";
import { lvmThin } from "../../src/snapshot/lvm-thin.ts";
import { removeOrphans } from "../../src/snapshot/orphans.ts";
import { thisOwner } from "../../src/snapshot/owner.ts";
import type { Provider, Snapshot, SnapshotRun } from "../../src/snapshot/provider.ts";
import { mappedWords } from "../../src/snapshot/reports.ts";
import type { Volume } from "../../src/snapshot/volume.ts";
import { Guard, type GuardItem } from "../../src/sys/guard.ts";
import { FakeDm } from "./fake-dm.ts";
import { FakeLvm } from "./fake-lvm.ts";
import type { FakeTools } from "./fake-tools.ts";

const kernel = vi.hoisted(() => ({ machine: undefined as FakeDm | undefined, loops: 0 }));

vi.mock("node:timers/promises", () => ({ setTimeout: () => Promise.resolve() }));
vi.mock("../../src/sys/loop.ts", () => ({
  attachLoop: () => {
    kernel.loops += 1;
    return { path: "/dev/loop7", close: () => (kernel.loops -= 1) };
  },
}));
vi.mock("../../src/sys/guard.ts", () => ({
  Guard: {
    hold: (items: readonly { readonly name: string }[]) => {
      for (const { name } of items) kernel.machine?.hold(name);
      const release = (keep: boolean) => {
        for (const { name } of items) kernel.machine?.release(name, keep);
        return Promise.resolve({ reason: "asked", heldMs: 1, failures: [] });
      };
      return Promise.resolve({ fd: 7, release });
    },
  },
}));

const folder = mkdtempSync(join(tmpdir(), "snapshot-failures-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  kernel.loops = 0;
});

const [mount] = parseMountInfo(Buffer.from("37 30 4094:0 / /mnt/data rw - ext4 /dev/mapper/data rw\n"), 0);

function volumeNamed(name: string, mapped: Omit<NonNullable<Volume["mapped"]>, "name">): Volume {
  return {
    path: folder,
    mountPoint: folder,
    type: "ext4",
    // Of no device there is.
    device: { major: 4094, minor: 0 },
    devicePath: `/dev/mapper/${name}`,
    sizeBytes: 400 << 20,
    mapped: { name, ...mapped },
    mount: mount as Volume["mount"],
  };
}

/** Of a process that is gone. */
const deadOwner = "999999999-1-00000000";

interface Case {
  readonly provider: Provider;
  readonly volume: Volume;
  readonly make: () => FakeTools;
}

const cases: readonly Case[] = [
  { provider: lvm, volume: volumeNamed("vg0-data", { kind: "lvm", isThin: false }), make: () => new FakeLvm() },
  {
    provider: lvmThin,
    volume: volumeNamed("vg0-data", { kind: "lvm", isThin: true }),
    make: () => new FakeLvm("thin"),
  },
  { provider: dm, volume: volumeNamed("data", { kind: "dm", isThin: false }), make: () => new FakeDm() },
];

function runOf(machine: FakeTools, { provider, volume }: Case, owner = thisOwner()): SnapshotRun {
  return {
    options: { maxFreezeMs: 1000, store: folder, ...(provider === dm ? { size: { bytes: 8 << 20 } } : {}) },
    owner,
    run: machine.run,
    written: [],
    volumes: [volume],
    step: () => undefined,
  };
}

async function begun(each: Case, machine: FakeTools, cleanup: Cleanup, owner?: string): Promise<Snapshot> {
  if (machine instanceof FakeDm) kernel.machine = machine;
  const found = await each.provider.detect(each.volume, runOf(machine, each, owner));
  if (!found.fits) throw new Error(found.reason);
  return found.begin(cleanup, 0);
}

/** All that a run does with a snapshot but reading it. */
async function wholeRun(each: Case, machine: FakeTools, keep = false): Promise<readonly string[]> {
  const cleanup = new Cleanup();
  try {
    const snapshot = await begun(each, machine, cleanup);
    await snapshot.prepare();
    if (snapshot.needsHold) await createHeld(snapshot);
    else await snapshot.create();
    const health = await snapshot.health(true);
    if (!health.valid) throw new Error(health.reason);
    return keep ? await snapshot.keep() : [];
  } finally {
    await cleanup.run();
  }
}

async function createHeld(snapshot: Snapshot): Promise<void> {
  const guard = await Guard.hold([snapshot.hold as GuardItem], 1000);
  try {
    await snapshot.create(guard.fd);
  } catch (error) {
    await guard.release(false);
    throw error;
  }
  await guard.release(true);
}

describe.each(cases)("provider $provider.method", (each) => {
  it.each([
    ["given back", false],
    ["kept", true],
  ])("leaves nothing, whichever command fails in a run whose snapshot is %s", async (_, keep) => {
    const plain = each.make();
    await wholeRun(each, plain, keep);
    if (keep) expect(plain.left()).not.toEqual([]);
    else expect(plain.left()).toEqual([]);
    let failures = 0;
    for (let call = 0; call < plain.calls.length; call++) {
      for (const after of [false, true]) {
        const machine = each.make();
        machine.failure = { call, after };
        const isFailed = await wholeRun(each, machine, keep).then(
          () => false,
          () => true,
        );
        if (isFailed) failures += 1;
        // One that was kept although a call failed was kept by a call that was made once more, or not needed.
        const where = `command ${call}: ${machine.calls[call]}, ${after ? "after" : "before"}`;
        if (isFailed || !keep) expect(machine.left(), where).toEqual([]);
        expect(kernel.loops, where).toBe(0);
      }
    }
    // Of each of the calls that count a failure is told: the report, what makes it, its status.
    expect(failures).toBeGreaterThanOrEqual(5);
  });
});

describe("provider dm", () => {
  const each = cases[2] as Case;

  it("moves the table below and gives it back, with two commands while the device is suspended", async () => {
    const machine = new FakeDm();
    await wholeRun(each, machine);
    const base = `data.tsfsa-${thisOwner()}-0`;
    expect(machine.calls.map((call) => call.replaceAll(base, "BASE"))).toEqual([
      "dmsetup version",
      "dmsetup table data",
      "dmsetup table --showkeys data",
      "dmsetup create BASE-real",
      "dmsetup load data",
      "dmsetup create BASE-snap",
      "dmsetup status BASE-snap",
      `dmsetup ${mappedWords.join(" ")}`,
      "dmsetup table --showkeys BASE-real",
      "dmsetup clear data",
      "dmsetup resume data",
      "dmsetup load data",
      "dmsetup remove BASE-snap",
      "dmsetup remove BASE-real",
    ]);
  });

  it.each([
    ["nothing was loaded yet", 0],
    ["the table was loaded and not active yet", 1],
    ["the snapshot was there", 2],
  ])(
    "gives a device whose name is longer than a snapshot's has room for its table back after a kill when %s",
    async (_, loads) => {
      const [mine, other] = ["one", "two"].map((end) => `${"n".repeat(100)}-${end}`) as [string, string];
      const machine = new FakeDm(mine);
      const table = "0 8 linear 254:16 0";
      // Another whose name begins alike, with a table of ours that is of no concern.
      machine.devices.set(other, { active: table, loaded: undefined, suspended: false });
      const killed = new Cleanup();
      const snapshot = await begun(
        { ...each, volume: volumeNamed(mine, { kind: "dm", isThin: false }) },
        machine,
        killed,
        deadOwner,
      );
      await snapshot.prepare();
      machine.hold(mine);
      if (loads > 0) await snapshot.create();
      if (loads > 1) machine.release(mine, true);
      const warn = (message: string): void => expect.unreachable(message);
      const [removed] = await removeOrphans(machine.run, { step: () => undefined, warn });
      expect(removed?.origin).toBe(mine);
      expect(machine.left()).toEqual([[other, { active: table, loaded: undefined, suspended: false }]]);
    },
  );

  it("says what the least store is", async () => {
    const run = { options: { maxFreezeMs: 1000, store: folder, size: { bytes: 1 << 20 } } };
    const found = await dm.detect(each.volume, { ...runOf(new FakeDm(), each), ...run });
    expect(found).toMatchObject({
      fits: false,
      reason: expect.stringContaining("expected at least 4 MiB") as string,
    });
  });

  it("keeps a second snapshot beside the first", async () => {
    const machine = new FakeDm();
    machine.devices.set("data.tsfsa-kept-0-real", {
      active: "0 8 linear 254:0 0",
      loaded: undefined,
      suspended: false,
    });
    const [sentence] = await wholeRun(each, machine, true);
    expect(sentence).toContain("data.tsfsa-kept-1");
    expect([...machine.devices.keys()].toSorted()).toEqual([
      "data",
      "data.tsfsa-kept-0-real",
      "data.tsfsa-kept-1-real",
      "data.tsfsa-kept-1-snap",
    ]);
  });
});

describe("provider lvm-thin", () => {
  const each = cases[1] as Case;

  it("makes a snapshot without a size, activated, and removes it", async () => {
    const machine = new FakeLvm("thin");
    await wholeRun(each, machine);
    const name = `data.tsfsa-${thisOwner()}-0`;
    expect(machine.calls).toContain(`lvcreate -y -s -kn -ay -n ${name} --addtag tsfsa.${thisOwner()} vg0/data`);
    expect(machine.calls.at(-1)).toBe(`lvremove -y vg0/${name}`);
  });

  it("is refused where the pool is nearly full, and given up before it is", async () => {
    const machine = new FakeLvm("thin");
    machine.poolPercent = ["4.92", "81.00"];
    await expect(begun(each, machine, new Cleanup())).rejects.toThrow(/full to 4.92 % \(metadata 81 %\)/);
    machine.poolPercent = ["4.92", "11.33"];
    const cleanup = new Cleanup();
    const snapshot = await begun(each, machine, cleanup);
    await snapshot.create();
    expect(await snapshot.health(false)).toEqual({ valid: true, usedBytes: 30932992, storeBytes: 1228800 * 512 });
    machine.poolStatus =
      "0 1228800 thin-pool 2 116/1024 960/960 - out_of_data_space discard_passdown error_if_no_space - 256";
    expect((await snapshot.health(false)).reason).toContain("runs full");
    machine.status = "0 819200 thin Fail";
    expect(await snapshot.health(true)).toMatchObject({ valid: false });
    await cleanup.run();
  });
});
