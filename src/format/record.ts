// A record: one skippable frame with our header of 64 bytes (docs/FORMAT.md, section 2).
//
//   0  4  skippable frame magic 5A 2A 4D 18     20  4  payload length            56  8  XXH64 of bytes 0 to 55
//   4  4  frame size = 56 + payload length      24 16  archive id, not zero      64  …  payload
//   8  8  8F 'TSFSA' 0D 0A                      40  8  sequence number
//  16  2  type     18  2  flags (0 critical)    48  8  XXH64 of the payload

import { compareBytes, equalBytes, isZeroRange, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits, sectorLength } from "../base/limits.ts";
import { checksumLength, xxh64 } from "./checksum.ts";

export const recordHeaderLength = 64;
/** Bytes of the skippable frame's own header: magic and frame size. */
const skippableHeaderLength = 8;
const archiveIdLength = 16;
export const blockPayloadLength = 112;
export const footerPayloadLength = 64;

export const RecordType = { head: 1, block: 2, segment: 3, table: 4, summary: 5, footer: 6 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

const skippableMagic = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18);
const recordMagic = Uint8Array.of(0x8f, ...utf8("TSFSA\r\n"));
const criticalFlag = 1;

export interface RecordHeader {
  /** One of RecordType, or a type this version does not know. */
  readonly type: number;
  /** A reader that does not know the type refuses the archive. */
  readonly critical: boolean;
  readonly payloadLength: number;
  /** 16 bytes. */
  readonly archiveId: Uint8Array;
  readonly sequence: number;
  /** 8 bytes. */
  readonly payloadChecksum: Uint8Array;
}

/** A header, or why the bytes are none. */
export type RecordHeaderResult =
  | { readonly header: RecordHeader; readonly flaw?: undefined }
  | { readonly header?: undefined; readonly flaw: string };

/** Legal payload lengths of a record type, inclusive. Unknown types may be as long as the longest known one. */
export function payloadLimits(type: number): { readonly minimum: number; readonly maximum: number } {
  switch (type) {
    case RecordType.head:
      return { minimum: 2, maximum: limits.headPayloadBytes };
    case RecordType.block:
      return { minimum: blockPayloadLength, maximum: blockPayloadLength + sectorLength - 1 };
    case RecordType.segment:
      return { minimum: 24, maximum: limits.segmentPayloadBytes };
    case RecordType.table:
      return { minimum: 16, maximum: limits.tablePayloadBytes };
    case RecordType.summary:
      return { minimum: 2, maximum: limits.summaryPayloadBytes };
    case RecordType.footer:
      return { minimum: footerPayloadLength, maximum: footerPayloadLength };
    default:
      return { minimum: 0, maximum: limits.tablePayloadBytes };
  }
}

/** The bytes of a whole record, header and payload. Throws INTERNAL for a payload its type does not allow. */
export function encodeRecord(
  type: RecordType,
  archiveId: Uint8Array,
  sequence: number,
  payload: Uint8Array,
): Uint8Array {
  const { minimum, maximum } = payloadLimits(type);
  if (payload.length < minimum || payload.length > maximum || archiveId.length !== archiveIdLength) {
    throw new TsfsaError("INTERNAL", `a record of type ${type} cannot hold ${payload.length} bytes`);
  }
  const record = new Uint8Array(recordHeaderLength + payload.length);
  const view = new DataView(record.buffer);
  record.set(skippableMagic, 0);
  view.setUint32(4, recordHeaderLength - skippableHeaderLength + payload.length, true);
  record.set(recordMagic, 8);
  view.setUint16(16, type, true);
  view.setUint16(18, criticalFlag, true);
  view.setUint32(20, payload.length, true);
  record.set(archiveId, 24);
  view.setBigUint64(40, BigInt(sequence), true);
  record.set(xxh64(payload), 48);
  record.set(xxh64(record.subarray(0, 56)), 56);
  record.set(payload, recordHeaderLength);
  return record;
}

/**
 * Reads the record header at `offset`. Never throws: bytes that are no legal header give a flaw, one clause for a message. The payload is
 * not looked at; check it with isPayloadIntact().
 */
export function decodeRecordHeader(bytes: Uint8Array, offset: number): RecordHeaderResult {
  if (offset < 0 || offset + recordHeaderLength > bytes.length) return { flaw: "the bytes end inside a record header" };
  const header = bytes.subarray(offset, offset + recordHeaderLength);
  if (!equalBytes(header.subarray(8, 16), recordMagic)) return { flaw: "no record magic" };
  if (!equalBytes(header.subarray(56, 64), xxh64(header.subarray(0, 56)))) return { flaw: "wrong header checksum" };
  if (!equalBytes(header.subarray(0, 4), skippableMagic)) return { flaw: "no skippable frame magic" };
  const view = new DataView(header.buffer, header.byteOffset, recordHeaderLength);
  const type = view.getUint16(16, true);
  const flags = view.getUint16(18, true);
  const payloadLength = view.getUint32(20, true);
  const sequence = Number(view.getBigUint64(40, true));
  const { minimum, maximum } = payloadLimits(type);
  if (view.getUint32(4, true) !== recordHeaderLength - skippableHeaderLength + payloadLength) {
    return { flaw: "frame size and payload length differ" };
  }
  if (payloadLength < minimum || payloadLength > maximum) {
    return { flaw: `a payload of ${payloadLength} bytes is illegal for record type ${type}` };
  }
  if ((flags & ~criticalFlag) !== 0) return { flaw: "reserved flags are set" };
  if (isKnownType(type) && flags !== criticalFlag) return { flaw: `record type ${type} is not marked critical` };
  if (isZeroRange(header, 24, 40)) return { flaw: "the archive id is zero" };
  if (!Number.isSafeInteger(sequence)) return { flaw: "the sequence number is over 2^53 - 1" };
  return {
    header: {
      type,
      critical: flags === criticalFlag,
      payloadLength,
      archiveId: header.slice(24, 40),
      sequence,
      payloadChecksum: header.slice(48, 48 + checksumLength),
    },
  };
}

export function isKnownType(type: number): type is RecordType {
  return type >= RecordType.head && type <= RecordType.footer;
}

/** True when the payload has the length and the checksum that its header states. */
export function isPayloadIntact(header: RecordHeader, payload: Uint8Array): boolean {
  return payload.length === header.payloadLength && compareBytes(xxh64(payload), header.payloadChecksum) === 0;
}

/**
 * Offset ≥ `from` of the next bytes that carry the record magic where a record has it: the offset of the record itself, 8 before its magic. −1 when
 * there is none. Only a candidate: decodeRecordHeader() decides.
 */
export function findRecordMagic(bytes: Uint8Array, from: number): number {
  let at = from + 8;
  for (;;) {
    at = bytes.indexOf(recordMagic[0] as number, at);
    if (at < 0 || at + recordMagic.length > bytes.length) return -1;
    if (equalBytes(bytes.subarray(at, at + recordMagic.length), recordMagic)) return at - 8;
    at++;
  }
}
