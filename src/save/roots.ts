// The roots of a save, and what the workers know of them.

import { addon } from "../sys/addon.ts";
import { statDescriptor } from "../sys/stat.ts";
import type { ImageRoot } from "./image.ts";
import type { BlockSource, FilterOptions, SourceConfig } from "./protocol.ts";

/** One root to save. Descriptors stay the caller's. */
export interface SaveRoot {
  /** With `block`: the inode of the root. */
  readonly rootFd: number;
  /** It is not mounted, but read from its device. */
  readonly block?: BlockSource;
  readonly filter: FilterOptions;
  readonly excludeCaches: boolean;
  /** Go into other file systems mounted below. */
  readonly crossMounts: boolean;
}

/** Images are not walked. */
const imageConfig = {
  devMajor: 0,
  devMinor: 0,
  mountId: 0n,
  crossMounts: false,
  excludeCaches: false,
  filter: { excludes: [], only: undefined },
};

export function sourceConfig(root: SaveRoot | ImageRoot, prefixLength: number): SourceConfig {
  if ("image" in root) return { ...imageConfig, prefixLength };
  if (root.block !== undefined) return { ...ownConfig(root, prefixLength), devMajor: 0, devMinor: 0, mountId: 0n };
  const { dev, mountId } = statDescriptor(root.rootFd);
  const id = addon().defaultSubvolume(root.rootFd);
  return {
    ...ownConfig(root, prefixLength),
    devMajor: dev.major,
    devMinor: dev.minor,
    mountId: BigInt(mountId),
    defaultSubvolume: id < 0 ? undefined : id,
  };
}

/** What does not depend on where the tree is. */
function ownConfig(root: SaveRoot, prefixLength: number): Omit<SourceConfig, "devMajor" | "devMinor" | "mountId"> {
  return {
    crossMounts: root.crossMounts,
    excludeCaches: root.excludeCaches,
    filter: root.filter,
    prefixLength,
    block: root.block,
  };
}
