// Who uses a block device or image file now: mounts in any namespace, other loop devices over the same bytes, swap, holders.
// Two names can mean the same bytes: a loop device and its file, two loop devices on one file, a disk and its partitions.

import { closeSync, constants, openSync, type Stats } from "node:fs";
import { basename } from "node:path";
import type { DeviceNumber } from "../sys/stat.ts";
import {
  btrfsDevices,
  deviceNumber,
  holdersOf,
  kernelName,
  type LoopDevice,
  loopDevices,
  parseNumber,
  partitionsOf,
  readText,
  sameDevice,
  statOrUndefined,
  swapPaths,
} from "./block.ts";
import { friendlyPath } from "./kind.ts";
import { allMounts, type Mount } from "./mounts.ts";

/** A file by what it is, not by its name. */
export interface FileIdentity extends DeviceNumber {
  readonly inode: number;
}

export interface Use {
  /** The device asked for; undefined for an image file. */
  readonly device: DeviceNumber | undefined;
  /** Mounts of the device, of the other loop devices and of their partitions. */
  readonly mounts: readonly Mount[];
  /** Loop devices over the same bytes, without the device asked for. */
  readonly loops: readonly LoopDevice[];
  readonly swap: boolean;
  /** Kernel names of what is stacked on it. */
  readonly holders: readonly string[];
  /** It belongs to a mounted btrfs, also where no mount can be seen. */
  readonly btrfsMember: boolean;
}

/** The machine's tables at one moment. */
export interface Tables {
  readonly mounts: readonly Mount[];
  readonly loops: readonly LoopDevice[];
  readonly swaps: readonly Buffer[];
  /** Kernel names of the devices of each mounted btrfs. */
  readonly btrfs: readonly (readonly string[])[];
}

export function readTables(): Tables {
  return { mounts: allMounts(), loops: loopDevices(), swaps: swapPaths(), btrfs: [...btrfsDevices().values()] };
}

/** Use of an existing block device or regular file; of a disk's partitions as well, unless `alone`. */
export function useOf(stat: Stats, tables: Tables = readTables(), alone = false): Use {
  const device = stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
  const loops = loopsOverSameBytes(stat, device, tables.loops);
  const devices = [...(device === undefined ? [] : [device]), ...loops];
  const all = alone ? devices : devices.flatMap((each) => [each, ...partitionsOf(each)]);
  const names = new Set(all.flatMap((each) => kernelName(each) ?? []));
  const members = tables.btrfs.filter((group) => group.some((name) => names.has(name)));
  const memberNames = new Set([...names, ...members.flat()]);
  return {
    device,
    mounts: tables.mounts.filter((mount) => isMountOf(mount, all, memberNames)),
    loops,
    swap: tables.swaps.some((path) => isSame(path, stat, all)),
    holders: [...new Set(all.flatMap(holdersOf))],
    btrfsMember: members.length > 0,
  };
}

/** Two names of one file or device, or a loop device and what it lies on. */
export function areSameBytes(a: Stats, b: Stats): boolean {
  if (a.isBlockDevice() && b.isBlockDevice() && a.rdev === b.rdev) return true;
  return (a.dev === b.dev && a.ino === b.ino) || isLoopOver(a, b) || isLoopOver(b, a);
}

function isLoopOver(a: Stats, b: Stats): boolean {
  if (!a.isBlockDevice() || !(b.isBlockDevice() || b.isFile())) return false;
  return loopsOf(b).some((loop) => sameDevice(loop, deviceNumber(a.rdev)));
}

/** A loop device over the bytes of a file. */
export function loopOver(file: Stats): LoopDevice | undefined {
  return loopsOf(file)[0];
}

function loopsOf(stat: Stats): LoopDevice[] {
  return loopsOverSameBytes(stat, stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined, loopDevices());
}

/** Opened for nothing else than to see whether somebody has claimed it (a mount, swap, device-mapper, another program). */
export function isClaimed(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EBUSY";
  }
}

/** btrfs mounts have an anonymous number: their source, one of the file system's devices, tells. */
function isMountOf(mount: Mount, devices: readonly DeviceNumber[], names: ReadonlySet<string>): boolean {
  if (mount.type !== "btrfs") return devices.some((each) => sameDevice(each, mount));
  const source = mount.source.toString();
  const stat = statOrUndefined(mount.pid === 0 ? mount.source : `/proc/${mount.pid}/root${source}`);
  const name = stat?.isBlockDevice() === true ? kernelName(deviceNumber(stat.rdev)) : basename(source);
  return name !== undefined && names.has(name);
}

function loopsOverSameBytes(stat: Stats, device: DeviceNumber | undefined, loops: readonly LoopDevice[]): LoopDevice[] {
  const self = device && loops.find((loop) => sameDevice(loop, device));
  if (self !== undefined)
    return loops.filter((loop) => loop !== self && sameFile(loop.backing, self.backing) && overlap(loop, self));
  if (device !== undefined) {
    return loops.filter((loop) => loop.backingDevice !== undefined && sameDevice(loop.backingDevice, device));
  }
  return loops.filter((loop) => sameFile(loop.backing, { ...deviceNumber(stat.dev), inode: stat.ino }));
}

function sameFile(a: FileIdentity, b: FileIdentity): boolean {
  return sameDevice(a, b) && a.inode === b.inode;
}

function overlap(a: LoopDevice, b: LoopDevice): boolean {
  return a.offset < endOf(b) && b.offset < endOf(a);
}

function endOf(loop: LoopDevice): number {
  return loop.sizeLimit === 0 ? Number.POSITIVE_INFINITY : loop.offset + loop.sizeLimit;
}

function isSame(path: Buffer, stat: Stats, devices: readonly DeviceNumber[]): boolean {
  const other = statOrUndefined(path);
  if (other === undefined) return false;
  return other.isBlockDevice()
    ? devices.some((each) => sameDevice(each, deviceNumber(other.rdev)))
    : other.dev === stat.dev && other.ino === stat.ino;
}

/** Names of a device's users for a message. */
export function usersText(use: Use): string {
  const users = [...userNames(use), ...(use.btrfsMember ? ["a mounted btrfs"] : [])];
  return users.length === 0 ? "another program or a mount that no process shows" : users.join(", ");
}

/** `swap`, and paths of what is stacked on it. */
export function userNames(use: Use): string[] {
  const holders = use.holders.map((name) => {
    const number = numberOfName(name);
    return (number && friendlyPath(number)) ?? name;
  });
  return [...(use.swap ? ["swap"] : []), ...holders];
}

function numberOfName(name: string): DeviceNumber | undefined {
  return parseNumber(readText(`/sys/class/block/${name}/dev`))[0];
}
