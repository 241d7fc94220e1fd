// Archives that no save writes, for the tests of refusals and damage: records taken apart with src/format and put together again.

import { readFileSync, writeFileSync } from "node:fs";
import { decodeRecordHeader, encodeRecord, findRecordMagic, recordHeaderLength } from "../../src/format/record.ts";

export interface FoundRecord {
  /** Offset of its first byte in the archive. */
  readonly offset: number;
  readonly type: number;
  readonly length: number;
  /** Offset behind it: of a block's frame. */
  readonly end: number;
  readonly sequence: number;
  readonly archiveId: Uint8Array;
  readonly payload: Uint8Array;
}

/** All records of an archive, by their magic. */
export function recordsOf(archive: Uint8Array): FoundRecord[] {
  const found: FoundRecord[] = [];
  for (let at = findRecordMagic(archive, 0); at >= 0; at = findRecordMagic(archive, at + 1)) {
    const { header } = decodeRecordHeader(archive, at);
    if (header === undefined) continue;
    const start = at + recordHeaderLength;
    found.push({
      offset: at,
      type: header.type,
      length: recordHeaderLength + header.payloadLength,
      end: start + header.payloadLength,
      sequence: header.sequence,
      archiveId: header.archiveId,
      payload: archive.subarray(start, start + header.payloadLength),
    });
  }
  return found;
}

/** Changes the text of every record of a type (the same number of bytes) and makes its checksums right again. */
export function patchRecords(path: string, type: 1 | 5, from: string, to: string): void {
  if (from.length !== to.length) throw new Error("a patch keeps lengths");
  const archive = readFileSync(path);
  for (const record of recordsOf(archive).filter((each) => each.type === type)) {
    const text = Buffer.from(record.payload).toString("latin1");
    if (!text.includes(from)) throw new Error(`a record of type ${type} does not hold ${from}`);
    const payload = Buffer.from(text.replaceAll(from, to), "latin1");
    archive.set(encodeRecord(type, record.archiveId, record.sequence, payload), record.offset);
  }
  writeFileSync(path, archive);
}

/** Flips the bits of `mask` in one byte of a copy of the archive. */
export function flipped(archive: Uint8Array, offset: number, mask = 0x10): Buffer {
  const copy = Buffer.from(archive);
  copy[offset] = (copy[offset] ?? 0) ^ mask;
  return copy;
}
