// Which bytes of a device are to be read: those its file system says it uses, where its books can be trusted, else all.

import { MetadataFlaw } from "../exact.ts";
import type { ByteReader } from "../reader.ts";
import type { Identity } from "../types.ts";
import { mapBtrfs } from "./btrfs-map.ts";
import { mapExt } from "./ext-map.ts";
import type { AllocationMap } from "./map.ts";
import { mapXfs } from "./xfs-map.ts";

export interface Allocation extends AllocationMap {
  /** Why everything is read; undefined: only what is used. */
  readonly doubt: string | undefined;
}

/** `identity`: what the device holds, where that is known. Throws nothing for what the device holds. */
export async function allocationOf(reader: ByteReader, identity: Identity | undefined): Promise<Allocation> {
  const map = mapperOf(identity?.type);
  if (map === undefined) return everything(reader, `nothing is known of the free blocks of ${identity?.type ?? "it"}`);
  try {
    return { ...(await map(reader)), doubt: undefined };
  } catch (error) {
    if (error instanceof MetadataFlaw) return everything(reader, error.message);
    throw error;
  }
}

/** All bytes of the device. */
export function everything({ sizeBytes }: ByteReader, doubt: string): Allocation {
  return { runs: Float64Array.of(0, sizeBytes), endBytes: sizeBytes, doubt };
}

function mapperOf(
  type: string | undefined,
): ((reader: ByteReader) => AllocationMap | Promise<AllocationMap>) | undefined {
  if (type === "ext2" || type === "ext3" || type === "ext4") return mapExt;
  if (type === "xfs") return mapXfs;
  return type === "btrfs" ? mapBtrfs : undefined;
}
