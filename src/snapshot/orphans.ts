// Snapshots of ours on this machine: found by their tags and names, and removed where the run that made them is gone. Nothing else is touched.

import { lstatSync, readdirSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { Cleanup } from "../filesystem/cleanup.ts";
import { ownMounts } from "../filesystem/mounts.ts";
import type { ToolRunner } from "../filesystem/recreate/tools.ts";
import type { SnapshotInfo } from "../model/snapshot.ts";
import { openTopLevel } from "./btrfs.ts";
import { removeSubvolumes, subvolumeRoot } from "./btrfs-list.ts";
import { restoreDevice } from "./dm.ts";
import { removeLogical } from "./lvm-volume.ts";
import { originPart, parseSnapshotName, stateOf, tagPrefix } from "./owner.ts";
import {
  type LogicalVolume,
  lvsWords,
  type Mapped,
  mapperName,
  mappedWords,
  parseLvs,
  parseMapped,
  parseSnapshotStatus,
} from "./reports.ts";
import { attempt } from "./tools.ts";

export interface FoundSnapshot extends SnapshotInfo {
  readonly remove: () => Promise<void>;
}

/** All snapshots of ours. Tools that are not installed have made none. */
export async function findSnapshots(run: ToolRunner): Promise<FoundSnapshot[]> {
  // Devices of device-mapper first: where one is suspended, what lies on it cannot be given back before it goes on.
  const finders = [findMapped, findLogical, findSubvolumes];
  const found: FoundSnapshot[] = [];
  for (const find of finders) {
    try {
      found.push(...(await find(run)));
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.code !== "TOOL_MISSING") throw error;
    }
  }
  return found;
}

/** Removes what killed runs left; returns what that was. What cannot be removed is warned of. */
export async function removeOrphans(
  run: ToolRunner,
  tell: { readonly step: (message: string) => void; readonly warn: (message: string) => void },
): Promise<SnapshotInfo[]> {
  const removed: SnapshotInfo[] = [];
  let found: readonly FoundSnapshot[];
  try {
    found = await findSnapshots(run);
  } catch (error) {
    tell.warn(`could not look for what killed runs may have left: ${(error as Error).message}`);
    return removed;
  }
  for (const snapshot of found) {
    if (snapshot.state !== "orphan") continue;
    try {
      await snapshot.remove();
      removed.push(snapshot);
      tell.step(`removed ${snapshot.name}, left behind by a run that was killed`);
    } catch (error) {
      tell.warn(
        `${snapshot.name}, left behind by a run that was killed, could not be removed: ${(error as Error).message}`,
      );
    }
  }
  return removed;
}

async function findLogical(run: ToolRunner): Promise<FoundSnapshot[]> {
  if ((await attempt(run, "dmsetup", ["version"]).catch(() => undefined))?.status !== 0) return [];
  // Looking for LVM on a suspended device would wait for ever.
  const scan = ["--config", "devices/ignore_suspended_devices=1"];
  const { status, stdout } = await attempt(run, "lvs", [...scan, ...lvsWords]);
  if (status !== 0 && stdout.trim() === "") return [];
  const all = parseLvs(stdout);
  return all.flatMap((each) => {
    const tag = each.tags.find((text) => text.startsWith(tagPrefix));
    const name = parseSnapshotName(each.name);
    // Both must be ours: a tag alone may have been copied.
    if (tag === undefined || name === undefined) return [];
    return [describeLogical(run, each, originOf(each, name.origin, all), tag.slice(tagPrefix.length))];
  });
}

/** A volume that is half made is no snapshot yet: its origin is one of that name, the one that is suspended first. */
function originOf(volume: LogicalVolume, named: string, all: readonly LogicalVolume[]): string {
  if (volume.origin !== "") return volume.origin;
  const alike = all.filter(({ group, name }) => group === volume.group && isNamed(name, named));
  return (alike.find(({ attributes }) => attributes[4] === "s") ?? alike[0])?.name ?? named;
}

/** Whether `named` in a snapshot's name may mean this one; no snapshot of ours is meant. */
function isNamed(name: string, named: string): boolean {
  return originPart(name) === named && parseSnapshotName(name.replace(/-(real|snap)$/, "")) === undefined;
}

function describeLogical(run: ToolRunner, volume: LogicalVolume, origin: string, owner: string): FoundSnapshot {
  const isThin = volume.segmentType === "thin";
  return {
    method: isThin ? "lvm-thin" : "lvm",
    name: `${volume.group}/${volume.name}`,
    origin: `${volume.group}/${origin}`,
    state: stateOf(owner),
    valid: !volume.invalid,
    ...(isThin
      ? {}
      : { usedBytes: Math.round((volume.sizeBytes * volume.dataPercent) / 100), storeBytes: volume.sizeBytes }),
    remove: () => removeLogical(run, volume.group, volume.name, origin),
  };
}

/** Devices of device-mapper: `ORIGIN.tsfsa-OWNER-N-real`, and `-snap` where it came so far. */
async function findMapped(run: ToolRunner): Promise<FoundSnapshot[]> {
  const { status, stdout } = await attempt(run, "dmsetup", mappedWords);
  if (status !== 0) return [];
  const found: FoundSnapshot[] = [];
  const all = parseMapped(stdout);
  for (const real of all) {
    const base = real.name.replace(/-real$/, "");
    const parsed = base === real.name || real.uuid.startsWith("LVM-") ? undefined : parseSnapshotName(base);
    if (parsed === undefined) continue;
    const origin = deviceOver(real, base, parsed.origin, all);
    const { stdout: text } = await attempt(run, "dmsetup", ["status", `${base}-snap`]);
    const state = parseSnapshotStatus(text);
    found.push({
      method: "dm",
      name: base,
      origin,
      state: stateOf(parsed.owner),
      valid: state.valid,
      ...(state.valid ? { usedBytes: state.usedBytes, storeBytes: state.storeBytes } : {}),
      remove: () => restoreDevice(run, origin, base, mountOfMapped(origin)),
    });
  }
  return found;
}

/** The device whose table is over `-real`. Where none is yet, one of that name, first one that is held or has a table that never became active. */
function deviceOver(real: Mapped, base: string, named: string, all: readonly Mapped[]): string {
  const alike = all.filter(({ name }) => isNamed(name, named));
  const pending = alike.find(({ isPending }) => isPending) ?? alike[0];
  return real.users.find((name) => name !== `${base}-snap`) ?? pending?.name ?? named;
}

/** Where a device of device-mapper is mounted here. */
function mountOfMapped(name: string): string | undefined {
  return ownMounts()
    .find(({ source }) => source.toString() === `/dev/mapper/${name}`)
    ?.mountPoint.toString();
}

/** Devices of btrfs file systems that are mounted read-write here. */
function btrfsDevices(): Set<string> {
  const mounts = ownMounts().filter(({ type, superblockWritable }) => type === "btrfs" && superblockWritable);
  return new Set(mounts.map(({ source }) => source.toString()));
}

async function findSubvolumes(run: ToolRunner): Promise<FoundSnapshot[]> {
  const found: FoundSnapshot[] = [];
  for (const device of btrfsDevices()) {
    let names: readonly string[] = [];
    try {
      names = await inTopLevel(device, (topFd) => Promise.resolve(ourSubvolumes(topFd)));
    } catch (error) {
      // Unmounted meanwhile: it is no business of this run.
      if (btrfsDevices().has(device)) throw error;
    }
    for (const name of names) {
      const parsed = parseSnapshotName(name);
      if (parsed === undefined) continue;
      found.push({
        method: "btrfs",
        name,
        origin: device,
        state: stateOf(parsed.owner),
        valid: true,
        remove: () => inTopLevel(device, (topFd) => removeSubvolumes(run, topFd, name)),
      });
    }
  }
  return found;
}

/** By the directory, where all of ours stand: btrfs(8) would need a sync first, of file systems that may be none of this run's business. */
function ourSubvolumes(topFd: number): string[] {
  const path = `/proc/self/fd/${topFd}`;
  const names = readdirSync(path).filter((name) => name.startsWith(".tsfsa-"));
  return names.filter((name) => lstatSync(`${path}/${name}`, { throwIfNoEntry: false })?.ino === subvolumeRoot);
}

async function inTopLevel<T>(device: string, work: (topFd: number) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  try {
    return await work(openTopLevel(cleanup, device));
  } finally {
    await cleanup.run();
  }
}

/** The one snapshot of that name. Throws FAILED. */
export async function findSnapshot(run: ToolRunner, name: string): Promise<FoundSnapshot> {
  const plain = name.replace(/^\/dev\/(mapper\/)?/, "");
  const all = await findSnapshots(run);
  const found = all.find((each) => each.name === name || each.name === plain || mapperNameOf(each) === plain);
  if (found !== undefined) return found;
  throw new TsfsaError("FAILED", `there is no snapshot of tsfsa named ${name}`, {
    hints: all.length === 0 ? ["there are none at all"] : ["there are:", ...all.map((each) => `  ${each.name}`)],
  });
}

function mapperNameOf({ method, name }: SnapshotInfo): string {
  if (!method.startsWith("lvm")) return `${name}-snap`;
  const [group = "", volume = ""] = name.split("/");
  return mapperName(group, volume);
}
