// Reading the content of a catalog segment (grammar in segment.ts). A first pass over the bytes finds the rows of each block and the digests at the
// end, and proves that lengths and counts agree, before any row is given out.

import { ByteReader, compareBytes } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";
import { hostileName, checkComponent } from "./path.ts";
import { rowFlags } from "./row.ts";
import { decodeRow, readExtents, RowGlance, skipRow } from "./rowDecoder.ts";
import { completionFlags, type SegmentHeader } from "./segment.ts";
import { tarBlockLength } from "./ustar.ts";

/** The encoded rows of one block and their digests: views into the content. */
export interface BlockOutline {
  readonly count: number;
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
}

/** What stands around the rows, and the rows. */
interface Outline {
  readonly ancestors: readonly Uint8Array[];
  readonly blocks: readonly BlockOutline[];
  readonly completions: readonly Completion[];
}

/** Passes over rows that skipRow() would pass over, as many of `count` as it knows: how many, where the next begins, and how many have digests. */
export type PassRows = (
  content: Uint8Array,
  start: number,
  count: number,
) => { readonly rows: number; readonly end: number; readonly digests: number };

/**
 * A segment in parts: its rows stay encoded, one piece for each block (see decodeBlockRows). Throws ARCHIVE_DAMAGED, or ARCHIVE_HOSTILE for illegal
 * names of ancestors. `passRows`: a faster way over rows than skipRow().
 */
export function splitSegment(
  header: SegmentHeader,
  content: Uint8Array,
  digestLength: number,
  passRows?: PassRows,
): Outline {
  const reader = new ByteReader(content, `catalog segment ${header.number}`);
  if (content.length !== header.contentLength) throw reader.damage("its length is not the one in its header");
  const blockCount = reader.varint();
  if (blockCount > limits.groupBlocks) throw reader.damage(`${blockCount} blocks`);
  const ancestors = readAncestors(reader);
  let entries = 0;
  let digests = 0;
  const ranges: { readonly count: number; readonly start: number; readonly end: number; readonly digests: number }[] =
    [];
  for (let block = 0; block < blockCount; block++) {
    const count = reader.varint();
    entries += count;
    if (count > limits.blockEntries) throw reader.damage(`${count} rows of one block`);
    if (entries > header.entryCount) throw reader.damage("more rows than its header says");
    const start = reader.position;
    const before = digests;
    const passed = passRows?.(content, start, count);
    digests += passed?.digests ?? 0;
    reader.position = passed?.end ?? start;
    for (let index = passed?.rows ?? 0; index < count; index++) {
      if ((skipRow(reader) & rowFlags.digest) !== 0) digests++;
    }
    ranges.push({ count, start, end: reader.position, digests: digests - before });
  }
  if (entries !== header.entryCount) throw reader.damage("fewer rows than its header says");
  const completions = readCompletions(reader, header, digestLength);
  let digestsAt = reader.position;
  reader.raw(digests * digestLength);
  reader.finish();
  const blocks = ranges.map((range): BlockOutline => {
    const from = digestsAt;
    digestsAt += range.digests * digestLength;
    const rows = content.subarray(range.start, range.end);
    return { count: range.count, rows, digests: content.subarray(from, digestsAt) };
  });
  return { ancestors, blocks, completions };
}

/**
 * Names from the source's root (without it) down to the first entry of a segment, which must have one; none when it is a root. Nothing behind that row is
 * looked at.
 */
export function firstOfSegment(header: SegmentHeader, content: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(content, `catalog segment ${header.number}`);
  const blocks = reader.varint();
  const names = readAncestors(reader);
  for (let block = 0; block < blocks; block++) {
    if (reader.varint() === 0) continue;
    const glance = new RowGlance();
    glance.read(reader);
    return [...names, glance.name].slice(1);
  }
  throw reader.damage("no entries");
}

/** Depth of the first row of a block that has rows. */
export function firstDepthOf(block: BlockOutline): number {
  const glance = new RowGlance();
  glance.read(new ByteReader(block.rows, "catalog segment"));
  return glance.depth;
}

/** The rows of one block of a split segment. Their order is the caller's to check (RowOrder). */
export function decodeBlockRows(block: BlockOutline, digestLength: number): CatalogRow[] {
  return [...blockRows(block, digestLength)];
}

/** The same one by one: for whoever looks at each row once, and at millions. */
export function* blockRows(block: BlockOutline, digestLength: number): Generator<CatalogRow, void> {
  const reader = new ByteReader(block.rows, "catalog segment");
  const digests = new ByteReader(block.digests, "digests of a catalog segment");
  const takeDigest = (): Uint8Array => digests.raw(digestLength);
  let offset = 0;
  for (let index = 0; index < block.count; index++) {
    const row = decodeRow(reader, takeDigest);
    offset = checkOffset(reader, row, offset);
    yield row;
  }
}

/** The row of a directory that begins at this offset of a block's rows. */
export function decodeDirectoryRow({ rows }: BlockOutline, start: number): CatalogRow {
  const reader = new ByteReader(rows.subarray(start), "catalog segment");
  return decodeRow(reader, () => {
    throw reader.damage("a digest of a directory");
  });
}

/** Headers of members stand in order; entries without member have none. Returns where the next may stand. */
function checkOffset(reader: ByteReader, row: CatalogRow, offset: number): number {
  if (!hasMember(row)) {
    if (row.offset !== 0) throw reader.damage("an offset of an entry without member");
    return offset;
  }
  if (row.offset < offset) throw reader.damage("rows of a block are not in order");
  return row.offset + tarBlockLength;
}

function readAncestors(reader: ByteReader): Uint8Array[] {
  const count = reader.varint();
  if (count > limits.depth) throw reader.damage(`${count} ancestors`);
  const ancestors: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const name = reader.byteString(limits.nameBytes);
    if (index > 0) checkComponent(name);
    else if (name.length > 0) throw reader.damage("the first ancestor is not a root");
    ancestors.push(name);
  }
  return ancestors;
}

function readCompletions(reader: ByteReader, header: SegmentHeader, digestLength: number): Completion[] {
  const count = reader.varint();
  if (count > limits.groupBlocks) throw reader.damage(`${count} completions`);
  const completions: Completion[] = [];
  for (let index = 0; index < count; index++) {
    const entry = reader.varint();
    const flags = reader.u8();
    if (entry >= header.firstEntry + header.entryCount || entry <= (completions.at(-1)?.entry ?? -1)) {
      throw reader.damage("completions are not in order, or of a later entry");
    }
    if ((flags & ~(completionFlags.changed | completionFlags.damaged)) !== 0) throw reader.damage("reserved flags");
    completions.push({
      entry,
      changed: (flags & completionFlags.changed) !== 0,
      damaged: (flags & completionFlags.damaged) !== 0,
      digest: reader.raw(digestLength),
      damagedRanges: readExtents(reader, reader.varint()),
    });
  }
  return completions;
}

function hasMember(row: CatalogRow): boolean {
  return row.kind !== EntryKind.socket && row.kind !== EntryKind.absent;
}

/** Depth-first pre-order, siblings strictly ascending: so no name stands twice in a directory. */
export class RowOrder {
  readonly #damage: (reason: string) => Error;
  /** Last name seen at each depth below the present path. */
  readonly names: (Uint8Array | undefined)[] = [];
  #depthMax: number;
  #first = true;

  /** `firstDepth`: of the first row; `damage` makes the error for rows out of order. */
  constructor(firstDepth: number, damage: (reason: string) => Error) {
    this.#depthMax = firstDepth;
    this.#damage = damage;
  }

  /** The order after an entry `last` of the directory with these names from the root down; an empty one: after the directory itself. */
  static behind(names: readonly Uint8Array[], last: Uint8Array, damage: (reason: string) => Error): RowOrder {
    const order = new RowOrder(names.length, damage);
    order.#first = false;
    order.names.push(...names, ...(last.length > 0 ? [last] : []));
    return order;
  }

  check(row: CatalogRow): void {
    const { depth, name } = row;
    const tooDeep = this.#first ? depth !== this.#depthMax : depth > this.#depthMax;
    if (tooDeep) throw this.#damage(`depth ${depth} does not follow from the entry before`);
    this.#first = false;
    const { names } = this;
    const previous = names[depth];
    if (depth > 0 && previous !== undefined && compareBytes(name, previous) <= 0) {
      throw compareBytes(name, previous) === 0
        ? hostileName(name, "a name that its directory already has")
        : this.#damage("siblings are not in order");
    }
    names.length = depth;
    names[depth] = name;
    this.#depthMax = row.kind === EntryKind.directory ? depth + 1 : depth;
  }
}
