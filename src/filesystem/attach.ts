// Descriptors of devices, loop devices and detached mounts, each given back through a Cleanup. Mechanism shared by sources and
// targets; nothing is decided here.

import { closeSync, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { O_DIRECTORY, O_RDONLY } from "../sys/constants.ts";
import { check, errno, errnoMessage, errnoName } from "../sys/errors.ts";
import type { Cleanup } from "./cleanup.ts";

export interface AttachedLoop {
  readonly fd: number;
  readonly path: string;
  /** `loop7`. */
  readonly name: string;
}

/** Attaches a loop device to an open file or device; giving it back detaches it and waits until it is gone. */
export function attachLoop(
  cleanup: Cleanup,
  backingFd: number,
  flags: number,
  sectorSize: number,
  name: string,
): AttachedLoop {
  const out = new Uint32Array(1);
  const shown = Buffer.from(name).subarray(-63);
  const fd = check(addon().attachLoop(backingFd, flags, 0, 0, sectorSize, shown, out), "attaching a loop device", name);
  const loop = { fd, path: `/dev/loop${out[0]}`, name: `loop${out[0]}` };
  cleanup.defer(async () => {
    addon().detachLoop(fd); // done when the last user closes it; with AUTOCLEAR that happens anyway
    closeSync(fd);
    await waitUntil(() => !existsSync(`/sys/block/${loop.name}/loop/backing_file`), `${loop.path} is still in use`);
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

/** Why a mount did not come about: the errno and what the kernel wrote about it. */
export class MountFailure extends Error {
  override readonly name = "MountFailure";
  readonly errno: number;

  constructor(number: number, kernelMessage: string) {
    super(
      [`${errnoMessage(number)} (${errnoName(number)})`, kernelMessage.trim()].filter((part) => part !== "").join("; "),
    );
    this.errno = number;
  }
}

/** A detached mount; returns a readable descriptor of its root. Throws MountFailure. */
export function mountDetached(
  cleanup: Cleanup,
  type: string,
  source: string,
  options: readonly string[],
  attributes: number,
): number {
  let fd = addon().mountDetached(type, source, options, attributes);
  // ext2 and ext3 may have no driver of their own: ext4 reads them (CONFIG_EXT4_USE_FOR_EXT2; ext3's is gone since Linux 4.3).
  if (fd === -errno.ENODEV && (type === "ext2" || type === "ext3")) {
    fd = addon().mountDetached("ext4", source, options, attributes);
  }
  if (fd < 0) throw new MountFailure(-fd, addon().lastMountMessage());
  return rootOf(cleanup, fd, source);
}

/** A detached copy of the mount at a path without the mounts below it; returns a readable descriptor of its root. */
export function cloneMount(cleanup: Cleanup, path: string, attributes: number): number {
  const AT_FDCWD = -100;
  const fd = check(addon().cloneTree(AT_FDCWD, Buffer.from(path)), "open_tree", path);
  const attributesResult = addon().setMountAttributes(fd, attributes);
  if (attributesResult < 0) closeSync(fd);
  check(attributesResult, "mount_setattr", path);
  return rootOf(cleanup, fd, path);
}

/** The mount lives as long as its own descriptor (O_PATH); its root must be opened to be read. */
function rootOf(cleanup: Cleanup, mountFd: number, path: string): number {
  cleanup.defer(() => closeSync(mountFd));
  const rootFd = check(
    addon().openAt(mountFd, Buffer.from("."), O_RDONLY | O_DIRECTORY, 0, 0),
    "open of the root",
    path,
  );
  cleanup.defer(() => closeSync(rootFd));
  return rootFd;
}

/** Bytes in use by statfs. */
export function usedBytesOf(rootFd: number): number {
  const out = new Float64Array(12);
  check(addon().statFilesystem(rootFd, out), "fstatfs");
  const [, , blocks = 0, free = 0, , , , , , , fragmentSize = 0] = out;
  return (blocks - free) * fragmentSize;
}
