// What a run finds wrong with its archive, and how it is told.

import type { GroupSource } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Reporter, Warning, WarningCode } from "../model/events.ts";

const noPath = new Uint8Array(0);

export class Findings {
  /** Blocks of which something is lost. */
  readonly damagedBlocks = new Set<number>();
  readonly #reader: Pick<GroupSource, "damages">;
  readonly #reporter: Reporter;
  #hostile: string | undefined;
  /** Of some blocks. */
  #catalogLost = false;
  #told = 0;

  constructor(reader: Pick<GroupSource, "damages">, reporter: Reporter) {
    this.#reader = reader;
    this.#reporter = reporter;
  }

  /** The first thing found that no writer of ours makes: an attack, or a defect. */
  get hostile(): string | undefined {
    return this.#hostile;
  }

  get isDamaged(): boolean {
    return this.#catalogLost || this.damagedBlocks.size > 0 || this.#reader.damages.length > 0;
  }

  warn(warning: Warning): void {
    this.#reporter.warning(warning);
  }

  tell(code: WarningCode, path: Uint8Array, message: string): void {
    this.warn({ code, path, message });
  }

  partLost(message: string): void {
    this.tell("ARCHIVE_PART_LOST", noPath, message);
  }

  /** Notes what no writer of ours makes. */
  accuse(message: string): void {
    this.#hostile ??= message;
  }

  /** Tells of what the reader found since the last time; true if something was lost. */
  tellDamages(): boolean {
    const { damages } = this.#reader;
    const first = this.#told;
    this.#told = damages.length;
    for (const { offset, message, block, hostile } of damages.slice(first)) {
      if (hostile === true) this.accuse(message);
      if (block !== undefined) this.damagedBlocks.add(block);
      this.partLost(`at byte ${offset} of the archive: ${message}`);
    }
    return damages.length > first;
  }

  /** The catalog of the blocks from `firstBlock` on; undefined: of none that has entries. `isImage`: they hold parts of an image. */
  catalogLost(firstBlock: number | undefined, isImage: boolean): void {
    this.#catalogLost = true;
    if (firstBlock === undefined) return;
    const lost = isImage
      ? "the digest of the image is lost with it, if it stood there; each block is proved by its own"
      : "of their entries, sockets, inode flags, project ids and access times are lost";
    this.partLost(`the catalog of the blocks from ${firstBlock} on is lost: ${lost}`);
  }

  blockDamaged(number: number, message: string, hostile: boolean): void {
    if (hostile) this.accuse(`block ${number}: ${message}`);
    this.damagedBlocks.add(number);
    this.partLost(`block ${number}: ${message}`);
  }

  /** Something is wrong with the catalog of a block. Throws what is no flaw of the archive. */
  catalogFlawed(number: number, error: unknown): void {
    if (!(error instanceof TsfsaError) || (error.code !== "ARCHIVE_DAMAGED" && error.code !== "ARCHIVE_HOSTILE"))
      throw error;
    this.blockDamaged(number, error.message, error.code === "ARCHIVE_HOSTILE");
  }
}
