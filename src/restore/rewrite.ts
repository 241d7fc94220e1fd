// A new archive from what is whole of another. Blocks go over as they are, frame and all; only one that holds entries that are lost elsewhere (a link
// whose object is gone, a file whose other blocks are) is packed again without them. Directories whose own block is lost get a member made from their
// catalog row, or, where that is lost too, from their name alone: what is below them needs a place.
// Invariant: entries are numbered anew, in the old order; every link's object has its new number before the link is written.

import { framePlace } from "../archive/frames.ts";
import { type ArchiveOutput, ArchiveWriter, type SealedBlock } from "../archive/writer.ts";
import type { BlockLocation, GroupSource } from "../archive/reader.ts";
import { compareBytes, concatBytes, equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createEncoder, type FrameEncoder } from "../codec/codec.ts";
import { prefixBytes } from "../format/head.ts";
import { MemberEncoder, type MemberFields } from "../format/member.ts";
import { type EncodedRows, RowEncoder } from "../format/segment.ts";
import { emptyTotals, totalOfKind } from "../format/summary.ts";
import type { Head, SourceTotals, Summary } from "../model/archive.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { EntryKind, type Timestamp } from "../model/entry.ts";
import type { Warning } from "../model/events.ts";
import { addon } from "../sys/addon.ts";
import { componentsBelow } from "./index-block.ts";
import type { LinkObject } from "./links.ts";
import type { FoundRows, RunObserver } from "./run-options.ts";
import type { PlacedBlock } from "./placed.ts";
import { Unpacker } from "./unpack.ts";

/** Bytes of a block's tar that stay: [from, to). */
type Kept = readonly (readonly [number, number])[];

/** What is to be written, in order. */
type Item =
  | { readonly kind: "carry"; readonly rows: EncodedRows; readonly place: FirstPlace }
  | { readonly kind: "tar"; readonly tar: Uint8Array; readonly rows: EncodedRows; readonly place: FirstPlace }
  | {
      readonly kind: "block";
      readonly location: BlockLocation;
      /** Undefined: all of it, as it is. */
      readonly kept: Kept | undefined;
      readonly rows: EncodedRows;
      readonly place: FirstPlace;
      readonly more?: Pick<SealedBlock, "continuation" | "completes">;
    };

/** Of a block's first entry. */
interface FirstPlace {
  readonly sourceId: number;
  readonly ancestors: readonly Uint8Array[];
}

interface PendingFile {
  readonly location: BlockLocation;
  readonly placed: PlacedBlock;
  readonly found: FoundRows;
  readonly slices: { readonly location: BlockLocation; readonly bytes: number }[];
}

const noName = new Uint8Array(0);
const noRows: EncodedRows = { count: 0, rows: noName, digests: noName };
/** Of the little that is compressed anew, in this thread: it must hear signals. */
const levelMax = 3;
/** Bytes of tar of directories that are put into one block. */
const madeBytesMax = 1024 * 1024;

export class ArchiveRewriter implements RunObserver {
  readonly #source: GroupSource;
  readonly #writer: ArchiveWriter;
  readonly #unpacker: Unpacker;
  readonly #encoder: FrameEncoder;
  readonly #warn: (warning: Warning) => void;
  readonly #prefixes: readonly Uint8Array[];
  readonly #made: Timestamp;
  readonly #members = new MemberEncoder();
  readonly #rows = new RowEncoder();
  readonly #queue: Item[] = [];
  readonly #totals: SourceTotals[];
  /** Where the last entry stands: source, names of the open directories from the root (empty name) down, and the last name in each of them. */
  #sourceId = -1;
  #names: Uint8Array[] = [];
  #lastNames: (Uint8Array | undefined)[] = [];
  #entries = 0;
  #memberCount = 0;
  #pending: PendingFile | undefined;
  /** Directories without a block of theirs. */
  #madeRows: CatalogRow[] = [];
  #madeTar: Uint8Array[] = [];
  #madeBytes = 0;
  #madePlace: FirstPlace | undefined;

  private constructor(
    source: GroupSource,
    writer: ArchiveWriter,
    unpacker: Unpacker,
    encoder: FrameEncoder,
    warn: (warning: Warning) => void,
  ) {
    this.#source = source;
    this.#writer = writer;
    this.#unpacker = unpacker;
    this.#encoder = encoder;
    this.#warn = warn;
    this.#prefixes = source.head.sources.map(prefixBytes);
    this.#made = { seconds: Math.floor(Date.parse(source.head.created) / 1000), nanoseconds: 0 };
    this.#totals = source.head.sources.map(() => emptyTotals());
  }

  /** Starts the new archive: `source` must be a file, `head` have the sources, the codec and the digest of its head. */
  static async create(
    source: GroupSource,
    sink: ArchiveOutput,
    head: Omit<Head, "preamble">,
    warn: (warning: Warning) => void,
  ): Promise<ArchiveRewriter> {
    const writer = await ArchiveWriter.create(sink, head, source.digest);
    const { codec, digest, level } = head;
    const policy = { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 };
    const unpacker = await Unpacker.create({ codec, digest, policy });
    const encoder = await createEncoder(codec, Math.min(level, levelMax));
    return new ArchiveRewriter(source, writer, unpacker, encoder, warn);
  }

  /** Writes what is left to write, and the end. */
  async finish(): Promise<Summary> {
    this.#openRoots(this.#prefixes.length - 1);
    this.#flushMade();
    await this.settled();
    return this.#writer.finish(this.#totals, this.#memberCount, undefined);
  }

  block(location: BlockLocation, placed: PlacedBlock, found: FoundRows): void {
    if (found.pendingBytes === undefined) this.#addBlock(location, placed, found, found.lost);
    else this.#pending = { location, placed, found, slices: [] };
  }

  slice(location: BlockLocation, bytes: number): void {
    this.#pending?.slices.push({ location, bytes });
  }

  largeEnded(completion: Completion | undefined, object: LinkObject | undefined): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return; // the block in which it starts is lost
    const { location, placed, found, slices } = pending;
    const last = placed.rows.length - 1;
    if (completion === undefined) {
      const bytes = found.bytes - (found.pendingBytes ?? 0);
      this.#addBlock(location, placed, { ...found, bytes }, new Set([...found.lost, last]));
      return;
    }
    const objects = object === undefined ? found.objects : new Map([...found.objects, [last, object]]);
    // Of a file with holes all data may stand in the block in which it starts.
    this.#addBlock(location, placed, { ...found, objects }, found.lost, slices.length === 0 ? completion : undefined);
    const entry = this.#entries - 1;
    const totals = this.#totals[this.#sourceId] as SourceTotals;
    if (completion.damaged) totals.damaged++;
    if (completion.changed) totals.changed++;
    for (const [i, slice] of slices.entries()) {
      const fileOffset = slice.location.record.continuation?.fileOffset ?? 0;
      const ends = i === slices.length - 1 ? { completes: { ...completion, entry } } : {};
      totals.dataBytes += slice.bytes;
      this.#queue.push({
        kind: "block",
        location: slice.location,
        kept: undefined,
        rows: noRows,
        place: { sourceId: this.#sourceId, ancestors: [] },
        more: { continuation: { entry, fileOffset }, ...ends },
      });
    }
  }

  lost(placed: PlacedBlock): void {
    let isPlaced = false;
    for (const [index, row] of placed.rows.entries()) {
      if (row.kind !== EntryKind.directory) continue;
      if (!isPlaced) this.#moveTo(placed, index);
      isPlaced = true;
      this.#makeDirectory(row);
    }
  }

  async settled(): Promise<void> {
    for (const item of this.#queue.splice(0)) await this.#write(item);
  }

  /** `completion`: of the file in its last row, where that ends in it. */
  #addBlock(
    location: BlockLocation,
    placed: PlacedBlock,
    found: FoundRows,
    lost: ReadonlySet<number>,
    completion?: Completion,
  ): void {
    const { rows } = placed;
    const keptRows = this.#keptRows(placed, found, lost);
    const [first] = keptRows;
    if (first === undefined) return;
    this.#moveTo(placed, first);
    this.#flushMade();
    const kept = keptTar(rows, new Set(keptRows), location.record.uncompressedLength);
    const isRoot = rows[first]?.depth === 0;
    const place = {
      sourceId: isRoot ? this.#sourceId + 1 : this.#sourceId,
      ancestors: isRoot ? [] : this.#names.slice(0, rows[first]?.depth),
    };
    let cut = 0;
    let range = 0;
    for (const index of keptRows) {
      const row = rows[index] as CatalogRow;
      const hasMember = hasMemberOf(row);
      if (hasMember && kept !== undefined) {
        while ((kept[range] as readonly [number, number])[1] <= row.offset) range++;
        cut = (kept[range] as readonly [number, number])[0] - lengthOf(kept.slice(0, range));
      }
      const object = found.links.get(index);
      const linkEntry = object === undefined ? {} : { linkEntry: object.writtenEntry };
      const entry = this.#enter({ ...row, ...linkEntry, offset: hasMember ? row.offset - cut : 0 });
      const linked = found.objects.get(index);
      if (linked !== undefined) linked.writtenEntry = entry;
    }
    const encoded = this.#rows.finish();
    const totals = this.#totals[this.#sourceId] as SourceTotals;
    totals.dataBytes += found.bytes;
    const more = completion === undefined ? {} : { more: { completes: { ...completion, entry: this.#entries - 1 } } };
    const isEmpty = location.record.end || (kept !== undefined && lengthOf(kept) === 0);
    this.#queue.push(
      isEmpty
        ? { kind: "carry", rows: encoded, place }
        : { kind: "block", location, kept, rows: encoded, place, ...more },
    );
  }

  /** What is not lost: and a hard link whose object is not in the new archive cannot be, either. */
  #keptRows(placed: PlacedBlock, { links, objects }: FoundRows, lost: ReadonlySet<number>): number[] {
    const kept: number[] = [];
    const objectsHere = new Set<LinkObject>();
    for (const [index, row] of placed.rows.entries()) {
      if (lost.has(index)) continue;
      if (row.kind === EntryKind.hardlink || row.linkEntry !== undefined) {
        const object = links.get(index);
        if (object === undefined || (object.writtenEntry === undefined && !objectsHere.has(object))) {
          const message = "it was not taken over: the entry it links to is lost";
          this.#warn({ code: "ENTRY_DAMAGED", path: placed.displayPath(index), message });
          continue;
        }
      }
      const object = objects.get(index);
      if (object !== undefined) objectsHere.add(object);
      kept.push(index);
    }
    return kept;
  }

  /** Opens the directory in which a row of a block stands. */
  #moveTo(placed: PlacedBlock, index: number): void {
    const row = placed.rows[index] as CatalogRow;
    const rootsBefore = placed.rows.slice(1, index + 1).filter(({ depth }) => depth === 0).length;
    const source = placed.source + rootsBefore;
    this.#openRoots(row.depth === 0 ? source - 1 : source);
    if (row.depth === 0) return;
    const above =
      index === 0
        ? componentsBelow(placed.parentPath, this.#prefixes[source] as Uint8Array)
        : componentsBelow(placed.displayPath(index), noName).slice(0, -1);
    const names = [noName, ...above];
    let same = 1;
    while (
      same < names.length &&
      same < this.#names.length &&
      equalBytes(names[same] as Uint8Array, this.#names[same] as Uint8Array)
    )
      same++;
    this.#names.length = same;
    this.#lastNames.length = same;
    for (const name of names.slice(same)) this.#makeDirectory(this.#unknownDirectory(name, this.#names.length));
  }

  /** Roots up to that of a source, as far as they have none. */
  #openRoots(source: number): void {
    while (this.#sourceId < source) this.#makeDirectory(this.#unknownDirectory(noName, 0));
  }

  #unknownDirectory(name: Uint8Array, depth: number): CatalogRow {
    const time = this.#made;
    return {
      kind: EntryKind.directory,
      depth,
      name,
      offset: 0,
      mode: 0o700,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: time,
      atime: time,
      inodeFlags: 0,
      projectId: 0,
      linked: false,
      changed: false,
      damaged: false,
      sparse: false,
      attributesLost: true,
      continued: false,
    };
  }

  /** A directory with a member of our own making. Its parent is open. */
  #makeDirectory(row: CatalogRow): void {
    this.#names.length = Math.min(this.#names.length, row.depth);
    this.#lastNames.length = this.#names.length;
    const sourceId = row.depth === 0 ? this.#sourceId + 1 : this.#sourceId;
    this.#madePlace ??= { sourceId, ancestors: [...this.#names] };
    const below = [...this.#names.slice(1), row.name].filter((name) => name.length > 0);
    const path = concatBytes([
      this.#prefixes[sourceId] as Uint8Array,
      ...below.flatMap((name) => [name, Uint8Array.of(0x2f)]),
    ]);
    const fields: MemberFields = {
      kind: EntryKind.directory,
      path,
      mode: row.mode,
      uid: row.uid,
      gid: row.gid,
      size: 0,
      mtimeSeconds: row.mtime.seconds,
      mtimeNanoseconds: row.mtime.nanoseconds,
      entryNumber: this.#entries,
    };
    const tar = new Uint8Array(this.#members.size(fields));
    this.#members.encode(tar, 0, fields);
    this.#enter({ ...row, offset: this.#madeBytes, attributesLost: true }, true);
    this.#madeTar.push(tar);
    this.#madeBytes += tar.length;
    if (this.#madeBytes >= madeBytesMax) this.#flushMade();
  }

  #flushMade(): void {
    const place = this.#madePlace;
    if (place === undefined) return;
    for (const row of this.#madeRows) this.#rows.add(row);
    this.#queue.push({ kind: "tar", tar: concatBytes(this.#madeTar), rows: this.#rows.finish(), place });
    this.#madeRows = [];
    this.#madeTar = [];
    this.#madeBytes = 0;
    this.#madePlace = undefined;
  }

  /** Counts an entry and moves to where it stands; returns its number. Throws ARCHIVE_HOSTILE where it cannot stand there. */
  #enter(row: CatalogRow, isMade = false): number {
    const { kind, depth, name } = row;
    if (depth === 0) {
      this.#sourceId++;
      this.#names = [noName];
      this.#lastNames = [undefined];
    } else {
      this.#names.length = Math.min(this.#names.length, depth);
      this.#lastNames.length = this.#names.length;
      const last = this.#lastNames[depth - 1];
      if (this.#names.length < depth || (last !== undefined && compareBytes(last, name) >= 0)) {
        throw new TsfsaError("ARCHIVE_HOSTILE", "its entries are not in order: no archive can be made of them", {
          hints: ["salvage --to restores what can be restored"],
        });
      }
      this.#lastNames[depth - 1] = name.slice();
      if (kind === EntryKind.directory) {
        this.#names.push(name.slice());
        this.#lastNames.push(undefined);
      }
    }
    if (isMade) this.#madeRows.push(row);
    else this.#rows.add(row);
    const totals = this.#totals[this.#sourceId] as SourceTotals;
    totals.entries++;
    totals[totalOfKind[kind]]++;
    if (row.attributesLost) totals.attributesLost++;
    if (row.changed && !row.continued) totals.changed++;
    if (row.damaged && !row.continued) totals.damaged++;
    if (kind === EntryKind.file) totals.bytes += row.size;
    if (hasMemberOf(row)) this.#memberCount++;
    return this.#entries++;
  }

  async #write(item: Item): Promise<void> {
    const { rows, place } = item;
    if (item.kind === "carry") {
      this.#writer.carry(rows, place.sourceId, place.ancestors);
      return;
    }
    const more = item.kind === "block" ? item.more : undefined;
    const { frame, uncompressedLength } = item.kind === "tar" ? this.#compress(item.tar) : this.#frameOf(item);
    const digest = this.#source.digest.block(frame);
    await this.#writer.writeBlock({ frame, uncompressedLength, digest, rows, ...place, ...more });
  }

  #frameOf({ location, kept }: Extract<Item, { kind: "block" }>): { frame: Uint8Array; uncompressedLength: number } {
    const { record, frameOffset } = location;
    const fd = this.#source.input.fd ?? -1;
    if (kept !== undefined) {
      const tar = this.#unpacker.decode(framePlace(location, fd));
      return this.#compress(concatBytes(kept.map(([from, to]) => tar.subarray(from, to))));
    }
    const frame = new Uint8Array(record.compressedLength);
    const read = addon().read(fd, frame, 0, frame.length, frameOffset);
    if (read !== frame.length || !equalBytes(this.#source.digest.block(frame), record.digest)) {
      const message = `block ${record.number} could be read a moment ago, and now cannot: the medium fails`;
      throw new TsfsaError("IO", message, { offsetBytes: frameOffset });
    }
    return { frame, uncompressedLength: record.uncompressedLength };
  }

  #compress(tar: Uint8Array): { frame: Uint8Array; uncompressedLength: number } {
    const target = new Uint8Array(this.#encoder.bound(tar.length));
    const frame = target.subarray(0, this.#encoder.compress(target, 0, tar, 0, tar.length));
    return { frame, uncompressedLength: tar.length };
  }
}

/** The tar bytes of the kept rows; undefined: all. */
function keptTar(rows: readonly CatalogRow[], kept: ReadonlySet<number>, length: number): Kept | undefined {
  const ranges: [number, number][] = [];
  let isWhole = true;
  let end = length;
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index] as CatalogRow;
    if (!hasMemberOf(row)) continue;
    if (kept.has(index)) ranges.push([row.offset, end]);
    else isWhole = false;
    end = row.offset;
  }
  return isWhole ? undefined : ranges.toReversed();
}

function lengthOf(ranges: Kept): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from, 0);
}

function hasMemberOf({ kind }: CatalogRow): boolean {
  return kind !== EntryKind.socket && kind !== EntryKind.absent;
}
