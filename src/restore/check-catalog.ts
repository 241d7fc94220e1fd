// Every row of an archive read as a restore would read it, before a target is touched: what a restore could only find out behind mkfs. Data frames are
// not looked at: what of them is damaged costs the entries in it, not the target.

import { isHarmful } from "../archive/damage.ts";
import type { ArchiveReader, Group } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import { decodeBlockRows } from "../format/segmentDecoder.ts";
import { everything, Tree } from "./tree.ts";

/**
 * Reads an archive file to its end. Throws ARCHIVE_HOSTILE or ARCHIVE_DAMAGED where rows cannot be decoded, are out of order or over a limit, or where
 * blocks, catalog, table and summary count differently. What the reader itself finds is in its `damages` afterwards.
 */
export async function checkCatalog(reader: ArchiveReader, signal: AbortSignal): Promise<void> {
  const check = new CatalogCheck(reader);
  for await (const group of reader.groups(false)) {
    signal.throwIfAborted();
    if (reader.damages.some(isHarmful)) return;
    check.group(group);
  }
  if (!reader.damages.some(isHarmful)) check.end();
}

class CatalogCheck {
  readonly #reader: ArchiveReader;
  readonly #tree: Tree;
  #entries = 0;

  constructor(reader: ArchiveReader) {
    this.#reader = reader;
    this.#tree = new Tree({
      table: undefined,
      roots: reader.head.sources.map((source) => ({ prefix: prefixBytes(source), handle: undefined })),
      policy: { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 },
      selection: everything,
      stripComponents: 0,
      restoreRoots: false,
      otherPlaces: new Map(),
      warn: () => {},
    });
  }

  group({ catalog, blocks }: Group): void {
    if (catalog === undefined) throw differs("blocks without a catalog segment");
    const { header, ancestors } = catalog;
    if (header.firstEntry !== this.#entries) throw differs("a catalog segment that does not follow the one before");
    if (blocks.length !== catalog.blocks.length) throw differs("a catalog segment of other blocks");
    let started = false;
    for (const [i, outline] of catalog.blocks.entries()) {
      const { number, firstEntry, entryCount } = (blocks[i] as (typeof blocks)[number]).record;
      if (number !== header.firstBlock + i || firstEntry !== this.#entries || entryCount !== outline.count) {
        throw differs(`block ${number} with other entries than its catalog segment tells`);
      }
      const rows = decodeBlockRows(outline, this.#reader.digest.length);
      if (rows.length > 0 && !started) {
        if (rows[0]?.depth !== ancestors.length) throw differs("a catalog segment at another depth than its ancestors");
        this.#tree.moveTo(this.#tree.source, ancestors, false);
        started = true;
      }
      this.#tree.enter(rows, this.#entries);
      this.#entries += rows.length;
    }
  }

  end(): void {
    const { sources } = this.#reader.head;
    if (this.#tree.source !== sources.length - 1) throw differs("fewer roots than the head has sources");
    const flaw = this.#reader.endFlaw(this.#entries);
    if (flaw !== undefined) throw new TsfsaError("ARCHIVE_HOSTILE", flaw);
  }
}

function differs(found: string): TsfsaError {
  return new TsfsaError("ARCHIVE_HOSTILE", `expected blocks and catalog to agree, found ${found}`);
}
