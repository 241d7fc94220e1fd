// Which way of taking a snapshot fits a device, as a pure function of what sysfs and the mount table tell: for `probe`, which runs no tool. Whether
// there is room for it (in a volume group, a thin pool) is asked when the snapshot is taken: src/snapshot/choose.ts, whose `auto` comes to the same.

import type { SnapshotMethod } from "../model/snapshot.ts";
import type { MapperFacts } from "./kind.ts";

export interface SnapshotFacts {
  /** Of the file system; null: none recognised, or no file system. */
  readonly type: string | null;
  /** Where this mount namespace shows it. */
  readonly mountPoints: readonly string[];
  /** Somebody can write it now. */
  readonly writable: boolean;
  /** What device-mapper says of it; undefined: no volume of device-mapper. */
  readonly mapper: MapperFacts | undefined;
}

export interface SnapshotChoice {
  readonly method: SnapshotMethod | "none";
  /** One sentence. */
  readonly reason: string;
}

/** File systems with freeze_fs or freeze_super (Linux, super.c of each), which FIFREEZE asks for. */
const freezable = new Set(["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs", "gfs2"]);

/** A btrfs is never snapshotted below itself: two devices with its UUID would be one file system to the kernel. */
export function snapshotMethodFor({ type, mountPoints, writable, mapper }: SnapshotFacts): SnapshotChoice {
  if (!writable) return none("nobody can write it now: it can be saved as it is");
  if (type === null) return none("it holds no file system");
  if (mountPoints.length === 0) return none("it is in use, but not mounted where this process sees it");
  if (type === "btrfs") return { method: "btrfs", reason: "btrfs has snapshots of its own" };
  if (mapper?.kind === "lvm") {
    return mapper.isThin
      ? { method: "lvm-thin", reason: "it is a thin logical volume" }
      : { method: "lvm", reason: "it is a logical volume; its volume group needs free space" };
  }
  if (mapper !== undefined && mapper.kind !== "multipath") {
    return { method: "dm", reason: "it is a volume of device-mapper" };
  }
  if (mountPoints.includes("/")) {
    return none("it is the running system's root on a plain device: frozen, it would stop tsfsa, too");
  }
  if (freezable.has(type)) {
    return { method: "freeze", reason: "it lies on a plain device: writers wait while it is saved" };
  }
  return { method: "remount-ro", reason: `${type} cannot be frozen: it works while no file is open for writing` };
}

function none(reason: string): SnapshotChoice {
  return { method: "none", reason };
}
