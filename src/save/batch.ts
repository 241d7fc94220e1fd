// The entry records of a pack job: what the plan knows of each entry, packed into one buffer that moves to the worker.
//
//   u32 directory index · u8 kind · u8 name length · u8 flags · u8 0 · u32 depth · u32 link path length · f64 link entry
//   · u32 errno · u32 0 · stat record (128) · name · link path · zeros to a multiple of 8
//
// kind is an EntryKind; the errno is why an absent entry is absent, or why a directory's content is.

import { viewOf } from "../base/bytes.ts";
import type { EntryKind } from "../model/entry.ts";
import { statLayout } from "../sys/layout.ts";

/** Offsets of the fields of a record. */
export const batchLayout = {
  directory: 0,
  kind: 4,
  nameLength: 5,
  flags: 6,
  depth: 8,
  linkLength: 12,
  linkEntry: 16,
  errno: 24,
  stat: 32,
  name: 32 + statLayout.size,
} as const;

export const batchFlags = {
  /** nlink > 1: a later entry may be a hard link to this one. */
  linked: 1,
  /** A directory that may be the root of a btrfs subvolume. */
  subvolume: 2,
} as const;

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

/** Collects entry records. */
export class BatchWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  count = 0;

  add(directory: number, fields: BatchFields, source: EntrySource): void {
    const { nameLength, nameStart, names, stats, statOffset } = source;
    const { linkPath } = fields;
    const size = (batchLayout.name + nameLength + linkPath.length + 7) & ~7;
    if (this.#length + size > this.#bytes.length) this.#grow(size);
    const at = this.#length;
    const bytes = this.#bytes;
    const view = this.#view;
    view.setUint32(at + batchLayout.directory, directory, true);
    bytes[at + batchLayout.kind] = fields.kind;
    bytes[at + batchLayout.nameLength] = nameLength;
    bytes[at + batchLayout.flags] = fields.flags;
    view.setUint32(at + batchLayout.depth, fields.depth, true);
    view.setUint32(at + batchLayout.linkLength, linkPath.length, true);
    view.setFloat64(at + batchLayout.linkEntry, fields.linkEntry, true);
    view.setUint32(at + batchLayout.errno, fields.errno, true);
    const statAt = at + batchLayout.stat;
    for (let i = 0; i < statLayout.size; i += 4)
      view.setUint32(statAt + i, stats.getUint32(statOffset + i, true), true);
    const nameAt = at + batchLayout.name;
    for (let i = 0; i < nameLength; i++) bytes[nameAt + i] = names[nameStart + i] as number;
    if (linkPath.length > 0) bytes.set(linkPath, nameAt + nameLength);
    this.#length += size;
    this.count++;
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
        batchLayout.name +
        (bytes[at + batchLayout.nameLength] as number) +
        this.view.getUint32(at + batchLayout.linkLength, true);
      at = (end + 7) & ~7;
    }
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
    const nameEnd = at + batchLayout.name + (bytes[at + batchLayout.nameLength] as number);
    const linkLength = view.getUint32(at + batchLayout.linkLength, true);
    return {
      directory: view.getUint32(at + batchLayout.directory, true),
      kind: bytes[at + batchLayout.kind] as EntryKind,
      flags: bytes[at + batchLayout.flags] as number,
      depth: view.getUint32(at + batchLayout.depth, true),
      linkEntry: view.getFloat64(at + batchLayout.linkEntry, true),
      errno: view.getUint32(at + batchLayout.errno, true),
      statOffset: at + batchLayout.stat,
      name: bytes.subarray(at + batchLayout.name, nameEnd),
      linkPath: linkLength === 0 ? noPath : bytes.subarray(nameEnd, nameEnd + linkLength),
    };
  }
}
