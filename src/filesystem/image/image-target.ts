// Where an image is restored to: a block device, written in place, or a file, which gets its name when all is in it.

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { TsfsaError } from "../../base/errors.ts";
import { fileKind } from "../../sys/file-kind.ts";
import { formatSize } from "../../base/units.ts";
import { addon } from "../../sys/addon.ts";
import { check } from "../../sys/errors.ts";
import { statOrUndefined } from "../block.ts";
import { clearSignatures } from "../signatures.ts";
import { refused } from "../refused.ts";
import { openTarget, refuseUsed } from "../target.ts";
import { useOf } from "../use.ts";

export interface ImageTarget {
  readonly path: string;
  /** Open for writing. Not to be closed by the caller. */
  readonly fd: number;
  /** What is there now is lost before all is written. */
  readonly inPlace: boolean;
  /** What stands where nothing is written, for messages. */
  readonly unwritten: string;
  /** What is there now, for the plan that is shown; undefined: nothing that would be lost. */
  readonly current: string | undefined;
  /** Nothing has been written before this: discards, and takes away what could be taken for a file system that is not in the image. */
  prepare(): void;
  /** All is written: makes it durable, gives a file its name. */
  commit(): void;
  /** Gives all back; without commit() a new file is removed. Idempotent. */
  close(): Promise<void>;
}

export interface ImageTargetOptions {
  readonly overwrite: boolean;
  readonly discard: boolean;
  /** Logical size of the image. */
  readonly sizeBytes: number;
  /** What a device must hold. */
  readonly endBytes: number;
}

/** Claims the target; nothing is written. Throws TARGET_REFUSED, TARGET_TOO_SMALL, NO_PERMISSION, USAGE. */
export async function openImageTarget(path: string, options: ImageTargetOptions): Promise<ImageTarget> {
  const stat = statOrUndefined(path);
  if (stat?.isBlockDevice() === true) return openDevice(path, options);
  if (stat !== undefined && !stat.isFile())
    throw refused(path, `expected a block device or a file, found ${fileKind(stat)}`);
  if (options.discard) {
    throw new TsfsaError(
      "USAGE",
      `--discard is for block devices: ${path} is a file, of which only used blocks are written`,
      { path },
    );
  }
  return openFile(path, stat, options);
}

async function openDevice(path: string, options: ImageTargetOptions): Promise<ImageTarget> {
  const target = await openTarget(path, { overwrite: options.overwrite, sizeBytes: options.endBytes });
  const { fd, sizeBytes } = target;
  return {
    path,
    fd,
    inPlace: true,
    unwritten: `there stands what ${options.discard ? "the device gives for discarded blocks" : "the device held before"}`,
    current: target.holdsData ? target.currentContents : undefined,
    prepare: () => {
      if (options.discard) check(addon().deviceDiscard(fd, 0, sizeBytes), "discarding the target (BLKDISCARD)", path);
      clearSignatures(fd, sizeBytes);
    },
    commit: () => fsyncSync(fd),
    close: () => target.close(),
  };
}

function openFile(path: string, stat: Stats | undefined, options: ImageTargetOptions): ImageTarget {
  if (stat !== undefined) {
    refuseUsed(path, useOf(stat));
    if (stat.blocks > 0 && !options.overwrite) {
      throw refused(path, `it holds ${formatSize(stat.blocks * 512)} of data`, [
        "give --overwrite to lose what it holds",
      ]);
    }
  }
  const temporary = join(dirname(path), `.tsfsa-${randomBytes(8).toString("hex")}.img`);
  const fd = create(temporary, path);
  let isOpen = true;
  let isNamed = false;
  const close = async (): Promise<void> => {
    if (isOpen) closeSync(fd);
    isOpen = false;
    if (!isNamed) unlinkSync(temporary);
    isNamed = true;
  };
  try {
    if (stat !== undefined) fchmodSync(fd, stat.mode & 0o777);
    ftruncateSync(fd, options.sizeBytes);
  } catch (error) {
    void close();
    throw refused(
      path,
      `a file of ${formatSize(options.sizeBytes)} cannot be made there: ${(error as NodeJS.ErrnoException).code ?? ""}`,
    );
  }
  return {
    path,
    fd,
    inPlace: false,
    unwritten: "zeros stand there",
    current: stat !== undefined && stat.blocks > 0 ? `a file with ${formatSize(stat.blocks * 512)} of data` : undefined,
    prepare: () => {},
    commit: () => {
      fsyncSync(fd);
      renameSync(temporary, path);
      isNamed = true;
    },
    close,
  };
}

function create(temporary: string, path: string): number {
  try {
    return openSync(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const isDenied = code === "EACCES" || code === "EPERM" || code === "EROFS";
    throw new TsfsaError(isDenied ? "NO_PERMISSION" : "TARGET_REFUSED", `cannot make ${path}: ${code}`, {
      path,
      errno: code,
      cause: error,
    });
  }
}
