// A FilesystemDescription out of a superblock: all that making the file system again needs (recreate/ reads it back).

import type { FilesystemDescription } from "../model/archive.ts";
import type { ByteReader } from "./reader.ts";
import { readBtrfs } from "./superblock/btrfs.ts";
import { readExt } from "./superblock/ext.ts";
import { readXfs, type XfsSuperblock } from "./superblock/xfs.ts";

export interface DescribeOptions {
  /** What it is known to be; without it, the first family whose superblock is there. */
  readonly type?: string;
  /** What statfs says, where it is mounted; without it, what the superblock says. */
  readonly usedBytes?: number;
}

/** Describes the ext, xfs or btrfs that `reader` shows; undefined for anything else. */
export async function describeFilesystem(
  reader: ByteReader,
  { type, usedBytes }: DescribeOptions = {},
): Promise<FilesystemDescription | undefined> {
  const ext = isWanted(type, "ext") ? readExt(reader) : undefined;
  if (ext !== undefined && ext.type !== "jbd") {
    return {
      type: ext.type,
      ...labelFields(ext.label),
      uuid: ext.uuid ?? null,
      sizeBytes: ext.blockCount * ext.blockSize,
      usedBytes: usedBytes ?? (ext.blockCount - ext.freeBlocks) * ext.blockSize,
      blockSize: ext.blockSize,
      parameters: { ...ext.parameters },
    };
  }
  const xfs = isWanted(type, "xfs") ? readXfs(reader) : undefined;
  if (xfs !== undefined) {
    return {
      type: "xfs",
      ...labelFields(xfs.label),
      uuid: xfs.uuid ?? null,
      sizeBytes: xfs.blockCount * xfs.blockSize,
      // statfs counts blocks reserved for trees to come as used, gigabytes of them on a large file system.
      usedBytes: Math.min(usedBytes ?? Number.POSITIVE_INFINITY, xfsUsedBytes(xfs)),
      blockSize: xfs.blockSize,
      parameters: { ...xfs.parameters },
    };
  }
  const btrfs = isWanted(type, "btrfs") ? await readBtrfs(reader) : undefined;
  if (btrfs !== undefined) {
    return {
      type: "btrfs",
      ...labelFields(btrfs.label),
      uuid: btrfs.uuid ?? null,
      sizeBytes: btrfs.totalBytes,
      usedBytes: usedBytes ?? btrfs.usedBytes,
      blockSize: btrfs.sectorSize,
      parameters: { ...btrfs.parameters },
    };
  }
  return undefined;
}

/** Without the log, which every xfs has. */
function xfsUsedBytes({ blockCount, freeBlocks, blockSize, parameters }: XfsSuperblock): number {
  const log = parameters.externalLog ? 0 : parameters.logBlocks;
  return Math.max(0, blockCount - freeBlocks - log) * blockSize;
}

function isWanted(type: string | undefined, family: string): boolean {
  return type === undefined || type.startsWith(family);
}

/** Label as the description holds it: text where it is UTF-8, else base64 beside a readable rendering. */
export function labelFields(label: Uint8Array | undefined): { label: string | null; labelBase64?: string } {
  if (label === undefined) return { label: null };
  const bytes = Buffer.from(label);
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes)
    ? { label: text }
    : { label: null, labelBase64: bytes.toString("base64") };
}

/** The exact bytes of a description's label; empty: none. */
export function labelBytes(description: Pick<FilesystemDescription, "label" | "labelBase64">): Uint8Array {
  if (description.labelBase64 !== undefined) return Buffer.from(description.labelBase64, "base64");
  return Buffer.from(description.label ?? "", "utf8");
}
