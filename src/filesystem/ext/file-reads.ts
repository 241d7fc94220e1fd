// Reads the content of many files at once, in the order it has on the device: of neighbours it knows before.

import { addon } from "../../sys/addon.ts";
import { errnoOfFailure } from "./flaw.ts";
import type { ExtFilesystem } from "./filesystem.ts";
import { type ExtInode, inodeFlags } from "./inode.ts";

/** Where the content of a file stands: (place in the file, length, place on the device) of each run in its order, in blocks. */
export interface FileRuns {
  /** Bytes. */
  readonly size: number;
  readonly runs: readonly number[];
}

/** A run of content on its way from the device into the buffer. */
interface Piece {
  readonly file: number;
  /** Where it begins on the device. */
  readonly block: number;
  /** Bytes. */
  readonly length: number;
  readonly target: number;
}

/** Pieces with so little between them are announced together, up to so many bytes. */
const gapMax = 32 * 1024;
const announcedBytes = 1024 * 1024;

export class FileReads {
  readonly #fs: ExtFilesystem;

  constructor(fs: ExtFilesystem) {
    this.#fs = fs;
  }

  /**
   * Reads sizes[i] bytes of each file to buffer at offsets[i]; a file is told by its runs or its inode's number, below 0: passed over. status[i]: bytes
   * read, or −errno, and then what was not read is zeros. `digests` not empty: their xxh128 digests, 16 bytes each.
   */
  read(
    files: readonly (FileRuns | number)[],
    sizes: Float64Array,
    offsets: Float64Array,
    buffer: Uint8Array,
    status: Float64Array,
    digests: Uint8Array,
  ): void {
    const pieces: Piece[] = [];
    for (let file = 0; file < files.length; file++) {
      const told = files[file] as FileRuns | number;
      if (typeof told === "number" && told < 0) continue;
      const size = sizes[file] as number;
      const target = offsets[file] as number;
      try {
        status[file] =
          typeof told === "number"
            ? this.#planInode(pieces, file, this.#fs.inode(told), buffer, target, size)
            : this.#planRuns(pieces, file, told, buffer, target, size);
      } catch (error) {
        status[file] = -errnoOfFailure(error);
        buffer.fill(0, target, target + size);
      }
    }
    pieces.sort((a, b) => a.block - b.block);
    let announced = 0;
    for (let i = 0; i < pieces.length; i++) {
      if (i === announced) announced = this.#announce(pieces, i);
      this.#readPiece(pieces[i] as Piece, buffer, status);
    }
    if (digests.length > 0) addon().digestFiles(buffer, offsets, sizes, files.length, digests);
  }

  #planInode(
    pieces: Piece[],
    file: number,
    inode: ExtInode,
    buffer: Uint8Array,
    target: number,
    length: number,
  ): number {
    if ((inode.flags & inodeFlags.inlineData) !== 0) {
      const inline = this.#fs.inlineContent(inode).subarray(0, length);
      buffer.set(inline, target);
      buffer.fill(0, target + inline.length, target + length);
      return Math.min(length, inode.size);
    }
    const runs = this.#fs.writtenRuns(inode, length);
    return this.#planRuns(pieces, file, { size: inode.size, runs }, buffer, target, length);
  }

  /** Notes the pieces of a file, and fills what lies between them with zeros. Returns the bytes it has of those wanted. */
  #planRuns(
    pieces: Piece[],
    file: number,
    { size, runs }: FileRuns,
    buffer: Uint8Array,
    target: number,
    length: number,
  ): number {
    const { blockSize } = this.#fs.geometry;
    const wanted = Math.min(length, size);
    let done = 0;
    for (let i = 0; i < runs.length; i += 3) {
      const start = (runs[i] as number) * blockSize;
      const end = Math.min(start + (runs[i + 1] as number) * blockSize, wanted);
      if (end <= start) break;
      if (start > done) buffer.fill(0, target + done, target + start);
      pieces.push({ file, block: runs[i + 2] as number, length: end - start, target: target + start });
      done = end;
    }
    if (done < length) buffer.fill(0, target + done, target + length);
    return wanted;
  }

  /** Tells the device of the piece at `from` and of those that lie near behind it. Returns which comes after them. */
  #announce(pieces: readonly Piece[], from: number): number {
    const { device, geometry } = this.#fs;
    const { blockSize } = geometry;
    const { block, length } = pieces[from] as Piece;
    const position = block * blockSize;
    let to = from + 1;
    let end = position + length;
    for (; to < pieces.length; to++) {
      const next = pieces[to] as Piece;
      const start = next.block * blockSize;
      const nextEnd = Math.max(end, start + next.length);
      if (start - end > gapMax || nextEnd - position > announcedBytes) break;
      end = nextEnd;
    }
    if (to > from + 1) device.willRead(position, end - position);
    return to;
  }

  #readPiece({ file, block, length, target }: Piece, buffer: Uint8Array, status: Float64Array): void {
    try {
      this.#fs.device.readInto(buffer, target, length, block * this.#fs.geometry.blockSize);
    } catch (error) {
      status[file] = -errnoOfFailure(error);
      buffer.fill(0, target, target + length);
    }
  }
}
