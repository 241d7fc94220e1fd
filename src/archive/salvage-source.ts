// The remains of an archive as clean groups, as a reader of a whole one hands them out: blocks in the order of their numbers, each with its catalog
// segment where that is left. Whoever restores or writes groups need not know that anything was lost; what was, is told as damage.

import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import type { Digest } from "../codec/digest.ts";
import { RecordType } from "../format/record.ts";
import { decodeSegment } from "../format/segment.ts";
import { decodeSummary } from "../format/summary.ts";
import type { Head, Summary } from "../model/archive.ts";
import { readRecord } from "./archive-index.ts";
import type { Damage } from "./damage.ts";
import { type ArchiveInput, openInput } from "./input.ts";
import type { BlockLocation, Group, GroupCatalog, GroupSource } from "./reader.ts";
import { guessHead } from "./salvage-head.ts";
import { type FoundBlock, type FoundSegment, type Range, type Remains, scanRemains } from "./salvage-scan.ts";
import { splitSegmentRows } from "./split-segment.ts";

export class SalvageSource implements GroupSource {
  readonly input: ArchiveInput;
  readonly head: Head;
  readonly digest: Digest;
  readonly damages: Damage[] = [];
  readonly summary: Summary | undefined;
  /** Where the archive is not what was written. */
  readonly damagedRanges: readonly Range[];
  /** Ids of the sources that are known: of the head, or where that is lost, of the blocks that are left. */
  readonly sources: ReadonlySet<number>;
  readonly #remains: Remains;
  readonly #fd: number;
  readonly #decoder: FrameDecoder;

  private constructor(input: ArchiveInput, fd: number, remains: Remains, head: Head, decoder: FrameDecoder) {
    this.input = input;
    this.head = head;
    this.digest = remains.digest;
    this.summary = summaryOf(remains);
    this.damagedRanges = remains.damaged;
    this.#remains = remains;
    this.#fd = fd;
    this.#decoder = decoder;
    const ids = [...head.sources.keys()];
    const left = new Set(remains.blocks.map(({ record }) => record.sourceId));
    this.sources = new Set(remains.head === undefined ? ids.filter((id) => left.has(id)) : ids);
    for (const { start, end } of remains.damaged) {
      this.damages.push({
        offset: start,
        message: `the ${end - start} bytes up to byte ${end} are not what was written`,
      });
    }
    if (remains.head === undefined) {
      const message = "both heads are lost: what the sources were (type, label, UUID, origin) is not known";
      this.damages.push({ offset: 0, message });
    }
  }

  /** Opens a file and goes over all of it. Throws USAGE for a pipe, and what opening and scanning throw. */
  static async open(archive: string, signal: AbortSignal): Promise<SalvageSource> {
    if (archive === "-") throw noPipe(archive);
    const input = openInput(archive, signal);
    try {
      const { fd } = input;
      if (fd === undefined) throw noPipe(archive);
      const remains = await scanRemains(input, signal);
      const decoder = await createDecoder("zstd");
      const catalogs = readCatalogs(remains, fd, decoder);
      const head = remains.head ?? (await guessHead(remains, input, catalogs, summaryOf(remains)));
      return new SalvageSource(input, fd, remains, head, decoder);
    } catch (error) {
      await input.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.input.close();
  }

  async *groups(): AsyncGenerator<Group, void> {
    const { blocks, segments, hasFooter } = this.#remains;
    let at = 0;
    let next = 0;
    const blocksBefore = (number: number): FoundBlock[] => {
      const from = at;
      while (at < blocks.length && (blocks[at] as FoundBlock).record.number < number) at++;
      return blocks.slice(from, at);
    };
    for (const segment of segments) {
      const catalog = readCatalog(segment, this.#fd, this.#remains, this.#decoder);
      if (catalog === undefined || segment.firstBlock < next) {
        const message = "a catalog segment that is whole holds what cannot be used";
        this.damages.push({ offset: segment.offset, message, hostile: true });
        continue;
      }
      yield* this.#withoutCatalog(blocksBefore(segment.firstBlock), next, segment.firstBlock);
      next = segment.firstBlock + catalog.blocks.length;
      yield { catalog, blocks: blocksBefore(next).map(locationOf) };
    }
    const rest = blocks.slice(at);
    yield* this.#withoutCatalog(rest, next, Math.max(next, (rest.at(-1)?.record.number ?? -1) + 1));
    const last = blocks.at(-1);
    if (last?.record.end === true) {
      if (!hasFooter) this.#lost(last, "the end of the archive is damaged; nothing of what was saved stood there");
    } else {
      const from =
        last === undefined ? "what stood in it" : `what stood behind block ${last.record.number}, if anything,`;
      this.#lost(last, `the end of the archive is lost, and with it ${from} and its names`);
    }
  }

  /** Blocks [from, to) whose segment is lost, as far as they are left. */
  *#withoutCatalog(blocks: readonly FoundBlock[], from: number, to: number): Generator<Group, void> {
    let run: BlockLocation[] = [];
    let next = from;
    let previous: FoundBlock | undefined;
    for (const block of blocks) {
      const { number } = block.record;
      const isGap = number > next;
      if (run.length > 0 && (isGap || run.length >= limits.groupBlocks)) {
        yield { catalog: undefined, blocks: run };
        run = [];
      }
      if (isGap) this.#missing(next, number, previous ?? block);
      run.push(locationOf(block));
      next = number + 1;
      previous = block;
    }
    if (run.length > 0) yield { catalog: undefined, blocks: run };
    if (next < to) this.#missing(next, to, previous);
  }

  /** Blocks [from, to) are lost and their catalog, too. */
  #missing(from: number, to: number, near: FoundBlock | undefined): void {
    const which = to - from === 1 ? `block ${from} is` : `blocks ${from} to ${to - 1} are`;
    this.#lost(near, `${which} lost together with the catalog: nobody knows the names of what stood there`, from);
  }

  #lost(near: FoundBlock | undefined, message: string, block?: number): void {
    this.damages.push({ offset: near?.frameOffset ?? 0, message, ...(block === undefined ? {} : { block }) });
  }
}

function locationOf({ record, frameOffset }: FoundBlock): BlockLocation {
  return { record, frameOffset };
}

function summaryOf({ summary }: Remains): Summary | undefined {
  try {
    return summary === undefined ? undefined : decodeSummary(summary);
  } catch (error) {
    if (error instanceof TsfsaError) return undefined;
    throw error;
  }
}

/** One by one: all of them may be more than fits. */
function* readCatalogs(remains: Remains, fd: number, decoder: FrameDecoder): Generator<GroupCatalog | undefined, void> {
  for (const segment of remains.segments) yield readCatalog(segment, fd, remains, decoder);
}

/** Undefined where it is not what a writer makes. */
function readCatalog(
  { offset, payloadLength, repaired }: FoundSegment,
  fd: number,
  { archiveId, format, digest }: Remains,
  decoder: FrameDecoder,
): GroupCatalog | undefined {
  try {
    const payload = repaired ?? readRecord(fd, offset, archiveId, RecordType.segment, payloadLength);
    const { header, frame } = decodeSegment(payload, format);
    const content = new Uint8Array(header.contentLength);
    decoder.decompress(content, frame);
    return { header, ...splitSegmentRows(header, content, digest.length) };
  } catch (error) {
    if (error instanceof TsfsaError && (error.code === "ARCHIVE_DAMAGED" || error.code === "ARCHIVE_HOSTILE"))
      return undefined;
    throw error;
  }
}

function noPipe(archive: string): TsfsaError {
  return new TsfsaError("USAGE", "salvage goes over an archive more than once: expected a file, found a pipe", {
    path: archive,
    hints: ["write it to a file first: cat > FILE", "restdir - restores what is whole from a pipe that has its head"],
  });
}
