// Opens a file system for saving: from a block device or image that nobody uses, or from a mount. The view is read-only and
// detached, so nothing of it can be seen, changed or taken away by others; the source's bytes are never written.
//
//   unmounted device  O_RDONLY|O_EXCL ─┐
//   unmounted image   flock, loops held ┴─► read-only loop device ─► detached read-only mount
//   mounted device    its superblock shared ─► detached read-only mount of the whole file system
//   mount point       a detached read-only copy of that mount

import { constants, type Stats } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { type FilesystemType, filesystemTypes } from "../model/filesystem-type.ts";
import { addon } from "../sys/addon.ts";
import { LOCK_NB, LOCK_SH } from "../sys/constants.ts";
import { statDescriptor } from "../sys/stat.ts";
import { cloneMount, usedBytesOf } from "./attach.ts";
import { mountedDevice, sameDevice } from "./block.ts";
import { type Cleanup, openWith } from "./cleanup.ts";
import { describeFilesystem } from "./describe.ts";
import { type Mount, mountText } from "./mounts.ts";
import type { ByteReader } from "./reader.ts";
import { checkSource, type SourceCheck } from "./source-check.ts";
import { replayError, writableError } from "./source-errors.ts";
import { mountReadOnly, openReader, readOnlyLoop, readOnlyMount, shareSuperblock } from "./source-mount.ts";
import type { OpenSource, Writable } from "./types.ts";
import { useOf } from "./use.ts";
import { deviceWritable, mountOf, statSource } from "./writable.ts";

export interface OpenSourceOptions {
  /** Save also what others can write meanwhile. */
  readonly allowRw: boolean;
  /** The device is a throw-away copy (a snapshot): its journal may be replayed into it. */
  readonly replay?: boolean;
}

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
  const device = mountedDevice(mount);
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
    hints: ["name a mount point of the subvolume, or the device for all subvolumes"],
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
    const device = mount.type === "btrfs" && statSource(path).isBlockDevice() ? path : mountedDevice(mount);
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
  const description = await describeFilesystem(reader, { type: source.type, usedBytes: usedBytesOf(rootFd) });
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

function isFilesystemType(type: string): type is FilesystemType {
  return (filesystemTypes as readonly string[]).includes(type);
}

function refuseWritable(path: string, state: Writable, options: OpenSourceOptions): void {
  if (state.writable && !options.allowRw) throw writableError(path, state);
}
