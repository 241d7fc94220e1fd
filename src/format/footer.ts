// The payload of the footer record, 64 bytes: the last bytes of an archive, found from its end (docs/FORMAT.md, section 8).
//
//   0  8  offset of the first table record      24  8  number of entries             48  8  number of blocks
//   8  8  offset of the summary record          32 16  chain value before the footer 56  8  zero
//  16  8  length of the whole archive

import { ByteReader, ByteWriter } from "../base/bytes.ts";
import type { Footer } from "../model/archive.ts";
import { recordDigestLength } from "./block.ts";
import { footerPayloadLength, recordHeaderLength } from "./record.ts";

/** Bytes of the whole footer record. */
export const footerRecordLength: number = recordHeaderLength + footerPayloadLength;

/** Payload of the footer record: 64 bytes. */
export function encodeFooter(footer: Footer): Uint8Array {
  const writer = new ByteWriter(footerPayloadLength);
  writer.u64(footer.tableOffset);
  writer.u64(footer.summaryOffset);
  writer.u64(footer.archiveLength);
  writer.u64(footer.entries);
  writer.raw(footer.chain);
  writer.u64(footer.blocks);
  writer.u64(0);
  return writer.take();
}

/** Reads and checks the payload of the footer record. Throws ARCHIVE_DAMAGED for any illegal value. */
export function decodeFooter(payload: Uint8Array): Footer {
  const reader = new ByteReader(payload, "footer record");
  const tableOffset = reader.u64();
  const summaryOffset = reader.u64();
  const archiveLength = reader.u64();
  const entries = reader.u64();
  const chain = reader.raw(recordDigestLength).slice();
  const blocks = reader.u64();
  if (reader.u64() !== 0) throw reader.damage("reserved bytes are not zero");
  reader.finish();
  const footerOffset = archiveLength - footerRecordLength;
  if (tableOffset < recordHeaderLength || tableOffset >= summaryOffset || summaryOffset >= footerOffset) {
    throw reader.damage("table, summary and footer are not in order");
  }
  return { tableOffset, summaryOffset, archiveLength, entries, chain, blocks };
}
