// The trees of a run's sources: the kernel's for what is mounted, a block-level reader for what is not. One object serves a thread.

import { ArchivedImage } from "../archive/archived-image.ts";
import { ExtFilesystem } from "../filesystem/ext/filesystem.ts";
import { ExtTree } from "../filesystem/ext/tree.ts";
import { accessOfFd } from "../filesystem/random-access.ts";
import { addon } from "../sys/addon.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { SourceConfig } from "./protocol.ts";

/** Who answers for each source. */
export interface Trees {
  of(source: number): TreeSource;
}

export class SourceTrees implements Trees {
  readonly #sources: readonly SourceConfig[];
  readonly #images: ReadonlyMap<number, ArchivedImage>;
  readonly #trees = new Map<number, TreeSource>();

  constructor(sources: readonly SourceConfig[], images: ReadonlyMap<number, ArchivedImage> = new Map()) {
    this.#sources = sources;
    this.#images = images;
  }

  /** Those of images in archives, too. */
  static async open(sources: readonly SourceConfig[]): Promise<SourceTrees> {
    const images = new Map<number, ArchivedImage>();
    for (const [source, { block }] of sources.entries()) {
      if (block?.image !== undefined) images.set(source, await ArchivedImage.of(block.image));
    }
    return new SourceTrees(sources, images);
  }

  of(source: number): TreeSource {
    const block = this.#sources[source]?.block;
    if (block === undefined) return addon();
    let tree = this.#trees.get(source);
    if (tree === undefined) {
      tree = new ExtTree(ExtFilesystem.open(this.#images.get(source) ?? accessOfFd(block.fd), block.overlay));
      this.#trees.set(source, tree);
    }
    return tree;
  }
}
