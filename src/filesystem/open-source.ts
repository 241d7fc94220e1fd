// Opens a file system for saving: from a block device or image that nobody uses, or from a mount. The view is read-only and
// detached, so nothing of it can be seen, changed or taken away by others; the source's bytes are never written.
//
//   unmounted device  O_RDONLY|O_EXCL ─┐
//   unmounted image   flock, loops held ┴─► read-only loop device ─► detached read-only mount
//   mounted device    its superblock shared ─► detached read-only mount of the whole file system
//   mount point       a detached read-only copy of that mount

import { closeSync, constants, openSync, type Stats } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { LOCK_NB, LOCK_SH } from "../sys/constants.ts";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY } from "../sys/constants.ts";
import { statDescriptor } from "../sys/stat.ts";
import { attachLoop, cloneMount, mountDetached, usedBytesOf } from "./attach.ts";
import { btrfsDevices, deviceNumber, devicePath, kernelName, sameDevice } from "./block.ts";
import { type Cleanup, openWith } from "./cleanup.ts";
import { describeFilesystem } from "./describe.ts";
import { type Mount, mountText } from "./mounts.ts";
import { type ByteReader, readerOfFd } from "./reader.ts";
import { checkSource, type SourceCheck } from "./source-check.ts";
import type { FilesystemType, OpenSource, Writable } from "./types.ts";
import { filesystemTypes } from "./types.ts";
import { useOf } from "./use.ts";
import { deviceWritable, mountOf, statSource } from "./writable.ts";

export interface OpenSourceOptions {
  /** Save also what others can write meanwhile. */
  readonly allowRw: boolean;
  /** The device is a throw-away copy (a snapshot): its journal may be replayed into it. */
  readonly replay?: boolean;
}

const readOnlyMount = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/**
 * Opens a block device, image file or mount point. Throws SOURCE_MISSING, SOURCE_WRITABLE (unless allowRw), SOURCE_NOT_FILESYSTEM,
 * SOURCE_NEEDS_REPLAY, SOURCE_UNREADABLE, UNSUPPORTED.
 */
export async function openSource(path: string, options: OpenSourceOptions): Promise<OpenSource> {
  const stat = statSource(path);
  return openWith((cleanup) => {
    if (stat.isDirectory()) return openMountPoint(cleanup, path, options);
    if (stat.isBlockDevice() || stat.isFile()) return openDevice(cleanup, path, stat, options);
    throw new TsfsaError("SOURCE_NOT_FILESYSTEM", `expected a block device, image file or mount point: ${path}`, {
      path,
    });
  });
}

async function openMountPoint(cleanup: Cleanup, path: string, options: OpenSourceOptions): Promise<OpenSource> {
  const { mount, isRoot } = mountOf(path);
  if (mount === undefined || !isRoot) {
    throw new TsfsaError(
      "SOURCE_NOT_FILESYSTEM",
      `expected a device, image or mount point, found a plain directory: ${path}`,
      {
        path,
        hints: ["save a directory with savedir", "or name the device or the mount point of its file system"],
      },
    );
  }
  if (!isFilesystemType(mount.type)) {
    throw new TsfsaError("SOURCE_NOT_FILESYSTEM", `${mount.type} at ${path} is not a file system savefs can save`, {
      path,
      hints: [`it saves ${filesystemTypes.join(", ")}`, "save its files with savedir"],
    });
  }
  const device = mount.type === "btrfs" ? mount.source.toString() : devicePath(mount);
  if (device === undefined || !statSource(device).isBlockDevice()) {
    throw new TsfsaError(
      "SOURCE_UNREADABLE",
      `the device of ${path} (${mount.major}:${mount.minor}) has no node in /dev`,
      { path },
    );
  }
  const use = useOf(statSource(device));
  const state = deviceWritable(device, use);
  refuseWritable(path, state, options);
  const reader = openReader(cleanup, device, constants.O_RDONLY);
  const source = await checkSource(reader, path, mount);
  const rootFd = showsWholeFilesystem(mount, path)
    ? cloneMount(cleanup, path, readOnlyMount)
    : shareSuperblock(cleanup, source.type, device, mount.superblockWritable, path);
  const found = statDescriptor(rootFd).dev;
  if (mount.type !== "btrfs" && !sameDevice(found, mount)) {
    throw new TsfsaError("SOURCE_UNREADABLE", `another file system was mounted at ${path} meanwhile`, { path });
  }
  return finish(cleanup, { rootFd, source, reader, device, state, path, origin: `${device} on ${path}` });
}

/** ext, xfs: the whole; btrfs: a subvolume, whose root directory has inode 256 (BTRFS_FIRST_FREE_OBJECTID). */
function showsWholeFilesystem(mount: Mount, path: string): boolean {
  if (mount.type !== "btrfs") return mount.root.equals(Buffer.from("/"));
  if (statSource(path).ino === 256) return true;
  throw new TsfsaError("SOURCE_NOT_FILESYSTEM", `${path} shows a directory of a btrfs subvolume, not a subvolume`, {
    path,
    hints: ["name a mount point of the subvolume, or the device for the default subvolume"],
  });
}

async function openDevice(
  cleanup: Cleanup,
  path: string,
  stat: Stats,
  options: OpenSourceOptions,
): Promise<OpenSource> {
  const use = useOf(stat);
  const state = deviceWritable(path, use);
  refuseWritable(path, state, options);
  const mount = use.mounts.find((each) => each.superblockWritable) ?? use.mounts[0];
  if (mount !== undefined) {
    const device = mount.type === "btrfs" ? mountedBtrfsDevice(mount, path) : devicePath(mount);
    if (device === undefined)
      throw new TsfsaError("SOURCE_UNREADABLE", `the device mounted at ${mountText(mount)} has no node in /dev`, {
        path,
      });
    const reader = openReader(cleanup, device, constants.O_RDONLY);
    const source = await checkSource(reader, path, mount);
    const rootFd = shareSuperblock(cleanup, source.type, device, mount.superblockWritable, path);
    return finish(cleanup, { rootFd, source, reader, device, state, path, origin: path });
  }
  if (state.writable) throw writableError(path, state, ["nothing of it is mounted that could be read instead"]);
  return openUnmounted(
    cleanup,
    path,
    stat,
    use.loops.map((loop) => loop.path),
    options,
  );
}

async function openUnmounted(
  cleanup: Cleanup,
  path: string,
  stat: Stats,
  aliases: readonly string[],
  options: OpenSourceOptions,
): Promise<OpenSource> {
  for (const alias of aliases) openReader(cleanup, alias, constants.O_RDONLY | constants.O_EXCL);
  const isDevice = stat.isBlockDevice();
  const replay = options.replay === true && isDevice;
  // The kernel's mount claims the device itself: only then must nobody hold it, us included.
  const reader = openReader(cleanup, path, constants.O_RDONLY | (isDevice && !replay ? constants.O_EXCL : 0));
  if (!isDevice && addon().lock(reader.fd, LOCK_SH | LOCK_NB) < 0) {
    throw writableError(path, { writable: true, reason: `another program has locked ${path}`, ways: [] });
  }
  const source = await checkSource(reader, path, undefined);
  if (source.needsReplay && !replay) throw replayError(path, source.type);
  const mounted = replay ? path : readOnlyLoop(cleanup, reader.fd, isDevice, path);
  const rootFd = mountReadOnly(cleanup, source.type, mounted, path);
  const state: Writable = { writable: false };
  return finish(cleanup, { rootFd, source, reader, device: path, state, path, origin: path, claimed: true });
}

function readOnlyLoop(cleanup: Cleanup, fd: number, isDevice: boolean, path: string): string {
  return attachLoop(cleanup, fd, {
    readOnly: true,
    // This spares a second copy in the page cache; an image may well be cached already, so it is read through the cache.
    directIo: isDevice,
    sectorSize: isDevice ? addon().deviceSectorSize(fd) : 0,
    name: Buffer.from(path),
  }).path;
}

function mountReadOnly(cleanup: Cleanup, type: FilesystemType, device: string, path: string): number {
  return tryMount(cleanup, type, device, type === "xfs" ? ["ro", "nouuid"] : ["ro"], path);
}

/** A second mount of a mounted file system: same superblock, whole tree. It must ask for the state the superblock is in. */
function shareSuperblock(
  cleanup: Cleanup,
  type: FilesystemType,
  device: string,
  isWritable: boolean,
  path: string,
): number {
  return tryMount(cleanup, type, device, isWritable ? [] : ["ro"], path);
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

function mountedBtrfsDevice(mount: Mount, path: string): string | undefined {
  const source = mount.source.toString();
  return statSource(path).isBlockDevice() ? path : source;
}

interface Opened {
  readonly rootFd: number;
  readonly source: SourceCheck;
  readonly reader: ByteReader;
  readonly device: string;
  readonly state: Writable;
  readonly path: string;
  readonly origin: string;
  /** Nobody else can open it for writing while we hold it. */
  readonly claimed?: boolean;
}

async function finish(cleanup: Cleanup, opened: Opened): Promise<OpenSource> {
  const { rootFd, source, reader, device, state, path, origin, claimed } = opened;
  const description = await describeFilesystem(reader, usedBytesOf(rootFd));
  if (description === undefined) {
    throw new TsfsaError("SOURCE_UNREADABLE", `the superblock of ${path} changed while it was opened`, { path });
  }
  return {
    rootFd,
    description,
    origin,
    device,
    frozen: !state.writable,
    warnings: source.warnings,
    checkFrozen: () => (claimed === true || state.writable ? state : deviceWritable(device, useOf(statSource(device)))),
    close: () => cleanup.run(),
  };
}

interface OpenReader extends ByteReader {
  readonly fd: number;
}

function openReader(cleanup: Cleanup, path: string, flags: number): OpenReader {
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

function isFilesystemType(type: string): type is FilesystemType {
  return (filesystemTypes as readonly string[]).includes(type);
}

function refuseWritable(path: string, state: Writable, options: OpenSourceOptions): void {
  if (state.writable && !options.allowRw) throw writableError(path, state);
}

function writableError(path: string, state: Writable, hints: readonly string[] = []): TsfsaError {
  const { reason, ways } = state.writable ? state : { reason: "", ways: [] };
  return new TsfsaError("SOURCE_WRITABLE", `expected a source that nobody can write, but ${reason}`, {
    path,
    hints: [...hints, ...ways],
  });
}

function replayError(path: string, type: string, cause?: unknown): TsfsaError {
  return new TsfsaError(
    "SOURCE_NEEDS_REPLAY",
    `the ${type} in ${path} was not unmounted cleanly: its journal must be replayed before it can be read`,
    {
      path,
      hints: ["mount it and unmount it once, then save it", "or save a snapshot of it (--snapshot)"],
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function mountError(path: string, type: string, cause: TsfsaError): TsfsaError {
  const code = cause.code === "NO_PERMISSION" ? cause.code : "SOURCE_UNREADABLE";
  return new TsfsaError(code, `cannot mount the ${type} in ${path} read-only: ${cause.message}`, {
    path,
    hints: [
      code === "NO_PERMISSION"
        ? "run it as root"
        : "check the file system (the kernel's log, dmesg, says more), or mount it yourself and name the mount point",
    ],
    cause,
  });
}
