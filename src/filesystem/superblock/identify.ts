// What a device or image holds, by its signatures. Nothing here writes, mounts or trusts: sizes are claims of the superblock.

import { type ByteReader, readerOfFd } from "../reader.ts";
import type { Identity } from "../types.ts";
import { identifyBtrfs } from "./btrfs.ts";
import { identifyLuks, identifyLvm, identifyMd, identifySwap } from "./containers.ts";
import { identifyExt } from "./ext.ts";
import { identifyExfat, identifyNtfs, identifyVfat } from "./fat.ts";
import { identifyErofs, identifyF2fs, identifyIso9660, identifySquashfs } from "./images.ts";
import { identifyGpt, identifyMbr } from "./tables.ts";
import { identifyXfs } from "./xfs.ts";

type Identifier = (reader: ByteReader) => Identity | undefined | Promise<Identity | undefined>;

/**
 * In order of what decides where several match: a container's member shows its content only through the container (md 1.0 and 0.90
 * keep theirs at the end, so the content looks whole); a partition table counts last, since boot sectors of file systems look like one.
 */
const identifiers: readonly Identifier[] = [
  identifyMd,
  identifyLvm,
  identifyLuks,
  identifySwap,
  identifyBtrfs,
  identifyXfs,
  identifyExt,
  identifySquashfs,
  identifyErofs,
  identifyF2fs,
  identifyExfat,
  identifyNtfs,
  identifyVfat,
  identifyIso9660,
  identifyGpt,
  identifyMbr,
];

/** The signature that decides what `source` (an open descriptor or reader) holds; undefined: none known. */
export async function identify(source: number | ByteReader): Promise<Identity | undefined> {
  return (await identifyAll(source, 1))[0];
}

/** All signatures, the deciding one first, at most `limit`: more than one is left when a device was used anew without wiping. */
export async function identifyAll(
  source: number | ByteReader,
  limit: number = identifiers.length,
): Promise<Identity[]> {
  const reader = typeof source === "number" ? readerOfFd(source) : source;
  const found: Identity[] = [];
  for (const identifier of identifiers) {
    const identity = found.length < limit ? await identifier(reader) : undefined;
    if (identity !== undefined) found.push(identity);
  }
  return found;
}
