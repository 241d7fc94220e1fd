// Which way of taking a snapshot fits a file system, as a pure function of what is known of it without asking a tool. Whether there is room for it (in a
// volume group, a thin pool) and whether its tools are there is asked by the provider (src/snapshot).

import { type SnapshotMethod, snapshotMethods } from "../model/snapshot.ts";
import type { MapperFacts } from "./kind.ts";

export interface MountedFacts {
  readonly type: string;
  /** Where this mount namespace shows it. */
  readonly mountPoints: readonly string[];
  /** What device-mapper says of its device; undefined: no device of device-mapper. */
  readonly mapper: MapperFacts | undefined;
}

export interface SnapshotFacts extends Omit<MountedFacts, "type"> {
  /** Null: none recognised, or no file system. */
  readonly type: string | null;
  /** Somebody can write it now. */
  readonly writable: boolean;
}

export interface Judgement {
  readonly fits: boolean;
  /** One sentence. */
  readonly reason: string;
}

export interface SnapshotChoice {
  readonly method: SnapshotMethod | "none";
  /** One sentence. */
  readonly reason: string;
}

/** File systems with freeze_fs or freeze_super (Linux, super.c of each), which FIFREEZE asks for. */
const freezable = new Set(["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs", "gfs2"]);

/** Whether a method is one for this mounted file system. */
export function judgeMethod(method: SnapshotMethod, { type, mountPoints, mapper }: MountedFacts): Judgement {
  switch (method) {
    case "btrfs":
      return type === "btrfs" ? yes("btrfs has snapshots of its own") : no(`it is ${type}, not btrfs`);
    case "lvm":
    case "lvm-thin":
    case "dm":
      return type === "btrfs"
        ? no("two btrfs of one UUID cannot be mounted side by side: use btrfs")
        : judgeBelow(method, mapper);
    case "freeze":
      if (mountPoints.includes("/")) return no("the root file system is not frozen: too much would hang");
      return freezable.has(type) ? yes("writers wait while it is saved") : no(`${type} cannot be frozen`);
    default:
      return yes("it works while no file is open for writing");
  }
}

/** Methods that take the snapshot below the file system. */
function judgeBelow(method: "lvm" | "lvm-thin" | "dm", mapper: MapperFacts | undefined): Judgement {
  const isLogical = mapper?.kind === "lvm";
  switch (method) {
    case "lvm":
      if (!isLogical) return no("it does not lie on a logical volume");
      return mapper.isThin
        ? no("the logical volume is thin: use lvm-thin")
        : yes("it is a logical volume; its volume group needs free space");
    case "lvm-thin":
      return isLogical && mapper.isThin
        ? yes("it is a thin logical volume")
        : no("it does not lie on a thin logical volume");
    default:
      if (mapper === undefined) return no("it does not lie on a device of device-mapper");
      if (isLogical) return no("LVM manages the device: use lvm");
      return mapper.kind === "multipath" ? no("multipath manages the device") : yes("it is a volume of device-mapper");
  }
}

/** The first method that fits, in the order in which `auto` asks. */
export function snapshotMethodFor({ type, writable, ...facts }: SnapshotFacts): SnapshotChoice {
  const none = (reason: string): SnapshotChoice => ({ method: "none", reason });
  if (!writable) return none("nobody can write it now: it can be saved as it is");
  if (type === null) return none("it holds no file system");
  if (facts.mountPoints.length === 0) return none("it is in use, but not mounted where this process sees it");
  for (const method of snapshotMethods) {
    const { fits, reason } = judgeMethod(method, { type, ...facts });
    if (fits) return { method, reason };
  }
  return none("no method fits");
}

function yes(reason: string): Judgement {
  return { fits: true, reason };
}

function no(reason: string): Judgement {
  return { fits: false, reason };
}
