// Mounts a new file system where only this process sees it, for filling: detached, so that nothing stays mounted after kill -9,
// and nosuid, nodev so that what is restored cannot be used while it is not whole.

import { TsfsaError } from "../base/errors.ts";
import type { FilesystemType } from "../model/filesystem-type.ts";
import { addon } from "../sys/addon.ts";
import { MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID } from "../sys/constants.ts";
import { check } from "../sys/errors.ts";
import { mountDetached, waitUntil } from "./attach.ts";
import { Cleanup } from "./cleanup.ts";
import type { MountedTarget, OpenTarget } from "./types.ts";
import { isClaimed } from "./use.ts";

/** Mounts the target read-write. The claim passes to the mount and comes back with unmount(). Throws FAILED. */
export async function mountTarget(target: OpenTarget, type: FilesystemType): Promise<MountedTarget> {
  const cleanup = new Cleanup();
  target.release();
  try {
    const options = type === "xfs" ? ["nouuid"] : []; // the original may be mounted
    const attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME;
    const rootFd = mountDetached(cleanup, { type, source: target.devicePath, options, attributes });
    return { rootFd, unmount: once(() => unmount(cleanup, target, rootFd)) };
  } catch (error) {
    await cleanup.run();
    await target.claim();
    if (!(error instanceof TsfsaError)) throw error;
    throw new TsfsaError(
      error.code === "NO_PERMISSION" ? error.code : "FAILED",
      `cannot mount the new ${type} on ${target.path}: ${error.message}`,
      {
        path: target.path,
        hints: [
          "this kernel may not know one of its features (dmesg says which): leave it out with mkfsopt='-O ^FEATURE'",
        ],
        cause: error,
      },
    );
  }
}

async function unmount(cleanup: Cleanup, target: OpenTarget, rootFd: number): Promise<void> {
  const synced = addon().syncFilesystem(rootFd);
  await cleanup.run();
  await waitUntil(() => !isClaimed(target.devicePath), `the file system on ${target.path} is still mounted`);
  await target.claim();
  check(synced, "syncfs", target.path);
  check(addon().fsync(target.fd), "fsync", target.path);
}

function once(action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= action());
}
