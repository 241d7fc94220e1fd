// What is left of an archive: every whole record and frame, wherever they stand, found by going over all of its bytes once. Nothing is believed of
// where things should be: only checksums, digests and the archive's id count.
// Invariant: nothing is looked for inside a block whose digest is right: an archive may hold archives.

import { setImmediate } from "node:timers/promises";
import { toHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { decodeBlock } from "../format/block.ts";
import { decodeHead } from "../format/head.ts";
import { formatVersion } from "../format/version.ts";
import { hasParity } from "../format/parity.ts";
import { RecordType } from "../format/record.ts";
import { decodeSegmentHeader } from "../format/segment.ts";
import { limits } from "../base/limits.ts";
import type { BlockRecord, DigestName, Head } from "../model/archive.ts";
import { recordsFrom } from "./chained-records.ts";
import type { ArchiveInput } from "./input.ts";
import { traitsOf } from "./lost-block.ts";
import { type FoundRecord, RecordWalker } from "./records.ts";

/** A block whose record is whole, or was made again. */
export interface FoundBlock {
  readonly record: BlockRecord;
  /** Offset of the data frame. */
  readonly frameOffset: number;
  /** The frame has the digest that the record states. */
  readonly proven: boolean;
}

/** A catalog segment whose payload is whole. */
export interface FoundSegment {
  readonly offset: number;
  readonly payloadLength: number;
  readonly firstBlock: number;
  /** Its payload, where it was made again. */
  readonly repaired?: Uint8Array;
}

/** Bytes [start, end) of the archive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What was found of one archive. */
export interface Remains {
  readonly archiveId: Uint8Array;
  readonly digest: Digest;
  /** Undefined: both copies are lost. */
  readonly head: Head | undefined;
  /** Format version: of the head, or by what is left. */
  readonly format: number;
  /** One for each number, in order. */
  readonly blocks: readonly FoundBlock[];
  readonly segments: readonly FoundSegment[];
  readonly summary: Uint8Array | undefined;
  readonly hasFooter: boolean;
  /** Bytes that are nothing of the archive, or no longer. */
  readonly damaged: readonly Range[];
}

/** An archive of which records were met. */
interface Candidate {
  readonly archiveId: Uint8Array;
  digest: Digest | undefined;
  head: Head | undefined;
  /** Format version: of the head, or else by what was met. */
  format: number;
  headOffset: number;
  /** Its payload. */
  headPayload: Uint8Array | undefined;
  readonly blocks: Map<number, FoundBlock>;
  readonly segments: Map<number, FoundSegment>;
  summary: Uint8Array | undefined;
  hasFooter: boolean;
  readonly whole: Range[];
  provenBytes: number;
}

/** Archives looked at side by side: those that others hold, and their pieces. */
const candidatesMax = 256;
const digestNames: readonly DigestName[] = ["xxh128", "sha256", "blake3"];
const scanBytes = 1024 * 1024;

/** Goes over a file. Throws ARCHIVE_FOREIGN where nothing is ours, ARCHIVE_DAMAGED where nothing of use is left, ARCHIVE_VERSION. */
export async function scanRemains(input: ArchiveInput, signal: AbortSignal): Promise<Remains> {
  return new Scan(input, signal).run();
}

class Scan {
  readonly #input: ArchiveInput;
  readonly #signal: AbortSignal;
  readonly #candidates = new Map<string, Candidate>();
  readonly #digests = new Map<DigestName, Digest>();

  constructor(input: ArchiveInput, signal: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  async run(): Promise<Remains> {
    const walker = new RecordWalker(this.#input, () => {}, true);
    for (let found = await walker.next(); found !== undefined; found = await walker.next()) {
      await setImmediate(); // or no signal would be heard
      this.#signal.throwIfAborted();
      const candidate = this.#candidateOf(found.header.archiveId);
      if (candidate !== undefined) await this.#take(candidate, found);
    }
    const chosen = await this.#choose();
    await this.#rebuildRecords(chosen);
    const { archiveId, head, format, blocks, segments, summary, hasFooter } = chosen;
    return {
      archiveId,
      digest: chosen.digest ?? (await this.#digest("xxh128")),
      head,
      format,
      blocks: [...blocks.values()].toSorted((a, b) => a.record.number - b.record.number),
      segments: [...segments.values()].toSorted((a, b) => a.firstBlock - b.firstBlock),
      summary,
      hasFooter,
      damaged: await this.#damagedRanges(chosen),
    };
  }

  #candidateOf(archiveId: Uint8Array): Candidate | undefined {
    const key = toHex(archiveId);
    const known = this.#candidates.get(key);
    if (known !== undefined || this.#candidates.size >= candidatesMax) return known;
    const candidate: Candidate = {
      archiveId,
      digest: undefined,
      head: undefined,
      format: formatVersion,
      headOffset: -1,
      headPayload: undefined,
      blocks: new Map(),
      segments: new Map(),
      summary: undefined,
      hasFooter: false,
      whole: [],
      provenBytes: 0,
    };
    this.#candidates.set(key, candidate);
    return candidate;
  }

  async #take(candidate: Candidate, found: FoundRecord): Promise<void> {
    const { header, payload, offset } = found;
    const end = offset + found.bytes.length;
    try {
      if (header.type === RecordType.head) await this.#takeHead(candidate, found);
      else if (header.type === RecordType.block) await this.#takeBlock(candidate, decodeBlock(payload), end);
      else if (header.type === RecordType.segment) {
        takeSegment(candidate, found);
        if (found.isRepaired) return;
      } else if (header.type === RecordType.summary) candidate.summary ??= payload;
      else if (header.type === RecordType.footer) candidate.hasFooter = true;
      candidate.whole.push({ start: offset, end });
    } catch (error) {
      // Right checksums around illegal values: nothing that could be used.
      if (!(error instanceof TsfsaError) || error.code !== "ARCHIVE_DAMAGED") throw error;
    }
  }

  async #takeHead(candidate: Candidate, { payload, offset }: FoundRecord): Promise<void> {
    const head = decodeHead(payload);
    if (head.archiveId !== toHex(candidate.archiveId) || candidate.head !== undefined) return;
    candidate.head = head;
    candidate.format = head.format;
    candidate.headOffset = offset;
    candidate.headPayload = payload;
    candidate.digest = await this.#digest(head.digest);
  }

  /** Proves the frame that follows; the input then stands behind it, else before it: records may have moved into it. */
  async #takeBlock(candidate: Candidate, record: BlockRecord, frameOffset: number): Promise<void> {
    const frame = await this.#input.take(record.compressedLength);
    const proven = frame.length === record.compressedLength && (await this.#proves(candidate, frame, record));
    if (proven) candidate.whole.push({ start: frameOffset, end: frameOffset + frame.length });
    else this.#input.seek(frameOffset);
    const known = candidate.blocks.get(record.number);
    if (known?.proven === true || (known !== undefined && !proven)) return;
    candidate.blocks.set(record.number, { record, frameOffset, proven });
    if (proven) candidate.provenBytes += frame.length;
  }

  /** Blocks and catalog segments whose records are lost and were made again. */
  async #rebuildRecords(candidate: Candidate): Promise<void> {
    const { archiveId, digest, head, format, headPayload, blocks, whole } = candidate;
    const [first] = blocks.values();
    if (first === undefined || digest === undefined) return;
    const traits =
      head === undefined || headPayload === undefined
        ? { archiveId, digest, codec: first.record.codec, sources: limits.sources, format, headPayload }
        : traitsOf(head, headPayload, digest);
    const start = head?.preamble.length ?? 0;
    for await (const found of recordsFrom(this.#input, start, traits, head !== undefined)) {
      this.#signal.throwIfAborted();
      const { header, block: record, frameOffset, isRepaired } = found;
      if (!isRepaired) continue;
      if (header.type === RecordType.segment) takeSegment(candidate, found);
      if (record === undefined || blocks.get(record.number)?.proven === true) continue;
      blocks.set(record.number, { record, frameOffset, proven: true });
      whole.push({ start: frameOffset, end: frameOffset + record.compressedLength });
    }
  }

  /** Without a head, whichever algorithm first proves a frame is that of the archive. */
  async #proves(candidate: Candidate, frame: Uint8Array, { digest: expected }: BlockRecord): Promise<boolean> {
    const isDigestOf = (digest: Digest): boolean => Buffer.compare(digest.block(frame), expected) === 0;
    if (candidate.digest !== undefined) return isDigestOf(candidate.digest);
    for (const name of digestNames) {
      const digest = await this.#digest(name);
      if (!isDigestOf(digest)) continue;
      candidate.digest = digest;
      return true;
    }
    return false;
  }

  async #digest(name: DigestName): Promise<Digest> {
    const digest = this.#digests.get(name) ?? (await createDigest(name));
    this.#digests.set(name, digest);
    return digest;
  }

  /** The archive that begins where the file begins; else the one of which most is left. */
  async #choose(): Promise<Candidate> {
    const { name } = this.#input;
    const candidates = [...this.#candidates.values()];
    if (candidates.length === 0) {
      throw new TsfsaError(
        "ARCHIVE_FOREIGN",
        `expected the remains of a tsfsa archive, found no record of one: ${name}`,
        {
          path: name,
        },
      );
    }
    const useful = candidates.filter(({ blocks, segments }) => blocks.size > 0 || segments.size > 0);
    for (const candidate of useful) if (await this.#isFirst(candidate)) return candidate;
    const [most] = useful.toSorted((a, b) => b.provenBytes - a.provenBytes || b.whole.length - a.whole.length);
    if (most === undefined) {
      throw new TsfsaError("ARCHIVE_DAMAGED", `nothing is left of what ${name} held: no block and no catalog`, {
        path: name,
      });
    }
    return most;
  }

  /** The bytes before its head are the preamble that the head names. */
  async #isFirst({ head, headOffset, digest }: Candidate): Promise<boolean> {
    if (head === undefined || digest === undefined || headOffset !== head.preamble.length) return false;
    this.#input.seek(0);
    const preamble = await this.#input.take(headOffset);
    return toHex(digest.hash(preamble)) === head.preamble.digest;
  }

  async #damagedRanges(chosen: Candidate): Promise<Range[]> {
    const preamble = (await this.#isFirst(chosen)) ? [{ start: 0, end: chosen.headOffset }] : [];
    const whole = [...preamble, ...chosen.whole].toSorted((a, b) => a.start - b.start);
    const damaged: Range[] = [];
    let at = 0;
    for (const { start, end } of whole) {
      if (start > at) damaged.push({ start: at, end: start });
      at = Math.max(at, end);
    }
    const length = this.#input.length ?? at;
    if (at < length && !(chosen.hasFooter && (await this.#isZero(at)))) damaged.push({ start: at, end: length });
    return damaged;
  }

  /** Only zeros from there on: what tapes and devices leave behind an archive. */
  async #isZero(position: number): Promise<boolean> {
    this.#input.seek(position);
    for (;;) {
      const bytes = await this.#input.take(scanBytes);
      if (bytes.length === 0) return true;
      if (bytes.some((byte) => byte !== 0)) return false;
    }
  }
}

/** The first of its number counts. */
function takeSegment(candidate: Candidate, { payload, offset, isRepaired }: FoundRecord): void {
  const { number, firstBlock } = decodeSegmentHeader(payload);
  if (candidate.head === undefined) candidate.format = hasParity(payload) ? formatVersion : 1;
  if (candidate.segments.has(number)) return;
  const found = { offset, payloadLength: payload.length, firstBlock };
  candidate.segments.set(number, isRepaired ? { ...found, repaired: payload } : found);
}
