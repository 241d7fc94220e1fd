// What a user can ask of the snapshot front end, and what is told and recorded of a snapshot.

/** In the order in which `auto` asks: the least burden first. */
export const snapshotMethods = ["lvm", "lvm-thin", "dm", "btrfs", "freeze", "remount-ro"] as const;
export type SnapshotMethod = (typeof snapshotMethods)[number];

/** Room for what changes while a snapshot exists. */
export type SnapshotSize = { readonly percent: number } | { readonly bytes: number };

export interface SnapshotOptions {
  readonly method: SnapshotMethod | "auto";
  /** Undefined: so much that it cannot overflow, where there is room. */
  readonly size?: SnapshotSize;
  /** lvm: the snapshot grows up to this; undefined: as far as the volume group goes. */
  readonly maxBytes?: number;
  /** No file system is frozen for longer. */
  readonly maxFreezeMs: number;
  /** dm: directory for the store of what changes; undefined: chosen. */
  readonly store?: string;
  readonly keep: "never" | "on-failure" | "always";
  readonly hooks: SnapshotHooks;
}

export interface SnapshotHooks {
  /** Run by /bin/sh -c before the snapshot. */
  readonly pre?: string;
  /** Run by /bin/sh -c after the run, whatever happened. */
  readonly post?: string;
  /** Run by /bin/sh -c; prints `ready` and lives until its standard input ends: right after the snapshot was taken. */
  readonly hold?: string;
  /** systemd units that are stopped for the instant of the snapshot. */
  readonly services: readonly string[];
  readonly timeoutMs: number;
}

/** One volume in the archive's record of its snapshot (docs/FORMAT.md, section 8). */
export interface SnapshotRecord {
  /** `none`: it was not mounted read-write. */
  readonly method: SnapshotMethod | "none";
  readonly reason: string;
  /** The kernel's answer after the last read. */
  readonly valid: true;
  /** RFC 3339 with milliseconds: after this nothing written is in the archive. */
  readonly instant: string;
  readonly frozenMs?: number;
  /** The most that was in use of the store of changes, and its size. */
  readonly usedBytes?: number;
  readonly storeBytes?: number;
}

export interface SnapshotsRecord {
  /** All volumes show the same instant. */
  readonly oneInstant: boolean;
  /** `crash`: as after a power cut at that instant. `quiesced`: hooks or stopped services had brought their data in order. */
  readonly consistency: "crash" | "quiesced";
  readonly checked: string;
  readonly volumes: readonly SnapshotRecord[];
}

/** A snapshot of ours on this machine. */
export interface SnapshotInfo {
  readonly method: SnapshotMethod;
  /** What `snapshot status`, `remove` and `merge` take: `vg/lv`, a device-mapper name, a path. */
  readonly name: string;
  readonly origin: string;
  /** `kept`: made to stay. `running`: of a run that lives. `orphan`: of a run that was killed. */
  readonly state: "kept" | "running" | "orphan";
  readonly valid: boolean;
  readonly usedBytes?: number;
  readonly storeBytes?: number;
}
