// Loop devices and detached mounts of sys/, each given back through a Cleanup, and waiting until the kernel has let go of
// them. Mechanism shared by sources and targets; nothing is decided here.

import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { check } from "../sys/errors.ts";
import * as loops from "../sys/loop.ts";
import * as mounts from "../sys/mount.ts";
import type { Cleanup } from "./cleanup.ts";

/** Attaches a loop device; giving it back waits until it is gone. */
export function attachLoop(cleanup: Cleanup, backingFd: number, options: loops.LoopOptions): loops.LoopDevice {
  const loop = loops.attachLoop(backingFd, options);
  cleanup.defer(async () => {
    loop.close();
    const attached = `/sys/block/loop${loop.index}/loop/backing_file`;
    await waitUntil(() => !existsSync(attached), `${loop.path} is still in use`);
  });
  return loop;
}

/** How long the kernel may take to let go of something after its last descriptor was closed. */
const releaseTimeoutMs = 5000;

export async function waitUntil(done: () => boolean, failure: string): Promise<void> {
  const deadline = Date.now() + releaseTimeoutMs;
  for (let pauseMs = 1; !done(); pauseMs = Math.min(pauseMs * 2, 100)) {
    if (Date.now() > deadline) throw new TsfsaError("IO", `${failure} after it was given up`);
    await sleep(pauseMs);
  }
}

/** A detached mount; returns a readable descriptor of its root. Throws what sys/mount.ts throws (errno in the context). */
export function mountDetached(cleanup: Cleanup, request: mounts.MountRequest): number {
  try {
    return rootOf(cleanup, mounts.mountDetached(request));
  } catch (error) {
    // ext2 and ext3 may have no driver of their own: ext4 reads them (without CONFIG_EXT4_USE_FOR_EXT2 or its aliases).
    const isOld = request.type === "ext2" || request.type === "ext3";
    if (!isOld || !(error instanceof TsfsaError) || error.context.errno !== "ENODEV") throw error;
    return rootOf(cleanup, mounts.mountDetached({ ...request, type: "ext4" }));
  }
}

/** A detached copy of the mount at a path without the mounts below it; returns a readable descriptor of its root. */
export function cloneMount(cleanup: Cleanup, path: string, attributes: number): number {
  const mount = mounts.cloneTreeAt(Buffer.from(path));
  cleanup.defer(() => mount.close());
  check(addon().setMountAttributes(mount.fd, attributes), "mount_setattr", path);
  return rootOf(cleanup, mount);
}

/** The mount lives as long as its own descriptor (O_PATH); its root must be opened to be read. */
function rootOf(cleanup: Cleanup, mount: mounts.DetachedMount): number {
  cleanup.defer(() => mount.close());
  const rootFd = mount.openRoot();
  cleanup.defer(() => {
    addon().close(rootFd);
  });
  return rootFd;
}

/** Bytes in use by statfs. */
export function usedBytesOf(fd: number): number {
  const out = new Float64Array(12);
  check(addon().statFilesystem(fd, out), "fstatfs");
  const [, , blocks = 0, free = 0, , , , , , , fragmentSize = 0] = out;
  return (blocks - free) * fragmentSize;
}
