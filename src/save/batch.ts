// The entry records of a pack job: what the plan knows of each entry, packed into one buffer that moves to the worker.
//
//   u32 directory index · u8 kind · u8 name length · u8 flags · u8 0 · u32 depth · u32 link path length · f64 link entry
//   · u32 errno · u32 0 · stat record (128) · name · link path · zeros to a multiple of 8
//
// kind is an EntryKind; the errno is why an absent entry is absent, or why a directory's content is.

import type { EntryKind } from "../model/entry.ts";
import { statLayout } from "../sys/layout.ts";

const fixedSize = 32 + statLayout.size;
const statWords = statLayout.size / 4;

export const batchFlags = {
  /** nlink > 1: a later entry may be a hard link to this one. */
  linked: 1,
} as const;

/** Where an entry's name and stat stand in the listing of its directory. */
export interface EntrySource {
  readonly names: Uint8Array;
  readonly nameStart: number;
  readonly nameLength: number;
  /** Stat records; a multiple of 4 bytes into their buffer. */
  readonly stats: Uint8Array;
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
  #words = new Uint32Array(this.#bytes.buffer);
  #length = 0;
  count = 0;

  add(directory: number, fields: BatchFields, source: EntrySource): void {
    const { nameLength, nameStart, names, stats } = source;
    const { linkPath } = fields;
    const size = (fixedSize + nameLength + linkPath.length + 7) & ~7;
    if (this.#length + size > this.#bytes.length) this.#grow(size);
    const at = this.#length;
    const bytes = this.#bytes;
    const view = this.#view;
    view.setUint32(at, directory, true);
    bytes[at + 4] = fields.kind;
    bytes[at + 5] = nameLength;
    bytes[at + 6] = fields.flags;
    view.setUint32(at + 8, fields.depth, true);
    view.setUint32(at + 12, linkPath.length, true);
    view.setFloat64(at + 16, fields.linkEntry, true);
    view.setUint32(at + 24, fields.errno, true);
    const from = new Uint32Array(stats.buffer, stats.byteOffset + source.statOffset, statWords);
    this.#words.set(from, (at + 32) / 4);
    const nameAt = at + fixedSize;
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
    this.#words = new Uint32Array(bytes.buffer);
  }
}

export interface ReadEntry extends BatchFields {
  readonly directory: number;
  readonly name: Uint8Array;
  /** Offset of its stat record in the batch. */
  readonly statOffset: number;
}

const noPath = new Uint8Array(0);

export function readBatch(bytes: Uint8Array, count: number): ReadEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: ReadEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const nameLength = bytes[at + 5] as number;
    const linkLength = view.getUint32(at + 12, true);
    const nameAt = at + fixedSize;
    const end = nameAt + nameLength + linkLength;
    entries.push({
      directory: view.getUint32(at, true),
      kind: bytes[at + 4] as EntryKind,
      flags: bytes[at + 6] as number,
      depth: view.getUint32(at + 8, true),
      linkEntry: view.getFloat64(at + 16, true),
      errno: view.getUint32(at + 24, true),
      statOffset: at + 32,
      name: bytes.subarray(nameAt, nameAt + nameLength),
      linkPath: linkLength === 0 ? noPath : bytes.subarray(nameAt + nameLength, end),
    });
    at = (end + 7) & ~7;
  }
  return entries;
}
