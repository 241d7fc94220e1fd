// Whether somebody else can write what is about to be saved, and the ways forward when so (format-notes: superblock options
// decide, a read-only bind mount of a writable file system is writable; what is claimed without a visible mount is writable).

import { realpathSync, type Stats } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { fileKind } from "../sys/file-kind.ts";
import { addon } from "../sys/addon.ts";
import { statLayout } from "../sys/layout.ts";
import { readStat } from "../sys/stat.ts";
import { mountedDevice, statOrUndefined } from "./block.ts";
import { type Mount, mountText, ownMounts } from "./mounts.ts";
import type { Writable } from "./types.ts";
import { isClaimed, type Use, useOf, usersText } from "./use.ts";

/** For a block device, image file, mount point or directory. Throws SOURCE_MISSING where there is nothing. */
export async function writableReason(path: string): Promise<Writable> {
  const stat = statSource(path);
  if (stat.isDirectory()) return directoryWritable(path);
  if (stat.isBlockDevice() || stat.isFile()) return deviceWritable(path, useOf(stat));
  throw new TsfsaError(
    "SOURCE_NOT_FILESYSTEM",
    `expected a block device, image file or directory, found ${fileKind(stat)}: ${path}`,
    {
      path,
    },
  );
}

/** Of each file system that is mounted below a directory. */
export function writableBelow(path: string): Writable[] {
  const top = realpathSync.native(path, "latin1");
  const start = top === "/" ? top : `${top}/`;
  return ownMounts()
    .filter(({ mountPoint }) => mountPoint.length > 1 && mountPoint.toString("latin1").startsWith(start))
    .map(mountWritable);
}

/** stat of a source. Throws SOURCE_MISSING or SOURCE_UNREADABLE. */
export function statSource(path: string): Stats {
  const stat = statOrUndefined(path);
  if (stat !== undefined) return stat;
  throw new TsfsaError("SOURCE_MISSING", `there is no such device, image, mount point or directory: ${path}`, { path });
}

/** The mount of this namespace that a directory lies on, and whether the directory is the root of that mount. */
export function mountOf(path: string): { readonly mount: Mount | undefined; readonly isRoot: boolean } {
  const record = new Uint8Array(statLayout.size);
  const name = Buffer.from(path);
  if (addon().statAt(-100, Buffer.concat([name, Buffer.from("/.")]), record) < 0)
    return { mount: undefined, isRoot: false };
  const { mountId } = readStat(record);
  const mount = ownMounts().find((each) => each.id === mountId);
  return { mount, isRoot: readStat(record).mountRoot };
}

function directoryWritable(path: string): Writable {
  const { mount } = mountOf(path);
  if (mount === undefined) {
    return writable(`the file system of ${path} is not in the mount table, so nothing says that it cannot change`, []);
  }
  return mountWritable(mount);
}

/** File systems that only exist as they are mounted here. */
const inMemory = new Set(["tmpfs", "ramfs"]);

function mountWritable(mount: Mount): Writable {
  if (mount.superblockWritable) return mountedWritable(mount);
  if (inMemory.has(mount.type)) return { writable: false };
  const device = mountedDevice(mount);
  const stat = device === undefined ? undefined : statOrUndefined(device);
  if (device === undefined || stat?.isBlockDevice() !== true) return { writable: false, elsewhere: true };
  return deviceWritable(device, useOf(stat));
}

/** Use of a device or image, weighed. */
export function deviceWritable(path: string, use: Use): Writable {
  const written = use.mounts.find((mount) => mount.superblockWritable);
  if (written !== undefined) return mountedWritable(written);
  const names = [...(use.device === undefined ? [] : [path]), ...use.loops.map((loop) => loop.path)];
  if (use.swap || (use.mounts.length === 0 && (use.holders.length > 0 || names.some(isClaimed)))) {
    return writable(`${path} is in use by ${usersText(use)}`, [
      "release the device, or name the mount point of what uses it",
    ]);
  }
  return { writable: false };
}

function mountedWritable(mount: Mount): Writable {
  return writable(`${mount.type} on ${mount.source.toString()} is mounted read-write at ${mountText(mount)}`, [
    `remount it read-only: mount -o remount,ro ${mount.mountPoint.toString()}`,
  ]);
}

/** The way that is not open to who reads blocks. */
export const liveWay = "save it while it changes (--allow-rw): each file is checked after reading";

function writable(reason: string, ways: readonly string[]): Writable {
  return {
    writable: true,
    reason,
    ways: [...ways, "save it from a snapshot: savefs or saveimg with --snapshot", liveWay],
  };
}
