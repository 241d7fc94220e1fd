// The trees of a run's sources: the kernel's for what is mounted, a block-level reader for what is not. One object serves a thread.

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
  readonly #trees = new Map<number, TreeSource>();

  constructor(sources: readonly SourceConfig[]) {
    this.#sources = sources;
  }

  of(source: number): TreeSource {
    const block = this.#sources[source]?.block;
    if (block === undefined) return addon();
    let tree = this.#trees.get(source);
    if (tree === undefined) {
      tree = new ExtTree(ExtFilesystem.open(accessOfFd(block.fd), block.overlay));
      this.#trees.set(source, tree);
    }
    return tree;
  }
}
