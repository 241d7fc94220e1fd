// Which catalog segments can hold something: found by where each begins, in the order of entries, so that few are looked at and none of their rows.

import { compareBytes } from "../base/bytes.ts";
import { type ArchiveIndex, lastAtMost } from "./archive-index.ts";

/** A place in the order of entries: names below the root of a source. */
interface Position {
  readonly source: number;
  readonly components: readonly Uint8Array[];
}

const slash = 0x2f;
const noPath = new Uint8Array(0);

export class SegmentSearch {
  readonly #index: ArchiveIndex;
  /** Segments in which entries start. */
  readonly #segments: readonly number[];
  readonly #starts = new Map<number, Position>();

  constructor(index: ArchiveIndex) {
    this.#index = index;
    this.#segments = [...index.segments.keys()].filter((number) => index.segments[number]?.entryCount !== 0);
  }

  /**
   * Numbers of the segments in which an entry at or below one of the paths (undefined: any entry) of these sources can start, or a directory above one.
   * Throws ARCHIVE_DAMAGED.
   */
  segmentsFor(sources: Iterable<number>, paths: readonly Uint8Array[] | undefined): number[] {
    const roots = paths ?? [noPath];
    const wanted = new Set<number>();
    for (const source of sources) {
      for (const root of roots) {
        const components = split(root);
        for (let depth = 0; depth <= components.length; depth++) {
          wanted.add(this.#lastBefore({ source, components: components.slice(0, depth) }));
        }
        const first = this.#lastBefore({ source, components });
        for (let i = first + 1; i < this.#segments.length && this.#startsBelow(i, { source, components }); i++) {
          wanted.add(i);
        }
      }
    }
    return [...wanted].toSorted((a, b) => a - b).map((i) => this.#segments[i] as number);
  }

  /** Place in #segments of the last one that starts at or before a position. */
  #lastBefore(position: Position): number {
    return lastAtMost(this.#segments, 0, (segment) => comparePositions(this.#start(segment), position));
  }

  #startsBelow(place: number, { source, components }: Position): boolean {
    if (components.length === 0) return this.sourceOf(this.#segments[place] as number) === source;
    const start = this.#start(this.#segments[place] as number);
    return (
      start.source === source &&
      start.components.length >= components.length &&
      components.every((name, i) => compareBytes(name, start.components[i] as Uint8Array) === 0)
    );
  }

  /** Where a segment's first entry stands. */
  #start(segment: number): Position {
    const known = this.#starts.get(segment);
    if (known !== undefined) return known;
    const components = this.#index.firstOf(segment).map((name) => name.slice());
    const start = { source: this.sourceOf(segment), components };
    this.#starts.set(segment, start);
    return start;
  }

  /** Source of a segment's first row. */
  sourceOf(segment: number): number {
    const { blocks, segments, summary } = this.#index;
    let block = segments[segment]?.firstBlock ?? 0;
    while (blocks[block]?.entryCount === 0) block++;
    const found = blocks[block];
    return found === undefined || found.end ? summary.sources.length - 1 : found.sourceId;
  }
}

function split(path: Uint8Array): Uint8Array[] {
  const components: Uint8Array[] = [];
  for (let start = 0; start < path.length; ) {
    const found = path.indexOf(slash, start);
    const end = found < 0 ? path.length : found;
    components.push(path.subarray(start, end));
    start = end + 1;
  }
  return components;
}

/** Order of entries: by source, then by components; a directory before what it holds. */
function comparePositions(left: Position, right: Position): number {
  if (left.source !== right.source) return left.source - right.source;
  for (const [i, name] of left.components.entries()) {
    const other = right.components[i];
    if (other === undefined) return 1;
    const order = compareBytes(name, other);
    if (order !== 0) return order;
  }
  return left.components.length - right.components.length;
}
