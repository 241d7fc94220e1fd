// What the two LVM providers share: finding the logical volume, making, opening, keeping and removing a snapshot of it, and putting right what a killed
// lvcreate left suspended.

import type { Cleanup } from "../filesystem/cleanup.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { ToolOptions, ToolRunner } from "../filesystem/recreate/tools.ts";
import type { OpenSource } from "../filesystem/types.ts";
import { isSuspended } from "./devices.ts";
import { keptOwner, type Owner, snapshotName, tagPrefix } from "./owner.ts";
import type { SnapshotRun } from "./provider.ts";
import { type LogicalVolume, lvsWords, mapperName, parseLvs } from "./reports.ts";
import { attempt, call, isInstalled, persist } from "./tools.ts";
import type { Volume } from "./volume.ts";

/** The logical volume that a file system is mounted from directly, or why it is none. */
export async function logicalVolumeOf(volume: Volume, run: ToolRunner): Promise<LogicalVolume | string> {
  if (!(await isInstalled(run, "lvs", "--version"))) return "lvm2 is not installed";
  const [found] = await volumes(run, [volume.devicePath]);
  return found ?? `LVM does not know ${volume.devicePath}`;
}

/** lvs of names or `@tag`; what does not exist is left out. */
export async function volumes(run: ToolRunner, names: readonly string[]): Promise<LogicalVolume[]> {
  const { status, stdout } = await attempt(run, "lvs", [...lvsWords, ...names]);
  return status === 0 || stdout.trim() !== "" ? parseLvs(stdout) : [];
}

function ownerTag(owner: Owner): string {
  return `${tagPrefix}${owner}`;
}

/** A snapshot that is a logical volume beside its origin. */
export abstract class LogicalSnapshot {
  readonly volume: Volume;
  readonly needsHold = false;
  protected readonly run: SnapshotRun;
  protected readonly origin: LogicalVolume;
  /** Name in the origin's group. */
  protected readonly name: string;
  readonly #cleanup: Cleanup;
  #kept = false;
  #frozenMs: number | undefined;

  constructor(volume: Volume, run: SnapshotRun, origin: LogicalVolume, cleanup: Cleanup, serial: number) {
    this.volume = volume;
    this.run = run;
    this.origin = origin;
    this.name = snapshotName(origin.name, run.owner, serial);
    this.#cleanup = cleanup;
  }

  async prepare(): Promise<void> {}

  /** Runs lvcreate, which suspends the origin unless that is held already. */
  protected async make(words: (name: string, tag: string) => readonly string[], heldFd?: number): Promise<void> {
    const { run, owner } = this.run;
    const { group, name: origin } = this.origin;
    this.#cleanup.defer(async () => {
      if (!this.#kept) await removeLogical(run, group, this.name, origin);
    });
    const create = async (options: ToolOptions = {}, more: readonly string[] = []): Promise<void> => {
      await call(run, "lvcreate", [...more, ...words(this.name, ownerTag(owner))], options);
    };
    if (heldFd === undefined) this.#frozenMs = await timeSuspended(this.volume, create);
    // Reading a device that another snapshot of this run holds suspended, to look for LVM on it, would wait for the hold to end.
    else await create({ input: heldFd }, ["--config", "devices/ignore_suspended_devices=1"]);
  }

  open(): Promise<OpenSource> {
    return openSource(`/dev/mapper/${this.mapper}`, { allowRw: false, replay: true });
  }

  frozenMs(): number | undefined {
    return this.#frozenMs;
  }

  /** Takes the owner's tag off, so that no cleanup removes it. */
  async keep(): Promise<readonly string[]> {
    const { run, owner } = this.run;
    await call(run, "lvchange", ["--deltag", ownerTag(owner), "--addtag", ownerTag(keptOwner), this.full]);
    this.#kept = true;
    return [
      `kept the snapshot ${this.full}: save it with tsfsa savefs ARCHIVE /dev/${this.full}`,
      `remove it with tsfsa snapshot remove ${this.full}`,
    ];
  }

  protected get full(): string {
    return `${this.origin.group}/${this.name}`;
  }

  protected get mapper(): string {
    return mapperName(this.origin.group, this.name);
  }
}

/**
 * Removes a snapshot that may be there, half made, or not. Where the tool that made it was killed, the origin may be suspended: then writers hang until
 * it is put right, in the way that its state asks for (a resume alone could activate a table over a device without one).
 */
export async function removeLogical(run: ToolRunner, group: string, name: string, origin: string): Promise<void> {
  const [snapshot, parent] = await pair(run, group, name, origin);
  const mapper = mapperName(group, origin);
  const isHeld = parent !== undefined && (await suspended(run, mapper));
  const isOrigin = parent?.attributes.startsWith("o") ?? false;
  if (isHeld && isOrigin) {
    await persist(run, "lvchange", ["--refresh", `${group}/${origin}`]);
  } else if (isHeld) {
    await persist(run, "dmsetup", ["clear", mapper]);
    await persist(run, "dmsetup", ["resume", mapper]);
  }
  const isDone = async (): Promise<boolean> => (await pair(run, group, name, origin))[0] === undefined;
  if (snapshot !== undefined) await persist(run, "lvremove", ["-y", `${group}/${name}`], { isDone });
  if (isHeld && !isOrigin) {
    await attempt(run, "dmsetup", ["remove", mapperName(group, origin, "real")]); // may never have been made
  }
}

async function pair(
  run: ToolRunner,
  group: string,
  name: string,
  origin: string,
): Promise<readonly [LogicalVolume | undefined, LogicalVolume | undefined]> {
  const found = parseLvs(await persist(run, "lvs", [...lvsWords, group]));
  return [found.find((each) => each.name === name), found.find((each) => each.name === origin)];
}

async function suspended(run: ToolRunner, mapper: string): Promise<boolean> {
  // A volume that is not active has no such device.
  const { stdout } = await attempt(run, "dmsetup", ["info", "-c", "--noheadings", "-o", "suspended", mapper]);
  return stdout.trim() === "Suspended";
}

/**
 * Watches how long the origin is suspended while `work` runs. Resolves with the milliseconds that it can have been at most, by samples 2 ms apart: on a
 * busy machine they are rarer.
 */
async function timeSuspended(volume: Volume, work: () => Promise<void>): Promise<number> {
  const samples: { readonly atMs: number; readonly isHeld: boolean }[] = [];
  const timer = setInterval(() => samples.push({ isHeld: isSuspended(volume.device), atMs: performance.now() }), 2);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.ceil(mostHeldMs(samples));
}

/** From the last sample before the device was held to the first one after; where none saw it held, the longest time between two. */
export function mostHeldMs(samples: readonly { readonly atMs: number; readonly isHeld: boolean }[]): number {
  const at = (index: number): number => samples[Math.min(Math.max(index, 0), samples.length - 1)]?.atMs ?? 0;
  const first = samples.findIndex(({ isHeld }) => isHeld);
  if (first < 0) return samples.reduce((most, { atMs }, index) => Math.max(most, atMs - at(index - 1)), 0);
  return at(samples.findLastIndex(({ isHeld }) => isHeld) + 1) - at(first - 1);
}
