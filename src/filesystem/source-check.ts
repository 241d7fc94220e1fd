// Whether what a device holds can be saved as a file system, and what must be said about it.

import { TsfsaError } from "../base/errors.ts";
import { type FilesystemType, filesystemTypes } from "../model/filesystem-type.ts";
import type { Mount } from "./mounts.ts";
import type { ByteReader } from "./reader.ts";
import { readBtrfs } from "./superblock/btrfs.ts";
import { readExt } from "./superblock/ext.ts";
import { identifyAll } from "./superblock/identify.ts";
import type { Identity } from "./types.ts";

export interface SourceCheck {
  readonly type: FilesystemType;
  readonly needsReplay: boolean;
  readonly warnings: readonly string[];
}

/** mount: where it is mounted now. Throws SOURCE_NOT_FILESYSTEM for anything but ext, xfs and btrfs. */
export async function checkSource(reader: ByteReader, path: string, mount: Mount | undefined): Promise<SourceCheck> {
  const found = (await identifyAll(reader)).filter((each, index) => index === 0 || each.usage !== "table");
  const identity = mount === undefined ? found[0] : found.find((each) => familyOf(each.type) === familyOf(mount.type));
  const type = filesystemTypes.find((each) => each === identity?.type);
  if (identity === undefined || type === undefined) throw notFilesystem(path, identity ?? found[0]);
  if (mount === undefined && found.length > 1) throw ambiguous(path, found);
  const warnings: string[] = [];
  // While it is mounted read-write, a superblock on disk is neither clean nor replayed nor whole.
  if (mount?.superblockWritable !== true) {
    if (identity.checksumValid === false) {
      warnings.push(`the checksum of the superblock of ${path} is wrong: check the file system`);
    }
    if (mount !== undefined && identity.needsReplay === true) {
      warnings.push(`the ${type} in ${path} is mounted without its journal having been replayed: files may be missing`);
    } else if (type.startsWith("ext") && readExt(reader)?.clean === false) {
      warnings.push(`the ${type} in ${path} is marked as not cleanly unmounted or with errors: check it with e2fsck`);
    }
  }
  const devices = type === "btrfs" ? (await readBtrfs(reader))?.parameters.deviceCount : 1;
  if (devices !== undefined && devices > 1) {
    warnings.push(`the btrfs in ${path} lies on ${devices} devices: it will be made again on one`);
  }
  return { type, needsReplay: identity.needsReplay === true, warnings };
}

/** ext2, ext3 and ext4 are one: each is mounted by its own driver or ext4's. */
function familyOf(type: string): string {
  return type.startsWith("ext") ? "ext" : type;
}

/** Remains of an earlier use: which of them counts is not ours to guess. */
function ambiguous(path: string, found: readonly Identity[]): TsfsaError {
  const types = found.map((each) => each.type).join(" and ");
  return new TsfsaError("SOURCE_NOT_FILESYSTEM", `expected one file system in ${path}, found signs of ${types}`, {
    path,
    hints: [
      `wipefs ${path} shows them; remove the stale one (wipefs --offset), or mount it yourself and name the mount point`,
    ],
  });
}

function notFilesystem(path: string, identity: Identity | undefined): TsfsaError {
  if (identity === undefined) {
    return new TsfsaError("SOURCE_NOT_FILESYSTEM", `expected a file system, found no known signature in ${path}`, {
      path,
    });
  }
  const hints = {
    filesystem: ["mount it read-only and save its files with savedir"],
    container: [
      "open what it contains (LVM: vgchange -ay, LUKS: cryptsetup open, md: mdadm --assemble) and name that device",
    ],
    table: ["name one of its partitions"],
    swap: [],
  }[identity.usage];
  return new TsfsaError(
    "SOURCE_NOT_FILESYSTEM",
    `expected one of ${filesystemTypes.join(", ")} in ${path}, found ${identity.type}`,
    { path, hints },
  );
}
