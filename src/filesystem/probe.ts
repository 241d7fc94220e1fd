// Every block device with what it holds, how full it is, where it is mounted, whether it can be written now and who holds it.

import { closeSync, constants, openSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { usedBytesOf } from "./attach.ts";
import { blockDevices, deviceNumber, devicePath, statOrUndefined } from "./block.ts";
import { labelFields } from "./describe.ts";
import { readerOfFd, sizeOfFd } from "./reader.ts";
import { identify } from "./superblock/identify.ts";
import type { ProbedDevice } from "./types.ts";
import { readTables, type Tables, type Use, useOf } from "./use.ts";
import { deviceWritable } from "./writable.ts";

/** The devices named (block devices or image files), or all of the machine that have a size. Throws SOURCE_MISSING for a name. */
export async function probe(paths?: readonly string[]): Promise<ProbedDevice[]> {
  const tables = readTables();
  const found: ProbedDevice[] = [];
  for (const path of paths ?? allPaths()) {
    const device = await probeOne(path, tables, paths !== undefined);
    if (device !== undefined) found.push(device);
  }
  return found;
}

/** In order of numbers, partitions after their disk. */
function allPaths(): string[] {
  return blockDevices()
    .toSorted((a, b) => a.major - b.major || a.minor - b.minor)
    .flatMap((number) => devicePath(number) ?? []);
}

async function probeOne(path: string, tables: Tables, isNamed: boolean): Promise<ProbedDevice | undefined> {
  const stat = statOrUndefined(path);
  if (stat === undefined || !(stat.isBlockDevice() || stat.isFile())) {
    if (!isNamed) return undefined;
    throw new TsfsaError("SOURCE_MISSING", `there is no such block device or image file: ${path}`, { path });
  }
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!isNamed) return undefined; // no medium, or not ours to read
    throw new TsfsaError("SOURCE_UNREADABLE", `cannot open ${path} for reading`, { path, cause: error });
  }
  try {
    const sizeBytes = sizeOfFd(fd);
    if (sizeBytes === 0 && !isNamed) return undefined; // loop devices without a file, empty drives
    const identity = await identify(readerOfFd(fd, sizeBytes));
    const use = useOf(stat, tables);
    const number = stat.isBlockDevice() ? deviceNumber(stat.rdev) : { major: 0, minor: 0 };
    return {
      path,
      ...number,
      type: identity?.type ?? null,
      usage: identity?.usage ?? null,
      ...labelFields(identity?.label),
      uuid: identity?.uuid ?? null,
      sizeBytes,
      usedBytes: usedNow(use) ?? identity?.usedBytes ?? null,
      mountPoints: use.mounts.map((mount) => mount.mountPoint.toString()),
      writable: deviceWritable(path, use).writable,
      heldBy: [...(use.swap ? ["swap"] : []), ...use.holders, ...use.loops.map((loop) => loop.path)],
    };
  } finally {
    closeSync(fd);
  }
}

/** statfs of a mount this process can reach; the superblock on disk lags behind a mounted file system. */
function usedNow(use: Use): number | undefined {
  const mount = use.mounts.find((each) => each.pid === 0);
  if (mount === undefined) return undefined;
  let fd: number;
  try {
    fd = openSync(mount.mountPoint, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    return usedBytesOf(fd);
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}
