// Reads the content of many files at once, in the order it has on the device: neighbours come with one read.

import { addon } from "../../sys/addon.ts";
import { errnoOfFailure } from "./flaw.ts";
import type { ExtFilesystem } from "./filesystem.ts";
import { type ExtInode, inodeFlags } from "./inode.ts";

/** A run of content on its way from the device into the buffer. Bytes. */
interface Piece {
  readonly file: number;
  readonly position: number;
  readonly length: number;
  readonly target: number;
}

/** Pieces with so little between them are read together, through a buffer of this size; longer pieces go straight to where they belong. */
const gapMax = 32 * 1024;
const togetherBytes = 1024 * 1024;
const straightBytes = 128 * 1024;

export class FileReads {
  readonly #fs: ExtFilesystem;
  #together: Uint8Array | undefined;

  constructor(fs: ExtFilesystem) {
    this.#fs = fs;
  }

  /**
   * Reads sizes[i] bytes of each file to buffer at offsets[i]; files are inodes or their numbers, below 0: passed over. status[i]: bytes read, or
   * −errno, and then what was not read is zeros. `digests` not empty: their xxh128 digests, 16 bytes each.
   */
  read(
    files: readonly (ExtInode | number)[],
    sizes: Float64Array,
    offsets: Float64Array,
    buffer: Uint8Array,
    status: Float64Array,
    digests: Uint8Array,
  ): void {
    const pieces: Piece[] = [];
    for (let file = 0; file < files.length; file++) {
      const found = files[file] as ExtInode | number;
      if (typeof found === "number" && found < 0) continue;
      const size = sizes[file] as number;
      const target = offsets[file] as number;
      try {
        const inode = typeof found === "number" ? this.#fs.inode(found) : found;
        status[file] = Math.min(size, inode.size);
        this.#plan(pieces, file, inode, buffer.subarray(target, target + size), target);
      } catch (error) {
        status[file] = -errnoOfFailure(error);
        buffer.fill(0, target, target + size);
      }
    }
    pieces.sort((a, b) => a.position - b.position);
    for (let from = 0, to = 0; from < pieces.length; from = to) {
      to = this.#endOfGroup(pieces, from);
      if (to === from + 1 || !this.#readTogether(pieces, from, to, buffer)) {
        for (let i = from; i < to; i++) this.#readPiece(pieces[i] as Piece, buffer, status);
      }
    }
    if (digests.length > 0) addon().digestFiles(buffer, offsets, sizes, files.length, digests);
  }

  /** Notes the pieces of a file, and fills what lies between them with zeros. */
  #plan(pieces: Piece[], file: number, inode: ExtInode, content: Uint8Array, target: number): void {
    if ((inode.flags & inodeFlags.inlineData) !== 0) {
      const inline = this.#fs.inlineContent(inode).subarray(0, content.length);
      content.set(inline);
      content.fill(0, inline.length);
      return;
    }
    const { blockSize } = this.#fs.geometry;
    const size = Math.min(content.length, inode.size);
    let done = 0;
    this.#fs.walk(inode, 0, Math.ceil(size / blockSize), (logical, count, physical, unwritten) => {
      if (unwritten) return;
      const start = logical * blockSize;
      const end = Math.min(start + count * blockSize, size);
      if (start > done) content.fill(0, done, start);
      pieces.push({ file, position: physical * blockSize, length: end - start, target: target + start });
      done = end;
    });
    content.fill(0, done);
  }

  #endOfGroup(pieces: readonly Piece[], from: number): number {
    const first = pieces[from] as Piece;
    let to = from + 1;
    if (first.length >= straightBytes) return to;
    let end = first.position + first.length;
    for (; to < pieces.length; to++) {
      const next = pieces[to] as Piece;
      const nextEnd = Math.max(end, next.position + next.length);
      if (next.position - end > gapMax || next.length >= straightBytes) break;
      if (nextEnd - first.position > togetherBytes) break;
      end = nextEnd;
    }
    return to;
  }

  /** False: it cannot be read as a whole. */
  #readTogether(pieces: readonly Piece[], from: number, to: number, buffer: Uint8Array): boolean {
    const start = (pieces[from] as Piece).position;
    let end = start;
    for (let i = from; i < to; i++) end = Math.max(end, (pieces[i] as Piece).position + (pieces[i] as Piece).length);
    const together = (this.#together ??= new Uint8Array(togetherBytes));
    try {
      this.#fs.device.readInto(together, 0, end - start, start);
    } catch (error) {
      errnoOfFailure(error);
      return false;
    }
    for (let i = from; i < to; i++) {
      const { position, length, target } = pieces[i] as Piece;
      buffer.set(together.subarray(position - start, position - start + length), target);
    }
    return true;
  }

  #readPiece({ file, position, length, target }: Piece, buffer: Uint8Array, status: Float64Array): void {
    try {
      this.#fs.device.readInto(buffer, target, length, position);
    } catch (error) {
      status[file] = -errnoOfFailure(error);
      buffer.fill(0, target, target + length);
    }
  }
}
