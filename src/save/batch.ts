// The entry records of a pack job (entryLayout of sys/layout.ts): what the plan knows of each entry, packed into one buffer that moves to the worker.

import { viewOf } from "../base/bytes.ts";
import type { EntryKind } from "../model/entry.ts";
import { entryLayout, statLayout } from "../sys/layout.ts";

/** Where an entry's name and stat stand in the listing of its directory. */
export interface EntrySource {
  readonly names: Uint8Array;
  readonly nameStart: number;
  readonly nameLength: number;
  /** Stat records. */
  readonly stats: DataView;
  readonly statOffset: number;
}

export interface BatchFields {
  readonly kind: EntryKind;
  readonly flags: number;
  readonly depth: number;
  /** Entry number of the object, for links; −1 else. */
  readonly linkEntry: number;
  readonly errno: number;
  /** Member name of the object, for hard links. */
  readonly linkPath: Uint8Array;
}

/** Bytes of a record without link at most. */
const recordMax = entryLayout.size + 256;

/** Collects entry records. */
export class BatchWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  count = 0;

  add(directory: number, fields: BatchFields, source: EntrySource): void {
    const { nameLength, nameStart, names, stats, statOffset } = source;
    const { linkPath } = fields;
    const size = (entryLayout.size + nameLength + linkPath.length + 7) & ~7;
    if (this.#length + size > this.#bytes.length) this.#grow(size);
    const at = this.#length;
    const bytes = this.#bytes;
    const view = this.#view;
    view.setUint32(at + entryLayout.directory, directory, true);
    bytes[at + entryLayout.kind] = fields.kind;
    bytes[at + entryLayout.nameLength] = nameLength;
    bytes[at + entryLayout.flags] = fields.flags;
    view.setUint32(at + entryLayout.depth, fields.depth, true);
    view.setUint32(at + entryLayout.linkLength, linkPath.length, true);
    view.setFloat64(at + entryLayout.linkEntry, fields.linkEntry, true);
    view.setUint32(at + entryLayout.error, fields.errno, true);
    const statAt = at + entryLayout.stat;
    for (let i = 0; i < statLayout.size; i += 4)
      view.setUint32(statAt + i, stats.getUint32(statOffset + i, true), true);
    const nameAt = at + entryLayout.size;
    for (let i = 0; i < nameLength; i++) bytes[nameAt + i] = names[nameStart + i] as number;
    if (linkPath.length > 0) bytes.set(linkPath, nameAt + nameLength);
    this.#length += size;
    this.count++;
  }

  /** The records so far, with room behind them for one more at least: for who writes there and calls added(). */
  room(): { readonly records: Uint8Array; readonly length: number } {
    if (this.#length + recordMax > this.#bytes.length) this.#grow(recordMax);
    return { records: this.#bytes, length: this.#length };
  }

  /** Takes `count` records that were written there and end at `length`. */
  added(count: number, length: number): void {
    this.#length = length;
    this.count += count;
  }

  /** The records, as a view of a buffer that may be transferred; the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(more: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, (this.#length + more + 7) & ~7));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

export interface ReadEntry extends BatchFields {
  readonly directory: number;
  readonly name: Uint8Array;
  /** Offset of its stat record in the batch. */
  readonly statOffset: number;
}

const noPath = new Uint8Array(0);

/** The records of a batch, by index. */
export class EntryBatch {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly length: number;
  readonly #offsets: Uint32Array;
  readonly #entries: (ReadEntry | undefined)[];

  constructor(bytes: Uint8Array, count: number) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.length = count;
    this.#offsets = new Uint32Array(count);
    this.#entries = Array.from({ length: count });
    let at = 0;
    for (let i = 0; i < count; i++) {
      this.#offsets[i] = at;
      const end =
        at +
        entryLayout.size +
        (bytes[at + entryLayout.nameLength] as number) +
        this.view.getUint32(at + entryLayout.linkLength, true);
      at = (end + 7) & ~7;
    }
  }

  /** Where the records of `count` entries from `start` begin. */
  starts(start: number, count: number): Uint32Array {
    return this.#offsets.subarray(start, start + count);
  }

  /** Where record `index` starts: for whoever reads its fields in place. */
  offsetOf(index: number): number {
    return this.#offsets[index] as number;
  }

  /** Record `index` as an object, made when it is first asked for. */
  entry(index: number): ReadEntry {
    return (this.#entries[index] ??= this.#read(this.offsetOf(index)));
  }

  #read(at: number): ReadEntry {
    const { bytes, view } = this;
    const nameEnd = at + entryLayout.size + (bytes[at + entryLayout.nameLength] as number);
    const linkLength = view.getUint32(at + entryLayout.linkLength, true);
    return {
      directory: view.getUint32(at + entryLayout.directory, true),
      kind: bytes[at + entryLayout.kind] as EntryKind,
      flags: bytes[at + entryLayout.flags] as number,
      depth: view.getUint32(at + entryLayout.depth, true),
      linkEntry: view.getFloat64(at + entryLayout.linkEntry, true),
      errno: view.getUint32(at + entryLayout.error, true),
      statOffset: at + entryLayout.stat,
      name: bytes.subarray(at + entryLayout.size, nameEnd),
      linkPath: linkLength === 0 ? noPath : bytes.subarray(nameEnd, nameEnd + linkLength),
    };
  }
}
