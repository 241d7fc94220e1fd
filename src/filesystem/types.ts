// The nouns of this layer: what a device holds, an opened source, an opened target, the plan to make a file system.
// The verbs: identify (superblock/identify.ts), writableReason (writable.ts), openSource (open-source.ts), planFilesystem
// (recreate/plan.ts), makeFilesystem (recreate/make.ts), openTarget (target.ts), mountTarget (mount-target.ts), probe (probe.ts).

import type { FilesystemDescription } from "../model/archive.ts";
import type { FilesystemType } from "../model/filesystem-type.ts";
import type { DeviceKind } from "./kind.ts";
import type { SnapshotChoice } from "./snapshot-method.ts";

/** What a signature on a device or image says. */
export interface Identity {
  /** `ext4`, `xfs`, `btrfs`, `vfat`, `LVM2_member`, `crypto_LUKS`, `linux_raid_member`, `swap`, `gpt`, `dos` …: the names blkid uses. */
  readonly type: string;
  /** What holds it: a file system, a container for others (LVM, LUKS, md), swap, or a partition table. */
  readonly usage: "filesystem" | "container" | "swap" | "table";
  readonly version?: string;
  /** Exact bytes up to the first NUL; undefined when there is none. */
  readonly label?: Uint8Array;
  /** As blkid writes it: lower-case, with dashes where the type has them. */
  readonly uuid?: string;
  /** Bytes the superblock claims. */
  readonly sizeBytes?: number;
  readonly usedBytes?: number;
  readonly blockSize?: number;
  /** false: a metadata checksum was there and does not match. undefined: the type has none. */
  readonly checksumValid?: boolean;
  /** The journal or log tree holds changes that are not in place yet (ext, btrfs; xfs tells only when mounted). */
  readonly needsReplay?: boolean;
}

/** A file system opened for saving, in whatever way. Everything it holds is given back by close(). */
export interface FrozenSource {
  readonly description: FilesystemDescription;
  /** Where it was, for the head: the path as given, or `DEVICE on MOUNT POINT`. */
  readonly origin: string;
  /** False: others may write while it is read (only with allowRw). */
  readonly frozen: boolean;
  /** Sentences for the user: features a restore will not bring back, and the like. */
  readonly warnings: readonly string[];
  /** Asked after the last read: whether somebody could write it meanwhile (a read-only mount may have been remounted). */
  checkFrozen(): Writable;
  close(): Promise<void>;
}

/** A file system opened through a mount. */
export interface OpenSource extends FrozenSource {
  /** Readable descriptor of the root directory, on a detached read-only mount without the mounts below it. Not to be closed by the caller. */
  readonly rootFd: number;
  /** Path of the block device or image file that holds it. */
  readonly device: string;
}

/** How a file system is asked for at restore; what is not given comes from the description. */
export interface FilesystemOverrides {
  /** One of filesystemTypes. */
  readonly type?: string;
  /** Empty: none. */
  readonly label?: string;
  /** `keep` (default), `new`, or a UUID. */
  readonly uuid?: string;
  /** Extra words for mkfs, after ours and before the device. */
  readonly mkfsOptions?: readonly string[];
}

/** One run of a tool; the device is its last operand (argvOf in recreate/make.ts). Bytes stand only where they are not UTF-8. */
export interface ToolCommand {
  readonly program: string;
  readonly arguments: readonly (string | Uint8Array)[];
}

/** The tools' runs that make a file system, and what they will not bring back. */
export interface FilesystemPlan {
  readonly type: FilesystemType;
  /** Label the new file system will have; empty: none. */
  readonly label: Uint8Array;
  readonly uuid: string;
  /** Size of the target it was planned for. */
  readonly sizeBytes: number;
  readonly commands: readonly ToolCommand[];
  /** What cannot be kept, one sentence each. */
  readonly warnings: readonly string[];
  /** Programs that must be installed. */
  readonly requires: readonly string[];
}

/** A block device or image file claimed for a restore. */
export interface OpenTarget {
  /** As given. */
  readonly path: string;
  /** Block device to run mkfs on and to mount: the device itself or the loop device of the image. */
  readonly devicePath: string;
  /** Open for reading and writing, without claim. Not to be closed by the caller. */
  readonly fd: number;
  readonly sizeBytes: number;
  readonly sectorSize: number;
  /** What it holds now, for the plan that is shown. */
  readonly current: Identity | undefined;
  /** Something would be lost: a signature, or bytes other than zero at one of its ends. */
  readonly holdsData: boolean;
  /** One line for people: `ext4 "root" UUID …`, `data of an unknown kind`, or `nothing (zeros)`. */
  readonly currentContents: string;
  /** Gives up the O_EXCL claim so that mkfs or mount can take it; other opens are kept. */
  release(): void;
  /** Takes it back, after waiting a moment for scanners that look at a new file system. Rejects with TARGET_REFUSED when somebody holds it. */
  claim(): Promise<void>;
  /** Flushes, gives up the claim, detaches the loop device and checks that it is gone. Idempotent. */
  close(): Promise<void>;
}

/** A target's file system mounted where only this process sees it: read-write, nosuid, nodev, noatime. */
export interface MountedTarget {
  /** Readable descriptor of its root directory. Not to be closed by the caller. */
  readonly rootFd: number;
  /** Writes everything out, unmounts, and throws IO when the device is still in use afterwards. Idempotent. */
  unmount(): Promise<void>;
}

export type Writable =
  /** `elsewhere`: it has no device that could be looked at (network, FUSE, overlay), so others may write what is read-only here. */
  { readonly writable: false; readonly elsewhere?: true } | WrittenByOthers;

export interface WrittenByOthers {
  readonly writable: true;
  readonly elsewhere?: never;
  readonly reason: string;
  readonly ways: readonly string[];
}

/** One block device or image file as `probe` shows it. */
export interface ProbedDevice {
  readonly path: string;
  readonly kind: DeviceKind;
  /** 0 and 0 for an image file. */
  readonly major: number;
  readonly minor: number;
  /** false: it may not be opened, so type, label, UUID and used are what the mount table and sysfs tell. */
  readonly readable: boolean;
  /** null: nothing recognised. */
  readonly type: string | null;
  readonly usage: Identity["usage"] | null;
  readonly label: string | null;
  readonly labelBase64?: string;
  readonly uuid: string | null;
  readonly sizeBytes: number;
  /** null: unknown. */
  readonly usedBytes: number | null;
  /** Where it is mounted itself, not its partitions. */
  readonly mounts: readonly ProbedMount[];
  /** Somebody can write it, or a part of it, now. */
  readonly writable: boolean;
  /** Why, in one sentence; null where it is not. */
  readonly writableBecause: string | null;
  /** `swap`, paths of what is stacked on it (volumes, arrays, loop devices). */
  readonly heldBy: readonly string[];
  readonly snapshot: SnapshotChoice;
}

export interface ProbedMount {
  readonly mountPoint: Uint8Array;
  /** What of it is mounted there: `/`, a directory or a subvolume. */
  readonly root: Uint8Array;
  readonly writable: boolean;
  /** A process whose mount namespace has it; 0: that of tsfsa. */
  readonly pid: number;
}
