// Finds the head of an archive: behind the preamble, or else (in a file) its copy behind the first group, so that no one bad sector costs the archive.
// Invariant: a copy is only looked for by the archive id that the footer or another record states, and never inside a whole block: an archive may
// hold archives.

import { TsfsaError } from "../base/errors.ts";
import { decodeBlock } from "../format/block.ts";
import { footerRecordLength } from "../format/footer.ts";
import {
  decodeRecordHeader,
  findRecordMagic,
  isPayloadIntact,
  recordHeaderLength,
  RecordType,
} from "../format/record.ts";
import type { ArchiveInput } from "./input.ts";
import type { FoundRecord, RecordWalker } from "./records.ts";

export interface FoundHead {
  readonly record: FoundRecord;
  /** The first head is damaged; this is the copy of it. */
  readonly isCopy: boolean;
  /** The bytes before the first record; empty for a copy. */
  readonly preamble: Uint8Array;
}

/** A preamble is some hundred bytes; further in no first record is looked for. */
const preambleMax = 64 * 1024;

/** Throws ARCHIVE_FOREIGN where nothing is ours, ARCHIVE_DAMAGED where no head is left. What the walker meets on its way is no news after a copy. */
export async function findHead(input: ArchiveInput, walker: RecordWalker): Promise<FoundHead> {
  const start = await input.peek(preambleMax);
  const startLength = start.length;
  const preambleLength = findRecordMagic(start, 0);
  let stray: FoundRecord | undefined;
  if (preambleLength >= 0) {
    const preamble = await input.take(preambleLength);
    const record = await walker.next();
    if (record?.header.type === RecordType.head && record.offset === preambleLength) {
      return { record, isCopy: false, preamble };
    }
    stray = record;
  }
  const archiveId = (await footerId(input)) ?? stray?.header.archiveId;
  if (archiveId === undefined && preambleLength < 0) throw foreign(input.name, startLength);
  const copy = archiveId === undefined ? undefined : await findCopy(input, walker, archiveId);
  if (copy !== undefined) return { record: copy, isCopy: true, preamble: new Uint8Array(0) };
  const hints = input.fd === undefined ? ["write the archive to a file first: there its copy can be used"] : [];
  throw new TsfsaError("ARCHIVE_DAMAGED", `no whole head was found in ${input.name}`, { path: input.name, hints });
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
  archiveId: Uint8Array,
): Promise<FoundRecord | undefined> {
  if (!input.seek(0)) return undefined;
  walker.follow(archiveId, -1);
  for (let record = await walker.next(); record !== undefined; record = await walker.next()) {
    if (record.header.type === RecordType.head) return record;
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
