// Claims a block device or image file for a restore, after everything that speaks against it was looked for: mounts, swap,
// holders, other loop devices, a signature. mkfs and mount claim the device themselves, so the claim can be given up for them
// and is taken back between the steps; an image file stays locked the whole time.

import { closeSync, constants, fsyncSync, openSync, type Stats } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import { fileKind } from "../sys/file-kind.ts";
import { escapeName, formatSize } from "../base/units.ts";
import { addon } from "../sys/addon.ts";
import { LOCK_EX, LOCK_NB } from "../sys/constants.ts";
import { attachLoop } from "./attach.ts";
import { statOrUndefined } from "./block.ts";
import { type Cleanup, openWith } from "./cleanup.ts";
import { mountText } from "./mounts.ts";
import { type ByteReader, readerOfFd, sizeOfFd } from "./reader.ts";
import { refused } from "./refused.ts";
import { identifyAll } from "./superblock/identify.ts";
import type { Identity, OpenTarget } from "./types.ts";
import { type Use, useOf, usersText } from "./use.ts";

export interface OpenTargetOptions {
  /** Take a target that holds something. */
  readonly overwrite: boolean;
  /** What is to be put there, in bytes; 0 or absent: unknown. */
  readonly sizeBytes?: number;
}

/** Opens and claims. Throws TARGET_REFUSED, TARGET_TOO_SMALL, NO_PERMISSION. Nothing is written. */
export async function openTarget(path: string, options: OpenTargetOptions): Promise<OpenTarget> {
  const stat = statOrUndefined(path);
  if (stat === undefined) {
    throw refused(path, "expected a block device or image file, found nothing", [
      `to restore into a new image file, make it first: truncate -s SIZE ${path}`,
    ]);
  }
  if (!stat.isBlockDevice() && !stat.isFile()) {
    throw refused(
      path,
      `expected a block device or image file, found ${fileKind(stat)}`,
      stat.isDirectory() ? ["restore into a directory with restdir"] : [],
    );
  }
  return openWith((cleanup) => claimTarget(cleanup, path, stat, options));
}

async function claimTarget(
  cleanup: Cleanup,
  path: string,
  stat: Stats,
  options: OpenTargetOptions,
): Promise<OpenTarget> {
  refuseUsed(path, useOf(stat));
  const isImage = stat.isFile();
  const file = open(path, constants.O_RDWR);
  cleanup.defer(() => closeSync(file));
  if (isImage && addon().lock(file, LOCK_EX | LOCK_NB) < 0) throw refused(path, "another program has locked it");
  const sizeBytes = sizeOfFd(file);
  const needed = Math.max(options.sizeBytes ?? 0, 1);
  if (sizeBytes < needed) {
    throw new TsfsaError(
      "TARGET_TOO_SMALL",
      `expected at least ${formatSize(needed)} (${needed} bytes), ${path} has ${formatSize(sizeBytes)}`,
      {
        path,
        ...(isImage && {
          hints: [`enlarge the image file, with room for what the file system itself needs: truncate -s SIZE ${path}`],
        }),
      },
    );
  }
  cleanup.defer(() => fsyncSync(file)); // an image's own data, after its loop device is gone
  const loop = isImage ? attachLoop(cleanup, file, { readOnly: false, name: Buffer.from(path) }) : undefined;
  const fd = loop?.fd ?? file;
  const devicePath = loop?.path ?? path;
  if (addon().deviceReadOnly(fd) === 1) throw refused(path, "the device is read-only");

  let claimFd: number | undefined;
  const release = () => {
    if (claimFd !== undefined) closeSync(claimFd);
    claimFd = undefined;
  };
  const claim = () => {
    claimFd ??= open(devicePath, constants.O_RDWR | constants.O_EXCL);
  };
  claim();
  cleanup.defer(release);

  const found = await identifyAll(readerOfFd(fd, sizeBytes));
  const isFree = found.length === 0 && isBlank(readerOfFd(fd, sizeBytes));
  const contents = found.length > 0 ? contentsText(found) : isFree ? "nothing (zeros)" : "data of an unknown kind";
  if (!isFree && !options.overwrite)
    throw refused(path, `it holds ${contents}`, ["give --overwrite to lose what it holds"]);
  return {
    path,
    devicePath,
    fd,
    sizeBytes,
    sectorSize: Math.max(512, addon().deviceSectorSize(fd)),
    current: found[0],
    holdsData: !isFree,
    currentContents: contents,
    release,
    claim: () => patiently(claim),
    close: () => cleanup.run(),
  };
}

/** Throws TARGET_REFUSED for what is mounted, attached or held. */
export function refuseUsed(path: string, use: Use): void {
  const mount = use.mounts[0];
  if (mount !== undefined) {
    throw refused(path, `it is mounted at ${mountText(mount)}`, [
      `unmount it first: umount ${mount.mountPoint.toString()}`,
    ]);
  }
  const loop = use.loops[0];
  if (loop !== undefined)
    throw refused(path, `${loop.path} is attached to it`, [`detach it first: losetup --detach ${loop.path}`]);
  if (use.swap || use.holders.length > 0 || use.btrfsMember) throw refused(path, `it is in use by ${usersText(use)}`);
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EBUSY") throw refused(path, "another program or a mount that no process shows has claimed it");
    if (code === "EACCES" || code === "EPERM") {
      throw new TsfsaError("NO_PERMISSION", `cannot open ${path} for writing: ${code}`, {
        path,
        errno: code,
        cause: error,
      });
    }
    throw refused(
      path,
      code === "EROFS" ? "it cannot be written: the device or its file system is read-only" : `cannot open it: ${code}`,
    );
  }
}

/** Zeros at both ends, where everything that is known has its superblocks. */
function isBlank(reader: ByteReader): boolean {
  const ends = [reader.read(0, MiB), reader.read(Math.max(0, reader.sizeBytes - MiB), MiB)];
  return ends.every((bytes) => bytes.every((byte) => byte === 0));
}

const MiB = 1024 * 1024;

/** udev and btrfs open a device exclusively for a moment after mkfs or unmount. */
async function patiently(claim: () => void): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return claim();
    } catch (error) {
      if (attempt === 20) throw error;
      await sleep(5 * attempt); // one second in all
    }
  }
}

/** What signatures tell, on one line for people; names are those of blkid, the label is escaped so that it cannot do anything to a terminal. */
function contentsText(found: readonly Identity[]): string {
  return found.map(identityText).join(", and signs of ");
}

function identityText({ type, label, uuid, sizeBytes }: Identity): string {
  const words = [type];
  if (label !== undefined) words.push(`"${escapeName(label)}"`);
  if (uuid !== undefined) words.push(`UUID ${uuid}`);
  if (sizeBytes !== undefined) words.push(`of ${formatSize(sizeBytes)}`);
  return words.join(" ");
}
