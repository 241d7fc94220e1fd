// Listed entries in another order than the archive's. All of them are held, as encoded rows: about 100 bytes and the path for each.

import { ByteReader, ByteWriter, latin1 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { encodeRow } from "../format/row.ts";
import { decodeRow } from "../format/rowDecoder.ts";
import type { ListedEntry, ListOrder } from "../model/options.ts";
import { sortByTurns } from "./sort-by-turns.ts";

/** Bytes held in one buffer. */
const chunkBytes = 4 * 1024 * 1024;
const digestBytesMax = 32;

export class SortedEntries {
  readonly #order: ListOrder;
  readonly #full: Uint8Array[] = [];
  #chunk = new ByteWriter(64 * 1024);
  /** Where each entry begins: chunk × 2^32 + offset. */
  readonly #places: number[] = [];
  /** Sizes, or seconds; and nanoseconds, which no number holds beside them. */
  readonly #keys: number[] = [];
  readonly #nanoseconds: number[] = [];

  constructor(order: ListOrder) {
    this.#order = order;
  }

  add({ source, number, path, row, linkPath }: ListedEntry): void {
    if (this.#chunk.length >= chunkBytes) {
      this.#full.push(this.#chunk.take());
      this.#chunk = new ByteWriter(chunkBytes + 64 * 1024);
    }
    const chunk = this.#chunk;
    this.#places.push(this.#full.length * 2 ** 32 + chunk.length);
    if (this.#order === "size") this.#keys.push(row.size);
    if (this.#order === "mtime") {
      this.#keys.push(row.mtime.seconds);
      this.#nanoseconds.push(row.mtime.nanoseconds);
    }
    chunk.byteString(path);
    chunk.varint(source);
    chunk.varint(number);
    chunk.byteString(linkPath ?? new Uint8Array(0));
    chunk.byteString(row.digest ?? new Uint8Array(0));
    encodeRow(chunk, row);
  }

  /** The largest size and the latest mtime first, names and paths ascending; equal ones in the archive's order. Throws the signal's reason. */
  async inOrder(signal: AbortSignal): Promise<Generator<ListedEntry, void>> {
    const chunks = [...this.#full, this.#chunk.view()];
    const compare = this.#order === "name" || this.#order === "path" ? this.#compareTexts(chunks) : this.#compareKeys;
    return this.#each(chunks, await sortByTurns(this.#places.length, compare, signal));
  }

  *#each(chunks: readonly Uint8Array[], order: Uint32Array): Generator<ListedEntry, void> {
    for (const index of order) yield this.#read(chunks, index);
  }

  readonly #compareKeys = (a: number, b: number): number =>
    (this.#keys[b] as number) - (this.#keys[a] as number) || (this.#nanoseconds[b] ?? 0) - (this.#nanoseconds[a] ?? 0);

  /** As latin1 texts, whose order is that of their bytes. */
  #compareTexts(chunks: readonly Uint8Array[]): (a: number, b: number) => number {
    const texts = this.#places.map((_, index) => {
      const path = this.#at(chunks, index).byteString(limits.pathBytes);
      const start = this.#order === "path" ? 0 : path.lastIndexOf(0x2f) + 1;
      return latin1(path.subarray(start));
    });
    return (a, b) => {
      const [left, right] = [texts[a] as string, texts[b] as string];
      return left < right ? -1 : left > right ? 1 : 0;
    };
  }

  #at(chunks: readonly Uint8Array[], index: number): ByteReader {
    const place = this.#places[index] as number;
    return new ByteReader(chunks[Math.floor(place / 2 ** 32)] as Uint8Array, "sorted entry", place % 2 ** 32);
  }

  #read(chunks: readonly Uint8Array[], index: number): ListedEntry {
    const reader = this.#at(chunks, index);
    const path = reader.byteString(limits.pathBytes);
    const source = reader.varint();
    const number = reader.varint();
    const linkPath = reader.byteString(limits.pathBytes);
    const digest = reader.byteString(digestBytesMax);
    const row = decodeRow(reader, () => digest);
    return { source, number, path, row, ...(linkPath.length === 0 ? {} : { linkPath }) };
  }
}
