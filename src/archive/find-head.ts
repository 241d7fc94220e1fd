// Finds the head of an archive: behind the preamble, or else (in a file) its copy behind the first group, so that no one bad sector costs the archive.
// Invariant: a copy is only looked for by the archive id that the footer or another record states, and never inside a whole block: an archive may
// hold archives.

import { equalBytes, toHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { decodeBlock } from "../format/block.ts";
import { footerRecordLength } from "../format/footer.ts";
import { decodeHead } from "../format/head.ts";
import {
  decodeRecordHeader,
  findRecordMagic,
  isPayloadIntact,
  recordHeaderLength,
  RecordType,
} from "../format/record.ts";
import type { Head } from "../model/archive.ts";
import type { ArchiveInput } from "./input.ts";
import type { FoundRecord, RecordWalker } from "./records.ts";

export interface FoundHead {
  readonly record: FoundRecord;
  readonly head: Head;
  readonly digest: Digest;
  /** The first head is damaged; this is the copy of it. */
  readonly isCopy: boolean;
  /** The bytes before the first head. */
  readonly preamble: Uint8Array;
}

/** A preamble is some hundred bytes; further in no first record is looked for. */
const preambleMax = 64 * 1024;

/** Throws ARCHIVE_FOREIGN where nothing is ours, ARCHIVE_DAMAGED where no head is left. What the walker meets on its way is no news after a copy. */
export async function findHead(input: ArchiveInput, walker: RecordWalker): Promise<FoundHead> {
  const start = await input.peek(preambleMax);
  const startLength = start.length;
  const preambleLength = findRecordMagic(start, 0);
  const preamble = await input.take(Math.max(0, preambleLength));
  const first = preambleLength < 0 ? undefined : await walker.next();
  const isHead = first?.header.type === RecordType.head && first.offset === preambleLength;
  const found = isHead ? await opened(first, preamble, false) : undefined;
  if (found !== undefined && isBehindPreamble(found)) return found;
  // Whatever stands here may belong to an archive that this one holds. What stands at the very end does not.
  const position = input.position;
  const archiveId = await footerId(input);
  if (archiveId === undefined) {
    input.seek(position);
    if (found !== undefined && found.head.preamble.length === preambleLength) return found;
    if (preambleLength < 0) throw foreign(input.name, startLength);
  } else if (found !== undefined && equalBytes(found.record.header.archiveId, archiveId)) {
    input.seek(position);
    return found;
  }
  const copy = await findCopy(input, walker, archiveId ?? first?.header.archiveId);
  if (copy !== undefined && (archiveId !== undefined || isNextTo(first, copy))) return copy;
  const hints = input.fd === undefined ? ["write the archive to a file first: there its copy can be used"] : [];
  throw new TsfsaError("ARCHIVE_DAMAGED", `no whole head was found in ${input.name}`, { path: input.name, hints });
}

async function opened(record: FoundRecord, preamble: Uint8Array, isCopy: boolean): Promise<FoundHead> {
  const head = decodeHead(record.payload);
  if (toHex(record.header.archiveId) !== head.archiveId) {
    throw new TsfsaError("ARCHIVE_DAMAGED", "the head names another archive id than its record");
  }
  return { record, head, digest: await createDigest(head.digest), isCopy, preamble };
}

/** The preamble is the one that the head names. */
export function isBehindPreamble({ head, digest, preamble }: FoundHead): boolean {
  return preamble.length === head.preamble.length && toHex(digest.hash(preamble)) === head.preamble.digest;
}

/** The record stands where the first head, which is lost, must have ended. */
function isNextTo(record: FoundRecord | undefined, { head, record: copy }: FoundHead): boolean {
  return record?.header.sequence === 1 && record.offset === head.preamble.length + copy.bytes.length;
}

/** The archive id that the footer states, where the input is a file and its footer whole. */
async function footerId(input: ArchiveInput): Promise<Uint8Array | undefined> {
  if (input.length === undefined || input.length < footerRecordLength) return undefined;
  input.seek(input.length - footerRecordLength);
  const bytes = await input.peek(footerRecordLength);
  const { header } = decodeRecordHeader(bytes, 0);
  if (header?.type !== RecordType.footer) return undefined;
  return isPayloadIntact(header, bytes.subarray(recordHeaderLength)) ? header.archiveId : undefined;
}

async function findCopy(
  input: ArchiveInput,
  walker: RecordWalker,
  archiveId: Uint8Array | undefined,
): Promise<FoundHead | undefined> {
  if (archiveId === undefined || !input.seek(0)) return undefined;
  walker.follow(archiveId, -1);
  for (let record = await walker.next(); record !== undefined; record = await walker.next()) {
    if (record.header.type === RecordType.head) {
      const { length } = decodeHead(record.payload).preamble;
      input.seek(0);
      return opened(record, await input.take(length), true);
    }
    if (record.header.type === RecordType.block) await input.skip(decodeBlock(record.payload).compressedLength);
  }
  return undefined;
}

function foreign(name: string, length: number): TsfsaError {
  const found = length === 0 ? "an empty file" : "no record of tsfsa at its start";
  return new TsfsaError("ARCHIVE_FOREIGN", `expected a tsfsa archive, found ${found}: ${name}`, {
    path: name,
    hints: ["an archive of fsarchiver (.fsa), tar or another program must be restored with that program"],
  });
}
