// The trees of a run's sources: the kernel's for what is mounted, a block-level reader for what is not. One object serves a thread.

import { addon } from "../sys/addon.ts";
import type { TreeSource } from "../sys/tree-source.ts";
import type { SourceConfig } from "./protocol.ts";

/** Who answers for each source. */
export interface Trees {
  of(source: number): TreeSource;
}

export class SourceTrees implements Trees {
  /** Of the sources that are read from blocks. */
  readonly #openers: ReadonlyMap<number, () => TreeSource>;
  readonly #trees = new Map<number, TreeSource>();

  private constructor(openers: ReadonlyMap<number, () => TreeSource>) {
    this.#openers = openers;
  }

  static async open(sources: readonly SourceConfig[]): Promise<SourceTrees> {
    const openers = new Map<number, () => TreeSource>();
    for (const [source, { block }] of sources.entries()) {
      if (block === undefined) continue;
      const { blockTreeOpener } = await import("./block-tree.ts"); // few runs read blocks
      openers.set(source, await blockTreeOpener(block));
    }
    return new SourceTrees(openers);
  }

  of(source: number): TreeSource {
    const open = this.#openers.get(source);
    if (open === undefined) return addon();
    let tree = this.#trees.get(source);
    if (tree === undefined) this.#trees.set(source, (tree = open()));
    return tree;
  }
}
