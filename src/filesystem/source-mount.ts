// Descriptors, read-only loop devices and read-only mounts of a source; failures become the source's errors.

import { closeSync, constants, openSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import type { FilesystemType } from "../model/filesystem-type.ts";
import { addon } from "../sys/addon.ts";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY } from "../sys/constants.ts";
import { attachLoop, mountDetached } from "./attach.ts";
import { btrfsDevices, deviceNumber, kernelName } from "./block.ts";
import type { Cleanup } from "./cleanup.ts";
import { type ByteReader, readerOfFd } from "./reader.ts";
import { mountError, replayError, writableError } from "./source-errors.ts";
import { statSource } from "./writable.ts";

export const readOnlyMount: number = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

export interface OpenReader extends ByteReader {
  readonly fd: number;
}

/** Opens a device or image for reading; EBUSY of an O_EXCL open means that somebody else holds it. */
export function openReader(cleanup: Cleanup, path: string, flags: number): OpenReader {
  let fd: number;
  try {
    fd = openSync(path, flags | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EBUSY") {
      throw writableError(path, {
        writable: true,
        reason: `${path} was claimed by another program meanwhile`,
        ways: [],
      });
    }
    const isDenied = code === "EACCES" || code === "EPERM";
    throw new TsfsaError(isDenied ? "NO_PERMISSION" : "SOURCE_UNREADABLE", `cannot open ${path} for reading: ${code}`, {
      path,
      errno: code ?? "",
      ...(isDenied && { hints: ["run it as root"] }),
      cause: error,
    });
  }
  cleanup.defer(() => closeSync(fd));
  const reader = readerOfFd(fd);
  return { fd, sizeBytes: reader.sizeBytes, read: (offset, length) => reader.read(offset, length) };
}

/** Path of a read-only loop device on an open device or image. */
export function readOnlyLoop(cleanup: Cleanup, fd: number, isDevice: boolean, path: string): string {
  return attachLoop(cleanup, fd, {
    readOnly: true,
    // This spares a second copy in the page cache; an image may well be cached already, so it is read through the cache.
    directIo: isDevice,
    sectorSize: isDevice ? addon().deviceSectorSize(fd) : 0,
    name: Buffer.from(path),
  }).path;
}

/** What shows the whole of a btrfs, whichever subvolume is its default: the top level (BTRFS_FS_TREE_OBJECTID, linux/btrfs_tree.h). */
const topLevel = "subvolid=5";

/** A detached read-only mount; xfs must not mind the UUID of another that is mounted. */
export function mountReadOnly(cleanup: Cleanup, type: FilesystemType, device: string, path: string): number {
  const options = type === "xfs" ? ["nouuid"] : type === "btrfs" ? [topLevel] : [];
  return tryMount(cleanup, type, device, ["ro", ...options], path);
}

/** A second mount of a mounted file system: same superblock, whole tree. It must ask for the state the superblock is in. */
export function shareSuperblock(
  cleanup: Cleanup,
  type: FilesystemType,
  device: string,
  isWritable: boolean,
  path: string,
): number {
  const options = type === "btrfs" ? [topLevel] : [];
  return tryMount(cleanup, type, device, isWritable ? options : ["ro", ...options], path);
}

function tryMount(
  cleanup: Cleanup,
  type: FilesystemType,
  source: string,
  options: readonly string[],
  path: string,
): number {
  try {
    const rootFd = mountDetached(cleanup, { type, source, options, attributes: readOnlyMount });
    if (type === "btrfs") checkBtrfsDevice(source, path);
    return rootFd;
  } catch (error) {
    if (!(error instanceof TsfsaError) || error.context.errno === undefined) throw error;
    // A journal that must be replayed on a device that cannot be written: ext4, xfs and btrfs all say EROFS.
    if (error.context.errno === "EROFS") throw replayError(path, type, error);
    throw mountError(path, type, error);
  }
}

/** Kernels before 6.7 hand out an already mounted btrfs of the same UUID: what was mounted must be on our device. */
function checkBtrfsDevice(device: string, path: string): void {
  const name = kernelName(deviceNumber(statSource(device).rdev));
  if ([...btrfsDevices().values()].some((names) => name !== undefined && names.includes(name))) return;
  throw new TsfsaError("SOURCE_UNREADABLE", `the kernel mounted another btrfs with the same UUID instead of ${path}`, {
    path,
    hints: ["unmount the other file system, or name its mount point"],
  });
}
