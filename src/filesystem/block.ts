// Block devices as sysfs and procfs know them: numbers, names, holders, loop devices with their backing files, swap.
// Reads only; what a thing means for a source or target is decided in writable.ts and target.ts.

import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename } from "node:path";
import { addon } from "../sys/addon.ts";
import type { DeviceNumber } from "../sys/stat.ts";
import { type Mount, unescapeOctal } from "./mounts.ts";

/** glibc's encoding of dev_t (gnu_dev_major, gnu_dev_minor), as node:fs gives st_dev and st_rdev. */
export function deviceNumber(dev: number): DeviceNumber {
  const value = BigInt(dev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)),
    minor: Number((value & 0xffn) | ((value >> 12n) & 0xffffff00n)),
  };
}

export function sameDevice(a: DeviceNumber, b: DeviceNumber): boolean {
  return a.major === b.major && a.minor === b.minor;
}

/** stat, or undefined where there is nothing to see. */
export function statOrUndefined(path: string | Buffer): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Directory of a block device in sysfs; undefined for numbers without one (anonymous devices of btrfs, tmpfs …). */
export function sysfsOf(device: DeviceNumber): string | undefined {
  const path = `/sys/dev/block/${device.major}:${device.minor}`;
  return existsSync(path) ? path : undefined;
}

/** The kernel's name (`sda1`, `dm-0`, `loop3`); undefined when there is no such block device. */
export function kernelName(device: DeviceNumber): string | undefined {
  const sysfs = sysfsOf(device);
  return sysfs === undefined ? undefined : basename(readlinkSync(sysfs));
}

/** A node in /dev for a block device (uevent's DEVNAME), checked to be that device. */
export function devicePath(device: DeviceNumber): string | undefined {
  const sysfs = sysfsOf(device);
  const name = sysfs && /^DEVNAME=(.+)$/m.exec(readText(`${sysfs}/uevent`))?.[1];
  if (name === undefined || name === "") return undefined;
  const path = `/dev/${name}`;
  const stat = statOrUndefined(path);
  return stat?.isBlockDevice() === true && sameDevice(deviceNumber(stat.rdev), device) ? path : undefined;
}

/** Path of the device under a mount, undefined where it has none. The device number of a btrfs is none of a device. */
export function mountedDevice(mount: Mount): string | undefined {
  return mount.type === "btrfs" ? mount.source.toString() : devicePath(mount);
}

/** Kernel names of what is stacked on a device: device-mapper, md, bcache. */
export function holdersOf(device: DeviceNumber): string[] {
  const sysfs = sysfsOf(device);
  return sysfs === undefined ? [] : namesIn(`${sysfs}/holders`);
}

/** Partitions of a whole disk. */
export function partitionsOf(device: DeviceNumber): DeviceNumber[] {
  const sysfs = sysfsOf(device);
  if (sysfs === undefined) return [];
  return namesIn(sysfs)
    .filter((name) => existsSync(`${sysfs}/${name}/partition`))
    .flatMap((name) => parseNumber(readText(`${sysfs}/${name}/dev`)));
}

/** All block devices of the machine. */
export function blockDevices(): DeviceNumber[] {
  return namesIn("/sys/class/block").flatMap((name) => parseNumber(readText(`/sys/class/block/${name}/dev`)));
}

export interface LoopDevice extends DeviceNumber {
  readonly path: string;
  /** Device and inode of the backing file. */
  readonly backing: DeviceNumber & { readonly inode: number };
  /** Number of the backing block device, when it is one. */
  readonly backingDevice: DeviceNumber | undefined;
  readonly backingPath: string;
  readonly offset: number;
  /** 0: to the end. */
  readonly sizeLimit: number;
  readonly readOnly: boolean;
}

/** Loop devices in use. One that goes away meanwhile is left out. */
export function loopDevices(): LoopDevice[] {
  return namesIn("/sys/block").flatMap((name) => {
    const sysfs = `/sys/block/${name}`;
    const backingPath = readText(`${sysfs}/loop/backing_file`).replace(/\n$/, "");
    const [number] = parseNumber(readText(`${sysfs}/dev`));
    const path = number && devicePath(number);
    if (backingPath === "" || number === undefined || path === undefined) return [];
    const status = loopStatus(path);
    if (status === undefined) return [];
    const backingStat = statOrUndefined(backingPath);
    return [
      {
        ...number,
        path,
        backing: { major: status[0] as number, minor: status[1] as number, inode: status[2] as number },
        backingDevice: backingStat?.isBlockDevice() === true ? deviceNumber(backingStat.rdev) : undefined,
        backingPath,
        offset: status[3] as number,
        sizeLimit: status[4] as number,
        readOnly: readText(`${sysfs}/ro`).trim() === "1",
      },
    ];
  });
}

function loopStatus(path: string): Float64Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const status = new Float64Array(6);
    return addon().loopStatus(fd, status) < 0 ? undefined : status;
  } finally {
    closeSync(fd);
  }
}

/** Files and devices in use as swap (/proc/swaps; paths have octal escapes). */
export function swapPaths(): Buffer[] {
  const lines = readFileSync("/proc/swaps", "latin1").split("\n").slice(1);
  return lines.filter((line) => line !== "").map((line) => unescapeOctal(line.split(/\s/, 1)[0] ?? ""));
}

/** Kernel names of the devices of each mounted btrfs, by the UUID sysfs shows it under. */
export function btrfsDevices(): Map<string, string[]> {
  const filesystems = new Map<string, string[]>();
  for (const uuid of namesIn("/sys/fs/btrfs")) {
    const devices = namesIn(`/sys/fs/btrfs/${uuid}/devices`);
    if (devices.length > 0) filesystems.set(uuid, devices);
  }
  return filesystems;
}

/** Names in a directory; none where it is not there or not ours to read. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The text of a small kernel file; empty where it is not there (any more). */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** `8:1` as sysfs has it; empty where there is none. */
export function parseNumber(text: string): DeviceNumber[] {
  const match = /^(\d+):(\d+)/.exec(text);
  return match === null ? [] : [{ major: Number(match[1]), minor: Number(match[2]) }];
}
