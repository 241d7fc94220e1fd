// The content of one file out of its blocks, in order, with zeros for its holes: for whoever wants the bytes and not the file.

import { BlockDamage, framePlace } from "../archive/frames.ts";
import type { BlockLocation, GroupSource } from "../archive/reader.ts";
import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { FileDigest } from "../codec/digest.ts";
import { digestLeaves, type Leaves } from "../codec/leaves.ts";
import { checkPadding, decodeMember } from "../format/memberDecoder.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { segmentsOf } from "./create.ts";
import { differenceOf, firstBytes, leafEnd } from "./member-row.ts";
import { Unpacker } from "./unpack.ts";

export type WriteBytes = (bytes: Uint8Array) => Promise<void>;

/** Longest piece of a hole that is written at once. */
const zeros = new Uint8Array(256 * 1024);

export class FileContent {
  readonly #reader: GroupSource;
  readonly #unpacker: Unpacker;
  readonly #row: CatalogRow;
  readonly #write: WriteBytes;
  readonly #digest: FileDigest;
  /** Data runs of the whole file, and the first that does not end before the next slice. */
  #runs: Float64Array = new Float64Array(0);
  #cursor = 0;
  /** Bytes written so far. */
  #position = 0;

  private constructor(reader: GroupSource, unpacker: Unpacker, row: CatalogRow, write: WriteBytes) {
    this.#reader = reader;
    this.#unpacker = unpacker;
    this.#row = row;
    this.#write = write;
    this.#digest = reader.digest.file();
  }

  static async open(reader: GroupSource, row: CatalogRow, write: WriteBytes): Promise<FileContent> {
    const { codec, digest } = reader.head;
    const policy = { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 };
    return new FileContent(reader, await Unpacker.create({ codec, digest, policy }), row, write);
  }

  /** The block in which the file starts, under this member name. A file of one block is only written if its digest is right. Throws ARCHIVE_DAMAGED. */
  async start(location: BlockLocation, memberName: Uint8Array): Promise<void> {
    const row = this.#row;
    const tar = this.#decode(location);
    const member = decodeMember(tar, row.offset);
    const difference = equalBytes(member.path, memberName) ? differenceOf(member, row) : "name";
    if (difference !== undefined) throw damage(`the ${difference} of its member and of its catalog row differ`);
    if (member.dataAvailable < member.dataLength && !row.continued) throw damage("it is cut short");
    this.#runs = segmentsOf(member);
    const runs = firstBytes(this.#runs, member.dataAvailable);
    const end = row.continued ? leafEnd(runs, row.size) : row.size;
    this.#add(digestLeaves(this.#reader.digest, tar, member.dataOffset, runs, 0, end));
    if (!row.continued) this.#check(row.digest);
    await this.#writeRuns(tar, member.dataOffset, runs);
    if (!row.continued) await this.#writeHole(row.size);
  }

  /** A block that goes on with the file at a logical offset. */
  async go(location: BlockLocation, fileOffset: number): Promise<void> {
    const tar = this.#decode(location);
    const runs = this.#nextRuns(fileOffset, tar.length);
    let length = 0;
    for (let i = 1; i < runs.length; i += 2) length += runs[i] as number;
    if (tar.length !== Math.ceil(length / 512) * 512 || fileOffset < this.#position) {
      throw damage("its parts do not fit together");
    }
    checkPadding(tar, length);
    this.#add(digestLeaves(this.#reader.digest, tar, 0, runs, fileOffset, leafEnd(runs, this.#row.size)));
    await this.#writeRuns(tar, 0, runs);
  }

  /** The end of a file of several blocks. Throws ARCHIVE_DAMAGED when what was written is not what was saved. */
  async finish(completion: Completion | undefined): Promise<void> {
    if (completion === undefined) throw damage("its end is lost");
    await this.#writeHole(this.#row.size);
    this.#check(completion.digest);
  }

  #decode(location: BlockLocation): Uint8Array {
    try {
      return this.#unpacker.decode(framePlace(location, this.#reader.input.fd));
    } catch (error) {
      throw error instanceof BlockDamage ? damage(`block ${location.record.number}: ${error.message}`) : error;
    }
  }

  #nextRuns(fileOffset: number, length: number): Float64Array {
    const runs = this.#runs;
    const taken: number[] = [];
    const end = (index: number): number => (runs[index] as number) + (runs[index + 1] as number);
    while (this.#cursor < runs.length && end(this.#cursor) <= fileOffset) this.#cursor += 2;
    let left = length;
    for (let i = this.#cursor; i < runs.length && left > 0; i += 2) {
      const from = Math.max(runs[i] as number, fileOffset);
      const part = Math.min(end(i) - from, left);
      taken.push(from, part);
      left -= part;
    }
    return Float64Array.from(taken);
  }

  #add({ numbers, digests }: Leaves): void {
    const { length } = this.#reader.digest;
    for (const [i, number] of numbers.entries()) {
      this.#digest.addLeaf(number, digests.subarray(i * length, (i + 1) * length));
    }
  }

  #check(expected: Uint8Array | undefined): void {
    if (expected !== undefined && equalBytes(this.#digest.finish(this.#row.size), expected)) return;
    throw damage("its content is not the content that was saved: the digests differ");
  }

  /** Runs that stand one after the other in tar bytes. The buffer is used again: each write is waited for. */
  async #writeRuns(tar: Uint8Array, offset: number, runs: Float64Array): Promise<void> {
    let at = offset;
    for (let i = 0; i < runs.length; i += 2) {
      const length = runs[i + 1] as number;
      await this.#writeHole(runs[i] as number);
      if (length > 0) await this.#write(tar.subarray(at, at + length));
      at += length;
      this.#position += length;
    }
  }

  async #writeHole(end: number): Promise<void> {
    while (this.#position < end) {
      const length = Math.min(zeros.length, end - this.#position);
      await this.#write(zeros.subarray(0, length));
      this.#position += length;
    }
  }
}

function damage(message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", message);
}
