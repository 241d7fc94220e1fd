// What lvs, dmsetup and btrfs print, captured on Debian 12 (lvm2 2.03.16, dmsetup 1.02.185, btrfs-progs 6.2), and the arithmetic of stores.

import { describe, expect, it } from "vitest";
import { below, parseSubvolumes } from "../../src/snapshot/btrfs-list.ts";
import { keptName, ownerLives, parseSnapshotName, snapshotName, stateOf, thisOwner } from "../../src/snapshot/owner.ts";
import {
  mapperName,
  parseMapped,
  parseLvs,
  parsePoolStatus,
  parseSnapshotStatus,
  tableSectors,
} from "../../src/snapshot/reports.ts";
import { aboutToOverflow, completeStoreBytes, growth, planStore } from "../../src/snapshot/sizing.ts";

const MiB = 1024 * 1024;

describe("reports of the tools", () => {
  it("reads the status of a snapshot", () => {
    expect(parseSnapshotStatus("0 819200 snapshot 9328/204800 48\n")).toEqual({
      valid: true,
      usedBytes: 9328 * 512,
      storeBytes: 204_800 * 512,
      metadataBytes: 48 * 512,
    });
    expect(parseSnapshotStatus("0 409600 snapshot-merge 16/106496 16")).toMatchObject({ valid: true, usedBytes: 8192 });
    for (const end of ["Invalid", "Overflow", "Merge failed", "Unknown"]) {
      expect(parseSnapshotStatus(`0 819200 snapshot ${end}`)).toEqual({
        valid: false,
        reason: `the kernel says: ${end}`,
      });
    }
    expect(parseSnapshotStatus("").valid).toBe(false);
  });

  it("reads the status of a thin pool", () => {
    const text = "0 1228800 thin-pool 2 116/1024 472/9600 - rw discard_passdown queue_if_no_space - 256";
    expect(parsePoolStatus(text)).toMatchObject({
      mode: "rw",
      needsCheck: false,
      dataShare: 472 / 9600,
      metadataShare: 116 / 1024,
    });
    const full = "0 1228800 thin-pool 2 116/1024 960/960 - out_of_data_space discard_passdown error_if_no_space - 256";
    expect(parsePoolStatus(full)).toMatchObject({ mode: "out_of_data_space", dataShare: 1 });
    expect(parsePoolStatus("0 1228800 thin-pool Fail")).toMatchObject({ mode: "Fail", needsCheck: true });
    expect(parsePoolStatus("0 8 linear 1:1 0")).toBeUndefined();
  });

  it("reads lvs, a volume of two segments once, and an empty report", () => {
    const row = {
      vg_name: "vg0",
      lv_name: "s",
      lv_attr: "swi-Ios---",
      origin: "data",
      lv_size: "104857600",
      lv_snapshot_invalid: "snapshot invalid",
    };
    const found = parseLvs(JSON.stringify({ report: [{ lv: [row, row] }] }));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ group: "vg0", name: "s", invalid: true, sizeBytes: 104_857_600, tags: [] });
    expect(parseLvs('{"report":[{"lv":[]}]}')).toEqual([]);
    expect(() => parseLvs("  No volume groups found")).toThrow(/JSON/);
  });

  it("reads devices of device-mapper and who uses them", () => {
    expect(parseMapped("data\t\tLIsw\t\ndata-real\tUUID\tL--w\tdata,snap\nNo devices found\n")).toEqual([
      { name: "data", uuid: "", isPending: true, users: [] },
      { name: "data-real", uuid: "UUID", isPending: false, users: ["data", "snap"] },
    ]);
  });

  it("names devices as device-mapper does", () => {
    expect(mapperName("vg0", "data-tsfsa")).toBe("vg0-data--tsfsa");
    expect(mapperName("my-vg", "pool", "tpool")).toBe("my--vg-pool-tpool");
    expect(tableSectors("0 100 linear 8:1 0\n100 50 linear 8:2 0\n")).toBe(150);
    expect(() => tableSectors("")).toThrow();
  });

  it("reads a list of subvolumes", () => {
    const text =
      "ID 256 gen 7 top level 5 path data\nID 257 gen 9 top level 256 path data/a b\nID 258 gen 7 top level 5 path data2\n";
    const all = parseSubvolumes(text);
    expect(all.map(({ path }) => path)).toEqual(["data", "data/a b", "data2"]);
    expect(below(all, "data").map(({ id }) => id)).toEqual([256, 257]);
    expect(
      parseSubvolumes("ID 256 gen 7 top level 5 path two\nlines\nID 257 gen 7 top level 5 path x\n").map(
        ({ path }) => path,
      ),
    ).toEqual(["two\nlines", "x"]);
  });
});

describe("owners", () => {
  it("tells this process from a dead one, from another boot, and from one with the same number", () => {
    const owner = thisOwner();
    expect(ownerLives(owner)).toBe(true);
    const [pid, start, boot] = owner.split("-");
    expect(ownerLives(`${pid}-${start}-deadbeef`)).toBe(false);
    expect(ownerLives(`${pid}-${Number(start) + 1}-${boot}`)).toBe(false);
    expect(ownerLives(`4194305-${start}-${boot}`)).toBe(false);
    expect(stateOf("kept")).toBe("kept");
  });

  it("finds the owner in a name", () => {
    const name = snapshotName("root-lv", thisOwner(), 3);
    expect(parseSnapshotName(name)).toEqual({ origin: "root-lv", owner: thisOwner(), serial: 3 });
    expect(parseSnapshotName("root-snapshot")).toBeUndefined();
    expect(snapshotName("x".repeat(127), thisOwner(), 4095).length).toBeLessThan(127);
  });
});

describe("names of what is kept", () => {
  it("are free ones", () => {
    const taken = new Set(["data.tsfsa-kept-0", "data.tsfsa-kept-1", "data.tsfsa-kept-3"]);
    const name = keptName("data", (each) => taken.has(each));
    expect(name).toBe("data.tsfsa-kept-2");
    expect(parseSnapshotName(name)).toEqual({ origin: "data", owner: "kept", serial: 2 });
    expect(keptName("", () => false)).toBe(".tsfsa-kept-0");
  });
});

describe("stores of changes", () => {
  const room = { originBytes: 400 * MiB, freeBytes: 10_000 * MiB, unitBytes: 4 * MiB };

  it("are complete where there is room", () => {
    expect(completeStoreBytes(400 * MiB)).toBe((102_400 + 400 + 2) * 4096);
    expect(planStore(room)).toEqual({ bytes: 404 * MiB, complete: true });
  });

  it("take a share where there is not, and what was asked for", () => {
    expect(planStore({ ...room, freeBytes: 200 * MiB })).toEqual({ bytes: 80 * MiB, complete: false });
    expect(planStore({ ...room, freeBytes: 10 * MiB })).toEqual({ bytes: 8 * MiB, complete: false });
    expect(planStore({ ...room, size: { percent: 10 } })).toEqual({ bytes: 40 * MiB, complete: false });
    expect(planStore({ ...room, size: { bytes: 5 * MiB } })).toEqual({ bytes: 8 * MiB, complete: false });
  });

  it("say why there can be none", () => {
    expect(planStore({ ...room, size: { percent: 100 }, freeBytes: 200 * MiB })).toBe(
      "it has room for 200 MiB, expected at least 400 MiB",
    );
    expect(planStore({ ...room, freeBytes: 3 * MiB })).toBe("it has room for 0 B, expected at least 4 MiB");
    expect(planStore({ ...room, unitBytes: MiB, size: { bytes: MiB } })).toMatch(/^--snapshot-size .* least 4 MiB$/);
    expect(planStore({ ...room, size: { bytes: 8 * MiB }, maxBytes: 4 * MiB })).toMatch(/^--snapshot-max .* 8 MiB$/);
  });

  it("grow before they are full, never beyond what is free or allowed", () => {
    const originBytes = 400 * MiB;
    const fill = { storeBytes: 100 * MiB, originBytes, bytesPerSecond: 0, unitBytes: 4 * MiB, freeBytes: 1000 * MiB };
    expect(growth({ ...fill, usedBytes: 60 * MiB })).toBe(0);
    expect(growth({ ...fill, usedBytes: 70 * MiB })).toBe(28 * MiB);
    expect(growth({ ...fill, usedBytes: 10 * MiB, bytesPerSecond: 5 * MiB })).toBe(200 * MiB);
    expect(growth({ ...fill, usedBytes: 70 * MiB, maxBytes: 110 * MiB })).toBe(8 * MiB);
    expect(growth({ ...fill, usedBytes: 70 * MiB, freeBytes: 3 * MiB })).toBe(0);
    expect(aboutToOverflow({ ...fill, usedBytes: 97 * MiB })).toBe(true);
    expect(aboutToOverflow({ ...fill, usedBytes: 90 * MiB })).toBe(false);
  });

  it("grow until they are complete, and may then be full", () => {
    const fill = { originBytes: 400 * MiB, bytesPerSecond: 50 * MiB, unitBytes: 4 * MiB, freeBytes: 10_000 * MiB };
    expect(growth({ ...fill, usedBytes: 10 * MiB, storeBytes: 100 * MiB })).toBe(304 * MiB);
    const complete = { ...fill, usedBytes: 404 * MiB, storeBytes: 404 * MiB };
    expect(growth(complete)).toBe(0);
    expect(aboutToOverflow(complete)).toBe(false);
  });
});
