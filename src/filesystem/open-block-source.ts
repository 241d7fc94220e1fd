// Opens an ext2, ext3 or ext4 for saving from its blocks: no mount, no loop device, no root; reading the device or image is all it takes. A journal that
// waits to be replayed is replayed in memory.

import { constants, type Stats } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { addon } from "../sys/addon.ts";
import { LOCK_NB, LOCK_SH } from "../sys/constants.ts";
import { ENOTSUP } from "../sys/errors.ts";
import { type Cleanup, openWith } from "./cleanup.ts";
import { describeFilesystem } from "./describe.ts";
import { MetadataFlaw } from "./exact.ts";
import type { Overlay } from "./ext/device.ts";
import { ExtFilesystem } from "./ext/filesystem.ts";
import { ExtFlaw } from "./ext/flaw.ts";
import { accessOfFd } from "./random-access.ts";
import { checkSource } from "./source-check.ts";
import { writableError } from "./source-errors.ts";
import { openReader, type OpenReader } from "./source-mount.ts";
import type { FrozenSource, Writable } from "./types.ts";
import { type Use, useOf } from "./use.ts";
import { deviceWritable, liveWay, statSource } from "./writable.ts";

/** A source that is read from its blocks. */
export interface OpenBlockSource extends FrozenSource {
  /** Descriptor of the device or image. Not to be closed by the caller. */
  readonly fd: number;
  /** Blocks that the journal holds newer than the device. */
  readonly overlay: Overlay;
}

/**
 * Opens a block device or image file that nobody can write. Throws SOURCE_MISSING, SOURCE_WRITABLE, SOURCE_NOT_FILESYSTEM, SOURCE_UNREADABLE,
 * NO_PERMISSION, and UNSUPPORTED for other types and for what the reader does not know.
 */
export async function openBlockSource(path: string): Promise<OpenBlockSource> {
  const stat = statSource(path);
  if (!stat.isBlockDevice() && !stat.isFile()) {
    throw new TsfsaError("SOURCE_NOT_FILESYSTEM", `--reader=block expects a block device or image file: ${path}`, {
      path,
      hints: ["name the device, or save the mount point without --reader=block"],
    });
  }
  return openWith(async (cleanup) => {
    const use = useOf(stat);
    const state = blocksWritable(path, use);
    if (state.writable) throw writableError(path, state);
    const reader = openUnwritten(cleanup, path, stat, use);
    const mount = use.mounts[0];
    const { type, warnings } = await checkSource(reader, path, mount);
    if (!type.startsWith("ext")) {
      throw new TsfsaError("UNSUPPORTED", `--reader=block reads ext2, ext3 and ext4, found ${type} in ${path}`, {
        path,
        hints: ["save it without --reader=block"],
      });
    }
    const fs = openExt(reader, path, type);
    const description = await describeFilesystem(fs.device, { type, usedBytes: fs.usedBytes });
    if (description === undefined) {
      throw new TsfsaError("SOURCE_UNREADABLE", `the journal of ${path} holds no superblock of ext`, { path });
    }
    return {
      fd: reader.fd,
      overlay: fs.overlay,
      description,
      origin: path,
      frozen: true,
      warnings,
      checkFrozen: () => (mount === undefined ? state : blocksWritable(path, useOf(statSource(path)))),
      close: () => cleanup.run(),
    };
  });
}

/** Blocks that change while they are read make no file system: it cannot be saved live. */
function blocksWritable(path: string, use: Use): Writable {
  const state = deviceWritable(path, use);
  return state.writable ? { ...state, ways: state.ways.filter((way) => way !== liveWay) } : state;
}

/** Claims what is not mounted, as far as that can be done: a mounted one is read-only, and cannot be claimed. */
function openUnwritten(cleanup: Cleanup, path: string, stat: Stats, use: Use): OpenReader {
  const isMounted = use.mounts.length > 0;
  const claim = isMounted ? 0 : constants.O_EXCL;
  if (!isMounted) for (const loop of use.loops) openReader(cleanup, loop.path, constants.O_RDONLY | claim);
  const reader = openReader(cleanup, path, constants.O_RDONLY | (stat.isBlockDevice() ? claim : 0));
  if (stat.isFile() && addon().lock(reader.fd, LOCK_SH | LOCK_NB) < 0) {
    throw writableError(path, { writable: true, reason: `another program has locked ${path}`, ways: [] });
  }
  return reader;
}

function openExt(reader: OpenReader, path: string, type: string): ExtFilesystem {
  try {
    return ExtFilesystem.open(accessOfFd(reader.fd, reader.sizeBytes));
  } catch (error) {
    if (!(error instanceof MetadataFlaw)) throw error;
    const isUnknown = error instanceof ExtFlaw && error.errno === ENOTSUP;
    const message = `the ${type} in ${path} cannot be read from its blocks: ${error.message}`;
    throw new TsfsaError(isUnknown ? "UNSUPPORTED" : "SOURCE_UNREADABLE", message, {
      path,
      hints: [isUnknown ? "save it without --reader=block" : "check it with e2fsck -n, or save what a mount shows"],
    });
  }
}
