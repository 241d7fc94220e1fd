// The entry records of a pack job: what the plan knows of each entry, packed into one buffer that moves to the worker.
//
//   u32 directory index · u8 kind · u8 name length · u8 flags · u8 0 · u32 depth · u32 link path length · f64 link entry
//   · u32 errno · u32 0 · stat record (128) · name · link path
//
// kind is an EntryKind; the errno is why an absent entry is absent, or why a directory's content is.

import type { EntryKind } from "../model/entry.ts";
import { statLayout } from "../sys/layout.ts";

const fixedSize = 32 + statLayout.size;

export const batchFlags = {
  /** nlink > 1: a later entry may be a hard link to this one. */
  linked: 1,
  /** The stat the plan saw is not to be trusted to have a content we may save (another device is mounted here). */
  mountPoint: 2,
} as const;

export interface BatchEntry {
  readonly directory: number;
  readonly kind: EntryKind;
  readonly flags: number;
  readonly depth: number;
  /** Entry number of the object, for hard links; −1 else. */
  readonly linkEntry: number;
  readonly errno: number;
  readonly name: Uint8Array;
  /** Member name of the object, for hard links. */
  readonly linkPath: Uint8Array;
}

/** Collects entry records. */
export class BatchWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  count = 0;

  /** `stats` holds the entry's stat record at `statOffset`. */
  add(entry: BatchEntry, stats: Uint8Array, statOffset: number): void {
    const size = fixedSize + entry.name.length + entry.linkPath.length;
    if (this.#length + size > this.#bytes.length) this.#grow(size);
    const at = this.#length;
    const bytes = this.#bytes;
    const view = this.#view;
    view.setUint32(at, entry.directory, true);
    bytes[at + 4] = entry.kind;
    bytes[at + 5] = entry.name.length;
    bytes[at + 6] = entry.flags;
    bytes[at + 7] = 0;
    view.setUint32(at + 8, entry.depth, true);
    view.setUint32(at + 12, entry.linkPath.length, true);
    view.setFloat64(at + 16, entry.linkEntry, true);
    view.setUint32(at + 24, entry.errno, true);
    view.setUint32(at + 28, 0, true);
    bytes.set(stats.subarray(statOffset, statOffset + statLayout.size), at + 32);
    bytes.set(entry.name, at + fixedSize);
    bytes.set(entry.linkPath, at + fixedSize + entry.name.length);
    this.#length += size;
    this.count++;
  }

  /** The records, as a view of a buffer that may be transferred; the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(more: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

export interface ReadEntry extends BatchEntry {
  /** Offset of its stat record in the batch. */
  readonly statOffset: number;
}

export function readBatch(bytes: Uint8Array, count: number): ReadEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: ReadEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const nameLength = bytes[at + 5] as number;
    const linkLength = view.getUint32(at + 12, true);
    const nameAt = at + fixedSize;
    entries.push({
      directory: view.getUint32(at, true),
      kind: bytes[at + 4] as EntryKind,
      flags: bytes[at + 6] as number,
      depth: view.getUint32(at + 8, true),
      linkEntry: view.getFloat64(at + 16, true),
      errno: view.getUint32(at + 24, true),
      statOffset: at + 32,
      name: bytes.subarray(nameAt, nameAt + nameLength),
      linkPath: bytes.subarray(nameAt + nameLength, nameAt + nameLength + linkLength),
    });
    at = nameAt + nameLength + linkLength;
  }
  return entries;
}
