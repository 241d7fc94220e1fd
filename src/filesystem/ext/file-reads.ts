// Reads the content of many files at once, in the order it has on the device: of neighbours it knows before.

import { addon } from "../../sys/addon.ts";
import { errnoOfFailure } from "./flaw.ts";
import type { ExtFilesystem } from "./filesystem.ts";
import { type ExtInode, inodeFlags } from "./inode.ts";
import type { KnownRuns } from "./known-runs.ts";

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
  readonly #runs: KnownRuns;

  constructor(fs: ExtFilesystem, runs: KnownRuns) {
    this.#fs = fs;
    this.#runs = runs;
  }

  /**
   * Reads sizes[i] bytes of each inode to buffer at offsets[i]; an inode below 0 is passed over. status[i]: bytes read, or −errno, and then what was not
   * read is zeros. `digests` not empty: their xxh128 digests, 16 bytes each.
   */
  read(
    inodes: Int32Array,
    sizes: Float64Array,
    offsets: Float64Array,
    count: number,
    buffer: Uint8Array,
    status: Float64Array,
    digests: Uint8Array,
  ): void {
    const pieces: Piece[] = [];
    for (let file = 0; file < count; file++) {
      const inode = inodes[file] as number;
      if (inode < 0) continue;
      const size = sizes[file] as number;
      const target = offsets[file] as number;
      try {
        const known = this.#runs.find(inode);
        status[file] =
          known < 0
            ? this.#planInode(pieces, file, this.#fs.inode(inode), buffer, target, size)
            : this.#planRuns(pieces, file, known, buffer, target, size);
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
    if (digests.length > 0) addon().digestFiles(buffer, offsets, sizes, count, digests);
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
    const runs = this.#runs;
    runs.start(inode.number, inode.size, Number.POSITIVE_INFINITY);
    const end = Math.ceil(Math.min(length, inode.size) / this.#fs.geometry.blockSize);
    this.#fs.walk(inode, 0, end, (logical, blocks, physical, unwritten) => {
      if (!unwritten) runs.add(logical, blocks, physical);
    });
    const at = runs.keep();
    const wanted = this.#planRuns(pieces, file, at, buffer, target, length);
    runs.cut(at);
    return wanted;
  }

  /**
   * Notes the pieces of the file whose runs stand at `at`, and fills what lies between them with zeros. Returns the bytes it has of those
   * wanted.
   */
  #planRuns(pieces: Piece[], file: number, at: number, buffer: Uint8Array, target: number, length: number): number {
    const runs = this.#runs;
    const { blockSize } = this.#fs.geometry;
    const wanted = Math.min(length, runs.size(at));
    const count = runs.count(at);
    let done = 0;
    for (let run = 0; run < count; run++) {
      const start = runs.logical(at, run) * blockSize;
      const end = Math.min(start + runs.length(at, run) * blockSize, wanted);
      if (end <= start) break;
      if (start > done) buffer.fill(0, target + done, target + start);
      pieces.push({ file, block: runs.physical(at, run), length: end - start, target: target + start });
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
