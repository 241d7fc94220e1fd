// Hands out located parts of an archive as groups, as a reader of the whole does: whoever restores or looks at groups need not know which it is.

import { TsfsaError } from "../base/errors.ts";
import type { Digest } from "../codec/digest.ts";
import type { Head } from "../model/archive.ts";
import type { ArchiveIndex } from "./archive-index.ts";
import { rebuiltMessage } from "./chained-records.ts";
import type { Damage } from "./damage.ts";
import type { ArchiveInput } from "./input.ts";
import type { Part } from "./locate.ts";
import type { ArchiveReader, BlockLocation, Group, GroupSource } from "./reader.ts";

export class PartReader implements GroupSource {
  readonly input: ArchiveInput;
  readonly head: Head;
  readonly digest: Digest;
  readonly damages: Damage[] = [];
  /** The totals are those of the whole. */
  readonly summary = undefined;
  readonly #index: ArchiveIndex;
  readonly #parts: readonly Part[];

  /** `parts`: in the archive's order. */
  constructor(reader: ArchiveReader, index: ArchiveIndex, parts: readonly Part[]) {
    this.input = reader.input;
    this.head = reader.head;
    this.digest = reader.digest;
    this.#index = index;
    this.#parts = parts;
  }

  async *groups(): AsyncGenerator<Group, void> {
    const parts = this.#parts;
    for (let from = 0, to = 0; from < parts.length; from = to) {
      const first = parts[from] as Part;
      const segment = this.#index.segmentOf(first.block);
      to = from + 1;
      while (this.#follows(parts[to - 1] as Part, parts[to], segment)) to++;
      const group = await this.#group(segment, parts.slice(from, to));
      if (group !== undefined) yield group;
    }
  }

  #follows(part: Part, next: Part | undefined, segment: number): boolean {
    return next?.block === part.block + 1 && this.#index.segmentOf(next.block) === segment;
  }

  /** Blocks that follow one another and are described by one segment. */
  async #group(segment: number, parts: readonly Part[]): Promise<Group | undefined> {
    const { block: firstBlock, source, ancestors } = parts[0] as Part;
    const catalog = this.#readable(this.#index.segments[segment]?.offset ?? 0, undefined, () =>
      this.#index.segment(segment),
    );
    if (catalog === undefined) return undefined;
    const offset = firstBlock - catalog.header.firstBlock;
    const locations: BlockLocation[] = [];
    for (const { block } of parts) {
      const location = await this.#block(block);
      if (location !== undefined) locations.push(location);
    }
    const firstEntry = this.#index.blocks[firstBlock]?.firstEntry ?? 0;
    return {
      catalog: {
        header: { ...catalog.header, firstBlock, firstEntry },
        ancestors,
        blocks: catalog.blocks.slice(offset, offset + parts.length),
        completions: catalog.completions,
      },
      blocks: locations,
      apart: { source },
    };
  }

  async #block(number: number): Promise<BlockLocation | undefined> {
    const { offset = 0 } = this.#index.blocks[number] ?? {};
    const known = this.damages.length;
    const location = this.#readable(offset, number, () => this.#index.block(number));
    if (location !== undefined) return location;
    const rebuilt = await this.#index.rebuiltBlock(number);
    if (rebuilt === undefined) return undefined;
    this.damages.splice(known, Infinity, { offset, message: rebuiltMessage, isHarmless: true });
    return rebuilt;
  }

  /** Damage is noted and gone around. */
  #readable<Value>(offset: number, block: number | undefined, read: () => Value): Value | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.code !== "ARCHIVE_DAMAGED") throw error;
      const message = error.message;
      this.damages.push({
        offset: error.context.offsetBytes ?? offset,
        message,
        ...(block === undefined ? {} : { block }),
      });
      return undefined;
    }
  }
}
