import { describe, expect, test } from "vitest";
import { mapperFactsOf } from "../../src/filesystem/kind.ts";
import { type SnapshotFacts, snapshotMethodFor } from "../../src/filesystem/snapshot-method.ts";

const id = "a".repeat(32);
const thick = mapperFactsOf(`LVM-${id}${id}`, [""]);
const thin = mapperFactsOf(`LVM-${id}${id}`, [`LVM-${id}${id}-tpool`]);
const mounted: SnapshotFacts = { type: "ext4", mountPoints: ["/srv"], writable: true, mapper: undefined };

describe("the kind of a volume", () => {
  test("follows from its UUID and those of what it lies on", () => {
    expect(thick).toEqual({ kind: "lvm", isThin: false });
    expect(thin).toEqual({ kind: "lvm", isThin: true });
    expect(mapperFactsOf(`LVM-${id}${id}`, [`LVM-${id}${id}-real`])).toEqual({ kind: "lvm", isThin: false });
    expect(mapperFactsOf("CRYPT-LUKS2-0123-root", []).kind).toBe("crypt");
    expect(mapperFactsOf("part1-mpath-3600", []).kind).toBe("multipath");
    expect(mapperFactsOf("", []).kind).toBe("dm");
    // A volume of another subsystem in a thin pool of LVM is no logical volume.
    expect(mapperFactsOf("", [`LVM-${id}${id}-tpool`])).toEqual({ kind: "dm", isThin: false });
  });
});

describe("the snapshot method", () => {
  test.each<[string, Partial<SnapshotFacts>, string]>([
    ["a thick logical volume", { mapper: thick }, "lvm"],
    ["a thin logical volume", { mapper: thin }, "lvm-thin"],
    ["the root on a logical volume", { mapper: thick, mountPoints: ["/"] }, "lvm"],
    ["btrfs, also on a logical volume", { type: "btrfs", mapper: thick }, "btrfs"],
    ["btrfs as root", { type: "btrfs", mountPoints: ["/", "/home"] }, "btrfs"],
    ["an encrypted volume", { mapper: mapperFactsOf("CRYPT-LUKS2-x-y", []) }, "dm"],
    ["a plain volume of device-mapper", { mapper: mapperFactsOf("", []) }, "dm"],
    ["a path of multipath", { mapper: mapperFactsOf("mpath-x", []) }, "freeze"],
    ["xfs on a partition", { type: "xfs" }, "freeze"],
    ["vfat on a partition", { type: "vfat" }, "remount-ro"],
    ["the root on a partition", { mountPoints: ["/srv", "/"] }, "remount-ro"],
    ["what nobody can write", { writable: false, mapper: thick }, "none"],
    ["what holds no file system", { type: null }, "none"],
    ["what is mounted elsewhere only", { mountPoints: [] }, "none"],
  ])("of %s is %s: %s", (_, facts, method) => {
    const choice = snapshotMethodFor({ ...mounted, ...facts });
    expect(choice.method).toBe(method);
    expect(choice.reason).toMatch(/^[a-z].*[^.]$/);
  });
});
