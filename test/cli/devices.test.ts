import { describe, expect, it } from "vitest";
import { deviceTable } from "../../src/cli/devices.ts";
import type { ProbedDevice } from "../../src/filesystem/types.ts";
import { bytes, done, FakeHost, jsonLines } from "./fake-host.ts";

const plain: ProbedDevice = {
  path: "/dev/sda1",
  kind: "partition",
  major: 8,
  minor: 1,
  readable: true,
  type: "ext4",
  usage: "filesystem",
  label: "root",
  uuid: "0f1e2d3c-4b5a-4968-8776-655443322110",
  sizeBytes: 1024 ** 3,
  usedBytes: 5 * 1024 ** 2,
  mounts: [{ mountPoint: bytes("/"), root: bytes("/"), writable: true, pid: 0 }],
  writable: true,
  writableBecause: "ext4 on /dev/sda1 is mounted read-write at /",
  heldBy: [],
  snapshot: { method: "none", reason: "it is the root" },
};
const volume: ProbedDevice = {
  ...plain,
  path: "/dev/mapper/vg-a",
  kind: "lvm",
  label: null,
  labelBase64: Buffer.from([0x61, 0xff, 0x1b]).toString("base64"),
  mounts: [
    { mountPoint: bytes("/a\u001b[31m"), root: bytes("/@a"), writable: true, pid: 0 },
    { mountPoint: Uint8Array.of(0x2f, 0xff), root: bytes("/"), writable: true, pid: 77 },
  ],
  heldBy: ["/dev/loop0"],
  snapshot: { method: "lvm", reason: "it is a logical volume" },
};
const closed: ProbedDevice = {
  ...plain,
  path: "/dev/sdb",
  kind: "disk",
  readable: false,
  type: null,
  usage: null,
  label: null,
  uuid: null,
  usedBytes: null,
  mounts: [],
  writable: false,
  writableBecause: null,
};

describe("a table of devices", () => {
  it("is aligned, harmless for a terminal, and says below it what no cell holds", () => {
    expect(deviceTable([plain, volume, closed])).toBe(
      [
        "DEVICE            KIND       TYPE  LABEL      UUID                                   SIZE   USED  WRITABLE  SNAPSHOT  MOUNTED, HELD BY",
        "/dev/sda1         partition  ext4  root       0f1e2d3c-4b5a-4968-8776-655443322110  1 GiB  5 MiB  yes       -         /",
        "/dev/mapper/vg-a  lvm        ext4  a\\377\\033  0f1e2d3c-4b5a-4968-8776-655443322110  1 GiB  5 MiB  yes       lvm       /a\\033[31m (root /@a), /\\377 (process 77), /dev/loop0",
        "/dev/sdb          disk       ?     -          -                                     1 GiB      -  no        -",
        "/dev/sda1: no snapshot: it is the root",
        "could not be read: /dev/sdb",
        "",
      ].join("\n"),
    );
  });

  it("is the output of probe, as objects with --json", async () => {
    const host = new FakeHost({ probe: () => Promise.resolve(done({ devices: [plain, volume] })) });
    expect(await host.run("probe")).toMatchObject({ status: 0, stdout: deviceTable([plain, volume]), stderr: "" });
    const json = new FakeHost({ probe: () => Promise.resolve(done({ devices: [plain, volume] })) });
    const [first, second, summary] = jsonLines((await json.run("probe", "--json", "/dev/sda1", "x")).stdout);
    expect(first).toMatchObject({
      type: "device",
      holds: "ext4",
      usage: "filesystem",
      mounts: [{ path: "/", root: "/" }],
    });
    expect(second?.["mounts"]).toEqual([
      { path: "/a\u001b[31m", root: "/@a", writable: true },
      { pathBase64: "L/8=", root: "/", writable: true, process: 77 },
    ]);
    expect(summary).toMatchObject({ type: "summary", command: "probe", status: 0, devices: 2 });
  });
});
