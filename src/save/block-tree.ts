// The tree of a source that is read from its blocks: of a device, or of an image inside an archive.

import { ArchivedImage } from "../archive/archived-image.ts";
import { ExtFilesystem } from "../filesystem/ext/filesystem.ts";
import { ExtTree } from "../filesystem/ext/tree.ts";
import { accessOfFd } from "../filesystem/random-access.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { BlockSource } from "./protocol.ts";

/** Opens what holds the blocks; the result opens the file system in them. */
export async function blockTreeOpener({ fd, image, overlay }: BlockSource): Promise<() => TreeSource> {
  const access = image === undefined ? accessOfFd(fd) : await ArchivedImage.of(image);
  return () => new ExtTree(ExtFilesystem.open(access, overlay));
}
