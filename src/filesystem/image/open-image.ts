// Opens a device or image file to be read block by block: claimed so that nobody writes it meanwhile, and with the map of what is to be read.

import { closeSync, constants, openSync, type Stats } from "node:fs";
import { TsfsaError } from "../../base/errors.ts";
import { filesystemTypes } from "../../model/filesystem-type.ts";
import { fileKind } from "../../sys/file-kind.ts";
import type { FilesystemDescription } from "../../model/archive.ts";
import { addon } from "../../sys/addon.ts";
import { LOCK_NB, LOCK_SH, POSIX_FADV_DONTNEED } from "../../sys/constants.ts";
import { dataSegments } from "../../sys/data-runs.ts";
import { type Cleanup, openWith } from "../cleanup.ts";
import { describeFilesystem } from "../describe.ts";
import type { ByteReader } from "../reader.ts";
import { writableError } from "../source-errors.ts";
import { openReader } from "../source-mount.ts";
import { identifyAll } from "../superblock/identify.ts";
import type { Identity, Writable } from "../types.ts";
import { useOf } from "../use.ts";
import { deviceWritable, statSource } from "../writable.ts";
import { allocationOf, everything } from "./allocation.ts";
import { mapRunsMax } from "./map.ts";
import { intersectRuns } from "./runs.ts";

export interface OpenImageOptions {
  /** Read also what others can write meanwhile; then all blocks. */
  readonly allowRw: boolean;
  /** Read all blocks, whatever the file system says. */
  readonly raw: boolean;
  /** A snapshot: whether it stays what it is, is for others to prove. */
  readonly held?: boolean;
}

/** A device or image file opened for reading. Everything it holds is given back by close(). */
export interface OpenImage {
  /** Not to be closed by the caller. */
  readonly fd: number;
  /** The same device past the page cache (O_DIRECT); undefined: an image file, or it cannot be read so. */
  readonly directFd: number | undefined;
  readonly sizeBytes: number;
  /** Runs of bytes that are read; what lies between them is not, or is a hole of the image file. */
  readonly runs: Float64Array;
  /** Bytes that a target must have. */
  readonly endBytes: number;
  /** Why all blocks are read; undefined: only those in use. */
  readonly doubt: string | undefined;
  /** What it holds; undefined: nothing that is known. */
  readonly identity: Identity | undefined;
  /** Of the file systems that savefs knows. */
  readonly description: FilesystemDescription | undefined;
  /** Modification time of an image file, seconds and nanoseconds; undefined for devices. */
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number } | undefined;
  readonly frozen: boolean;
  /** Asked after the last read: whether somebody could write it meanwhile. */
  checkFrozen(): Writable;
  close(): Promise<void>;
}

/** Throws SOURCE_MISSING, SOURCE_WRITABLE (unless allowRw), SOURCE_UNREADABLE, NO_PERMISSION, USAGE for what is neither device nor image. */
export async function openImage(path: string, options: OpenImageOptions): Promise<OpenImage> {
  const stat = statSource(path);
  if (!stat.isBlockDevice() && !stat.isFile()) {
    throw new TsfsaError(
      "SOURCE_UNREADABLE",
      `expected a block device or image file, found ${fileKind(stat)}: ${path}`,
      {
        path,
        hints: ["name the device itself: findmnt shows it; or save its files with savefs or savedir"],
      },
    );
  }
  return openWith((cleanup) => openBlocks(cleanup, path, stat, options));
}

async function openBlocks(cleanup: Cleanup, path: string, stat: Stats, options: OpenImageOptions): Promise<OpenImage> {
  const { held = false } = options;
  const use = useOf(stat);
  const state: Writable = held ? { writable: false } : deviceWritable(path, use);
  if (state.writable && !options.allowRw) throw writableError(path, state);
  const isFree = use.mounts.length === 0 && !state.writable && !held;
  const reader = isFree ? openClaimed(cleanup, path, stat, use.loops) : openReader(cleanup, path, constants.O_RDONLY);
  // What a mounted file system writes to its files goes past the pages that reading the device has left.
  if (stat.isBlockDevice()) addon().advise(reader.fd, 0, 0, POSIX_FADV_DONTNEED);
  if (reader.sizeBytes === 0) throw new TsfsaError("SOURCE_UNREADABLE", `${path} has no bytes`, { path });

  const [identity, other] = (await identifyAll(reader)).filter((each, index) => index === 0 || each.usage !== "table");
  const allocation = state.writable
    ? everything(reader, "others can write it meanwhile")
    : options.raw
      ? everything(reader, "all blocks were asked for")
      : other !== undefined
        ? everything(reader, `it shows signs of ${identity?.type} and of ${other.type}`)
        : await allocationOf(reader, identity);
  const holes = stat.isFile() ? dataSegments(reader.fd, reader.sizeBytes, mapRunsMax, undefined) : undefined;
  const type = filesystemTypes.find((each) => each === identity?.type);
  const usedBytes = sumOf(allocation.runs);
  const description = type === undefined ? undefined : await describeFilesystem(reader, { type });
  return {
    fd: reader.fd,
    directFd: stat.isBlockDevice() ? openDirect(cleanup, reader.fd) : undefined,
    sizeBytes: reader.sizeBytes,
    runs: holes === undefined ? allocation.runs : intersectRuns(allocation.runs, holes),
    endBytes: allocation.endBytes,
    doubt: allocation.doubt,
    identity,
    description: description && {
      ...description,
      usedBytes: allocation.doubt === undefined ? usedBytes : description.usedBytes,
    },
    mtime: stat.isFile() ? timeOf(stat.mtimeMs) : undefined,
    frozen: !state.writable,
    checkFrozen: () => (isFree || held || state.writable ? state : deviceWritable(path, useOf(statSource(path)))),
    close: () => cleanup.run(),
  };
}

function openDirect(cleanup: Cleanup, fd: number): number | undefined {
  try {
    const direct = openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_DIRECT);
    cleanup.defer(() => closeSync(direct));
    return direct;
  } catch {
    return undefined;
  }
}

/** Held so that nobody else can mount it, or open it exclusively, while it is read. */
function openClaimed(
  cleanup: Cleanup,
  path: string,
  stat: Stats,
  loops: readonly { readonly path: string }[],
): ByteReader & { readonly fd: number } {
  for (const loop of loops) openReader(cleanup, loop.path, constants.O_RDONLY | constants.O_EXCL);
  const reader = openReader(cleanup, path, constants.O_RDONLY | (stat.isBlockDevice() ? constants.O_EXCL : 0));
  if (stat.isFile() && addon().lock(reader.fd, LOCK_SH | LOCK_NB) < 0) {
    throw writableError(path, { writable: true, reason: `another program has locked ${path}`, ways: [] });
  }
  return reader;
}

function timeOf(milliseconds: number): { seconds: number; nanoseconds: number } {
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: 0 };
}

function sumOf(runs: Float64Array): number {
  return runs.reduce((sum, value, i) => (i % 2 === 1 ? sum + value : sum), 0);
}
