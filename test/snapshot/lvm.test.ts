// The lvm provider with tools that answer as the real ones did, and fail where a test says so.

import { describe, expect, it } from "vitest";
import { Cleanup } from "../../src/filesystem/cleanup.ts";
import { parseMountInfo } from "../../src/filesystem/mounts.ts";
import type { ToolRunner } from "../../src/filesystem/recreate/tools.ts";
import { lvm } from "../../src/snapshot/lvm.ts";
import { mostHeldMs } from "../../src/snapshot/lvm-volume.ts";
import { findSnapshots, removeOrphans } from "../../src/snapshot/orphans.ts";
import type { Snapshot, SnapshotRun } from "../../src/snapshot/provider.ts";
import { snapshotName, thisOwner } from "../../src/snapshot/owner.ts";
import type { Volume } from "../../src/snapshot/volume.ts";
import { FakeLvm } from "./fake-lvm.ts";

const [mount] = parseMountInfo(Buffer.from("37 30 253:0 / /mnt/data rw - ext4 /dev/mapper/vg0-data rw\n"), 0);
const volume: Volume = {
  path: "/mnt/data",
  mountPoint: "/mnt/data",
  type: "ext4",
  device: { major: 253, minor: 0 },
  devicePath: "/dev/mapper/vg0-data",
  sizeBytes: 400 << 20,
  mapped: { name: "vg0-data", kind: "lvm", isThin: false },
  mount: mount as Volume["mount"],
};

function runWith(fake: FakeLvm, options: Partial<SnapshotRun["options"]> = {}): SnapshotRun {
  return {
    options: { maxFreezeMs: 1000, ...options },
    owner: thisOwner(),
    run: fake.run,
    written: [],
    volumes: [volume],
    step: () => undefined,
  };
}

async function begun(
  fake: FakeLvm,
  cleanup: Cleanup,
  options: Partial<SnapshotRun["options"]> = {},
): Promise<Snapshot> {
  const found = await lvm.detect(volume, runWith(fake, options));
  if (!found.fits) throw new Error(found.reason);
  return found.begin(cleanup, 0);
}

/** All that a run does with a snapshot but reading it. */
async function wholeRun(fake: FakeLvm): Promise<void> {
  const cleanup = new Cleanup();
  try {
    const snapshot = await begun(fake, cleanup);
    await snapshot.prepare();
    await snapshot.create();
    const health = await snapshot.health(true);
    if (!health.valid) throw new Error(health.reason);
  } finally {
    await cleanup.run();
  }
}

describe("the lvm provider", () => {
  it("makes a snapshot that cannot overflow, tagged with its owner and without dmeventd, and removes it", async () => {
    const fake = new FakeLvm();
    await wholeRun(fake);
    const created = fake.calls.find((call) => call.startsWith("lvcreate"));
    const name = `data.tsfsa-${thisOwner()}-0`;
    // 102,400 chunks, 400 of metadata, 2: rounded up to extents of 4 MiB.
    expect(created).toBe(
      `lvcreate -y -s -n ${name} -L ${404 << 20}b --monitor n --addtag tsfsa.${thisOwner()} vg0/data`,
    );
    expect(fake.calls.at(-1)).toBe(`lvremove -y vg0/${name}`);
    expect(fake.snapshots.size).toBe(0);
  });

  it.each([
    ["0 819200 snapshot Invalid", "Invalid"],
    ["0 819200 snapshot Overflow", "Overflow"],
    ["0 819200 linear 254:0 2048", "no snapshot any more"],
  ])("takes %s for the end of the snapshot", async (status, word) => {
    const fake = new FakeLvm();
    const cleanup = new Cleanup();
    const snapshot = await begun(fake, cleanup);
    await snapshot.create();
    fake.status = status;
    expect(await snapshot.health(true)).toMatchObject({
      valid: false,
      reason: expect.stringContaining(word) as string,
    });
    await cleanup.run();
  });

  it("grows a store that fills, and gives up when it may not", async () => {
    const fake = new FakeLvm();
    const cleanup = new Cleanup();
    const snapshot = await begun(fake, cleanup, { size: { bytes: 100 << 20 }, maxBytes: 150 << 20 });
    await snapshot.create();
    fake.status = "0 819200 snapshot 150000/204800 48";
    expect(await snapshot.health(false)).toMatchObject({ valid: true });
    expect(fake.calls.at(-1)).toMatch(/^lvextend --config activation\/monitoring=0 -y -L \+\d+b vg0\/data\.tsfsa-/);
    fake.status = "0 819200 snapshot 306000/307200 48";
    const health = await snapshot.health(false);
    expect(health.valid).toBe(true);
    expect(health.reason).toContain("cannot grow");
    await cleanup.run();
  });

  it("refuses when the group has no room", async () => {
    const fake = new FakeLvm();
    fake.freeBytes = 0;
    expect(await lvm.detect(volume, runWith(fake))).toMatchObject({ fits: false });
  });
});

describe("the time for which a volume is suspended", () => {
  it("is the most that the samples allow", () => {
    const samples = (text: string): Parameters<typeof mostHeldMs>[0] =>
      text.split(" ").map((word) => ({ atMs: Number.parseInt(word), isHeld: word.endsWith("!") }));
    expect(mostHeldMs(samples("0 2 4! 6 8! 30 32"))).toBe(28);
    expect(mostHeldMs(samples("5! 9!"))).toBe(4);
    // None saw it.
    expect(mostHeldMs(samples("0 2 19 21"))).toBe(17);
    expect(mostHeldMs([])).toBe(0);
  });
});

describe("orphans", () => {
  it("finds the origin of one that is half made and whose name has no room for all of it: the volume that is suspended", async () => {
    const [one, two] = ["one", "two"].map((end) => `${"n".repeat(70)}-${end}`) as [string, string];
    const snapshot = snapshotName(two, "999999999-1-00000000", 0);
    const row = (lv_name: string, lv_attr: string, lv_tags = ""): object => ({
      vg_name: "vg0",
      lv_name,
      lv_attr,
      lv_tags,
    });
    const half = row(snapshot, "-wi-i-----", "tsfsa.999999999-1-00000000");
    const lv = [row(one, "-wi-ao----"), row(two, "-wi-so----"), half];
    const run: ToolRunner = ({ program }) =>
      Promise.resolve({ status: 0, stdout: program === "lvs" ? JSON.stringify({ report: [{ lv }] }) : "", stderr: "" });
    expect(await findSnapshots(run)).toMatchObject([
      { name: `vg0/${snapshot}`, origin: `vg0/${two}`, state: "orphan" },
    ]);
  });

  it("removes what a dead owner left, and nothing of the living, the kept and others", async () => {
    const fake = new FakeLvm();
    const dead = "999999999-1-00000000";
    const mine = `data.tsfsa-${thisOwner()}-0`;
    fake.snapshots.set(`data.tsfsa-${dead}-0`, [`tsfsa.${dead}`]);
    fake.snapshots.set(mine, [`tsfsa.${thisOwner()}`]);
    fake.snapshots.set(`data.tsfsa-${dead}-1`, ["tsfsa.kept"]);
    fake.snapshots.set("nightly", []);
    fake.snapshots.set("other", [`tsfsa.${dead}`]);
    const states = (await findSnapshots(fake.run)).map(({ name, state }) => [name, state]);
    expect(states).toEqual([
      [`vg0/data.tsfsa-${dead}-0`, "orphan"],
      [`vg0/${mine}`, "running"],
      [`vg0/data.tsfsa-${dead}-1`, "kept"],
    ]);
    const removed = await removeOrphans(fake.run, {
      step: () => undefined,
      warn: (message) => expect.unreachable(message),
    });
    expect(removed.map(({ name }) => name)).toEqual([`vg0/data.tsfsa-${dead}-0`]);
    expect([...fake.snapshots.keys()]).toEqual([mine, `data.tsfsa-${dead}-1`, "nightly", "other"]);
  });
});
