// Every block device with what it holds, how full it is, where it is mounted, whether it can be written now, who holds it, and which snapshot
// method fits it. What may not be opened is shown as far as sysfs and the mount table tell.

import { closeSync, constants, openSync, type Stats } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { usedBytesOf } from "./attach.ts";
import { blockDevices, deviceNumber, statOrUndefined } from "./block.ts";
import { labelFields } from "./describe.ts";
import { deviceKind, deviceSizeBytes, friendlyPath, mapperFacts } from "./kind.ts";
import type { Mount } from "./mounts.ts";
import { readerOfFd, sizeOfFd } from "./reader.ts";
import { snapshotMethodFor } from "./snapshot-method.ts";
import { identify } from "./superblock/identify.ts";
import type { Identity, ProbedDevice } from "./types.ts";
import { readTables, type Tables, useOf, userNames } from "./use.ts";
import { deviceWritable } from "./writable.ts";

/** The devices named (block devices or image files), or all of the machine that have a size. Throws SOURCE_MISSING for a name. */
export async function probe(paths?: readonly string[]): Promise<ProbedDevice[]> {
  const tables = readTables();
  const found: ProbedDevice[] = [];
  for (const path of paths ?? allPaths()) {
    const stat = statOrUndefined(path);
    if (stat?.isBlockDevice() === true || stat?.isFile() === true) found.push(await probeOne(path, stat, tables));
    else if (paths !== undefined) {
      throw new TsfsaError("SOURCE_MISSING", `there is no such block device or image file: ${path}`, { path });
    }
  }
  // Loop devices without a file and empty drives hold nothing.
  return paths === undefined ? found.filter(({ sizeBytes }) => sizeBytes > 0) : found;
}

/** In order of numbers, partitions after their disk. */
function allPaths(): string[] {
  return blockDevices()
    .toSorted((a, b) => a.major - b.major || a.minor - b.minor)
    .flatMap((number) => friendlyPath(number) ?? []);
}

async function probeOne(path: string, stat: Stats, tables: Tables): Promise<ProbedDevice> {
  const device = stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
  const use = useOf(stat, tables, true);
  const content = await contentOf(path);
  const writable = deviceWritable(path, useOf(stat, tables));
  const isMounted = use.mounts.length > 0;
  const type = content.identity?.type ?? use.mounts[0]?.type ?? null;
  const holdsFilesystem = isMounted || content.identity?.usage === "filesystem";
  return {
    path,
    kind: device === undefined ? "image" : deviceKind(device),
    ...(device ?? { major: 0, minor: 0 }),
    readable: content.readable,
    type,
    usage: content.identity?.usage ?? (isMounted ? "filesystem" : null),
    ...labelFields(content.identity?.label),
    uuid: content.identity?.uuid ?? null,
    sizeBytes: content.sizeBytes ?? (device === undefined ? stat.size : deviceSizeBytes(device)),
    usedBytes: usedNow(use.mounts) ?? content.identity?.usedBytes ?? null,
    mounts: use.mounts.map(({ mountPoint, root, superblockWritable, pid }) => ({
      mountPoint,
      root,
      writable: superblockWritable,
      pid,
    })),
    writable: writable.writable,
    writableBecause: writable.writable ? writable.reason : null,
    heldBy: [...userNames(use), ...use.loops.map((loop) => loop.path)],
    snapshot: snapshotMethodFor({
      type: holdsFilesystem ? type : null,
      mountPoints: use.mounts.filter(({ pid }) => pid === 0).map(({ mountPoint }) => mountPoint.toString()),
      writable: writable.writable,
      mapper: device && mapperFacts(device),
    }),
  };
}

interface Content {
  readonly readable: boolean;
  readonly sizeBytes?: number;
  readonly identity?: Identity | undefined;
}

/** What a device says of itself; not readable where it may not be opened, has no medium, or gives an error. */
async function contentOf(path: string): Promise<Content> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return { readable: false };
  }
  try {
    const sizeBytes = sizeOfFd(fd);
    return { readable: true, sizeBytes, identity: await identify(readerOfFd(fd, sizeBytes)) };
  } catch {
    return { readable: false };
  } finally {
    closeSync(fd);
  }
}

/** statfs of a mount this process can reach; the superblock on disk lags behind a mounted file system. */
function usedNow(mounts: readonly Mount[]): number | undefined {
  const mount = mounts.find(({ pid }) => pid === 0);
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
