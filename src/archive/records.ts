// Walks the records of an archive from the front and finds the next whole one after damage (docs/FORMAT.md, section 2).
// Invariant: what it hands out carries the archive's id and comes in ascending sequence; anything else is damage.

import { concatBytes, equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits, sectorLength } from "../base/limits.ts";
import {
  decodeRecordHeader,
  findRecordMagic,
  isKnownType,
  isPayloadIntact,
  type RecordHeader,
  recordHeaderLength,
  RecordType,
} from "../format/record.ts";
import type { Damage } from "./damage.ts";
import type { ArchiveInput } from "./input.ts";
import { SegmentRepair } from "./segment-repair.ts";

export interface FoundRecord {
  readonly header: RecordHeader;
  readonly payload: Uint8Array;
  /** Offset of the record in the archive. */
  readonly offset: number;
  /** All its bytes, for the chain. */
  readonly bytes: Uint8Array;
  /** Records are missing before it, or bytes that are none stand there. */
  readonly afterGap: boolean;
  /** Those bytes. */
  readonly passed?: PassedBytes;
  /** It was damaged, and made again. */
  readonly isRepaired: boolean;
}

/** Bytes that are no whole record. */
export interface PassedBytes {
  readonly start: number;
  /** Of a pipe, which cannot go back to them; undefined where they are more than one block. */
  readonly bytes: Uint8Array | undefined;
}

/** What is told of a catalog segment that was made again. */
export const repairedMessage = "a catalog segment is damaged: its parity makes up for what is lost";

const scanBytes = 1024 * 1024;
/** Most bytes without a whole record that may hold what can be made again: a head, a block record and its frame, or a catalog segment. */
export const gapBytesMax: number = limits.headPayloadBytes + limits.frameBytes + 3 * sectorLength;

/** Bytes of damaged payloads in which records are looked for, for one archive: headers in a row can all claim what follows. */
const overlapBytesMax = 1024 * 1024 * 1024;

export class RecordWalker {
  readonly #input: ArchiveInput;
  readonly #damage: (damage: Damage) => void;
  readonly #anyOrder: boolean;
  readonly #repair: SegmentRepair;
  #archiveId: Uint8Array | undefined;
  #lastSequence = -1;
  /** Of a pipe: what was passed over since the last whole record. */
  #passed: Uint8Array[] = [];
  #passedBytes = 0;
  /** Payloads that are damaged, in which records were looked for. */
  #overlapBytes = 0;

  /** `anyOrder`: whole records of any archive, known or not, wherever they stand. */
  constructor(input: ArchiveInput, damage: (damage: Damage) => void, anyOrder = false) {
    this.#input = input;
    this.#damage = damage;
    this.#anyOrder = anyOrder;
    this.#repair = new SegmentRepair(input);
  }

  /** Starts over with records after `sequence` of one archive only. */
  follow(archiveId: Uint8Array, sequence: number): void {
    this.#archiveId = archiveId;
    this.#lastSequence = sequence;
  }

  /** The next whole record, known or to be passed over, or undefined at the end of the input. The input stands behind it. */
  async next(): Promise<FoundRecord | undefined> {
    const from = this.#input.position;
    this.#passed = [];
    this.#passedBytes = 0;
    let gap = false;
    for (;;) {
      const start = this.#input.position;
      const head = await this.#input.peek(recordHeaderLength);
      if (head.length === 0) return undefined;
      const flaw = this.#flaw(head);
      if (typeof flaw === "string") {
        if (!gap && (await this.#isZeroTail())) return undefined;
        if (!gap) this.#damage({ offset: start, message: `expected a record, found ${flaw}` });
        gap = true;
        if (this.#input.position === start) await this.#pass(1);
        if (!(await this.#resynchronise())) return undefined;
        continue;
      }
      const header = flaw;
      const length = recordHeaderLength + header.payloadLength;
      const found = (await this.#input.peek(length)).subarray(recordHeaderLength);
      const isIntact = isPayloadIntact(header, found);
      const repaired = isIntact ? undefined : await this.#repaired(header, found, start + recordHeaderLength);
      if (!isIntact && repaired === undefined) {
        const what = found.length < header.payloadLength ? "the end of the archive" : "other bytes";
        this.#damage({ offset: start, message: `expected the payload of record ${header.sequence}, found ${what}` });
        this.#lastSequence = header.sequence;
        gap = true;
        // Bytes may be missing from it: the next record may begin before its end.
        const isOverlapping = this.#overlapBytes <= overlapBytesMax;
        if (isOverlapping) this.#overlapBytes += found.length;
        await this.#pass(isOverlapping ? recordHeaderLength : recordHeaderLength + found.length);
        continue;
      }
      const bytes = await this.#input.take(length);
      if (repaired !== undefined) {
        bytes.set(repaired, recordHeaderLength);
        this.#damage({ offset: start, message: repairedMessage, isHarmless: true });
      }
      const payload = bytes.subarray(recordHeaderLength);
      if (header.sequence !== this.#lastSequence + 1 && this.#archiveId !== undefined && !gap) {
        const message = `expected record ${this.#lastSequence + 1}, found record ${header.sequence}: something is missing between them`;
        this.#damage({ offset: start, message });
        gap = true;
      }
      this.#lastSequence = header.sequence;
      if (!isKnownType(header.type) && header.critical && !this.#anyOrder) {
        throw new TsfsaError(
          "ARCHIVE_VERSION",
          `the archive has a record of type ${header.type} that this version must not pass over`,
          {
            offsetBytes: start,
            hints: ["use a newer tsfsa"],
          },
        );
      }
      const passed = start > from ? { passed: { start: from, bytes: this.#passedNow() } } : {};
      const isRepaired = repaired !== undefined;
      return { header, payload, offset: start, bytes, afterGap: gap, isRepaired, ...passed };
    }
  }

  /** The header at the position, or why there is none that may come now. */
  #flaw(head: Uint8Array): RecordHeader | string {
    if (head.length < recordHeaderLength) return `${head.length} bytes and the end of the archive`;
    const { header, flaw } = decodeRecordHeader(head, 0);
    if (header === undefined) return flaw;
    if (this.#anyOrder) return header;
    if (this.#archiveId !== undefined && !equalBytes(header.archiveId, this.#archiveId))
      return "a record of another archive";
    if (header.sequence <= this.#lastSequence) return `record ${header.sequence} a second time or out of order`;
    return header;
  }

  /** The payload of a catalog segment that has its whole length, as it was written. */
  async #repaired(header: RecordHeader, found: Uint8Array, offset: number): Promise<Uint8Array | undefined> {
    if (header.type !== RecordType.segment || found.length < header.payloadLength) return undefined;
    return this.#repair.repair(found, offset, 0, (payload) => isPayloadIntact(header, payload));
  }

  /** Moves on over what is no whole record. */
  async #pass(length: number): Promise<void> {
    this.#passedBytes += length;
    const isKept = this.#input.fd === undefined && this.#passedBytes <= gapBytesMax;
    if (isKept) this.#passed.push(await this.#input.take(length));
    else {
      this.#passed = [];
      await this.#input.skip(length);
    }
  }

  #passedNow(): Uint8Array | undefined {
    return this.#passed.length === 0 ? undefined : concatBytes(this.#passed);
  }

  /** Moves to the next place that looks like a record header; false at the end. */
  async #resynchronise(): Promise<boolean> {
    for (;;) {
      const window = await this.#input.peek(scanBytes);
      if (window.length < recordHeaderLength) {
        await this.#pass(window.length);
        return false;
      }
      let from = 0;
      for (;;) {
        const start = findRecordMagic(window, from);
        if (start < 0 || start + recordHeaderLength > window.length) break;
        if (typeof this.#flaw(window.subarray(start, start + recordHeaderLength)) !== "string") {
          await this.#pass(start);
          return true;
        }
        from = start + 1;
      }
      // Keep enough for a header that begins in this window.
      const step = window.length - recordHeaderLength + 1;
      if (window.length < scanBytes) {
        await this.#pass(window.length);
        return false;
      }
      await this.#pass(step);
    }
  }

  /** Only zeros follow: what tapes and block devices leave after an archive. Else the input may have moved on, over zeros. */
  async #isZeroTail(): Promise<boolean> {
    for (;;) {
      const window = await this.#input.peek(scanBytes);
      if (window.length === 0) return true;
      const nonZero = window.findIndex((byte) => byte !== 0);
      if (nonZero >= 0) return false;
      await this.#pass(window.length);
    }
  }
}
