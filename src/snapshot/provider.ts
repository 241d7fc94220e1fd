// What the ways of freezing a volume have in common. Each is a file of its own with the same verbs: detect says whether it fits and what it
// would run; begin gives a snapshot that is prepared, created, opened, asked for its health, kept or removed. What a snapshot makes is undone
// through the Cleanup it is given: each step is deferred before the thing is made, and does nothing where there is nothing to undo.

import type { Cleanup } from "../filesystem/cleanup.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import type { OpenSource } from "../filesystem/types.ts";
import type { SnapshotMethod, SnapshotOptions } from "../model/snapshot.ts";
import type { GuardItem } from "../sys/guard.ts";
import type { Owner } from "./owner.ts";
import type { Volume } from "./volume.ts";

/** What a run gives its snapshots. */
export interface SnapshotRun {
  readonly options: Pick<SnapshotOptions, "size" | "maxBytes" | "maxFreezeMs" | "store">;
  readonly owner: Owner;
  readonly run: ToolRunner;
  /** Files and directories that are written meanwhile: the archive, temporary files, the log. */
  readonly written: readonly string[];
  /** All volumes of the run. */
  readonly volumes: readonly Volume[];
  readonly step: (message: string) => void;
}

export interface Health {
  readonly valid: boolean;
  /** Why it is not, or why it had better end now. */
  readonly reason?: string;
  /** Of the store of changes. */
  readonly usedBytes?: number;
  readonly storeBytes?: number;
}

export interface Snapshot {
  readonly method: SnapshotMethod;
  readonly volume: Volume;
  /** Must be held for the snapshots of several volumes to show one instant; undefined: it cannot, or needs nothing. */
  readonly hold?: GuardItem;
  /** The hold is needed for a single volume, too. */
  readonly needsHold: boolean;
  /** Whether the view is of the moment at which all holds were taken. */
  readonly sharesInstant: boolean;
  /** All that can be done before the instant. */
  prepare(): Promise<void>;
  /** heldFd: descriptor of the guard, for tools that must not be outlived by the hold. */
  create(heldFd?: number): Promise<void>;
  /** A frozen root below the snapshot. */
  open(): Promise<OpenSource>;
  /** Asks the kernel, and grows what can grow. last: after the last read; a freeze may end with it. */
  health(last: boolean): Promise<Health>;
  /** How long writers waited, as far as it is known. */
  frozenMs(): number | undefined;
  /** Makes it stay. Returns sentences on how to use and remove it. Throws UNSUPPORTED for what cannot stay. */
  keep(): Promise<readonly string[]>;
}

export type Detection =
  | {
      readonly fits: true;
      /** One sentence for people: why, and how much room. */
      readonly reason: string;
      /** Command lines it would run, or what is done instead of one. */
      readonly commands: readonly string[];
      readonly begin: (cleanup: Cleanup, serial: number) => Snapshot;
    }
  | { readonly fits: false; readonly reason: string };

export interface Provider {
  readonly method: SnapshotMethod;
  /** Of a volume for which the method is one (judgeMethod): looks, and changes nothing. */
  readonly detect: (volume: Volume, run: SnapshotRun) => Promise<Detection>;
}
