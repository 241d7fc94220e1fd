// Data frames: where they are, proved by their checksums, and decompressed.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import type { Codec, DigestName } from "../model/archive.ts";
import { addon } from "../sys/addon.ts";
import { errnoName } from "../sys/errors.ts";
import type { BlockLocation } from "./reader.ts";

/** A block that cannot be used, and why. */
export class BlockDamage extends Error {
  readonly hostile: boolean;

  constructor(message: string, hostile = false) {
    super(message);
    this.hostile = hostile;
  }
}

/** What is wrong with a block; throws on what is no damage. */
export function damageOf(error: unknown): { readonly damage: string; readonly hostile: boolean } {
  if (error instanceof BlockDamage) return { damage: error.message, hostile: error.hostile };
  if (error instanceof TsfsaError && (error.code === "ARCHIVE_DAMAGED" || error.code === "ARCHIVE_HOSTILE")) {
    return { damage: error.message, hostile: error.code === "ARCHIVE_HOSTILE" };
  }
  throw error;
}

/** Where a data frame is. */
export interface FramePlace {
  /** Descriptor of the archive and offset in it; or the bytes. */
  readonly fd: number;
  readonly offset: number;
  readonly bytes?: Uint8Array;
  readonly compressedLength: number;
  readonly uncompressedLength: number;
  /** First 16 bytes of H over the frame. */
  readonly digest: Uint8Array;
}

/** `fd`: of the archive, where it is a file. */
export function framePlace({ record, frameOffset, frame }: BlockLocation, fd: number | undefined): FramePlace {
  const { compressedLength, uncompressedLength, digest } = record;
  const place = { fd: fd ?? -1, offset: frameOffset, compressedLength, uncompressedLength, digest };
  return frame === undefined ? place : { ...place, bytes: frame };
}

export class FrameReader {
  readonly digest: Digest;
  readonly #decoder: FrameDecoder;
  #frame = new Uint8Array(0);

  private constructor(decoder: FrameDecoder, digest: Digest) {
    this.#decoder = decoder;
    this.digest = digest;
  }

  static async create(codec: Codec, digest: DigestName): Promise<FrameReader> {
    return new FrameReader(await createDecoder(codec), await createDigest(digest));
  }

  /** Fills `tar`, which has the block's length, with its tar bytes. Throws BlockDamage or ARCHIVE_DAMAGED. */
  decode(place: FramePlace, tar: Uint8Array): void {
    this.#decoder.decompress(tar, this.#proved(place));
  }

  /** Throws BlockDamage unless the checksum is right. */
  prove(place: FramePlace): void {
    this.#proved(place);
  }

  /** Fills `tar` with what can be had of a frame that is not whole; how many bytes. */
  recover(place: FramePlace, tar: Uint8Array): number {
    const frame = place.bytes ?? this.#frame.subarray(0, Math.max(0, this.#read(place)));
    return this.#decoder.recover(tar, frame);
  }

  #proved(place: FramePlace): Uint8Array {
    const frame = place.bytes ?? this.#readWhole(place);
    if (equalBytes(this.digest.block(frame), place.digest)) return frame;
    throw new BlockDamage("its bytes are not those that were written: the checksum differs");
  }

  #readWhole(place: FramePlace): Uint8Array {
    const read = this.#read(place);
    if (read < 0) throw new BlockDamage(`it could not be read: ${errnoName(-read)}`);
    if (read < place.compressedLength) throw new BlockDamage("the archive ends inside of it");
    return this.#frame.subarray(0, read);
  }

  /** Bytes of the frame that are in #frame, or −errno. */
  #read({ fd, offset, compressedLength: length }: FramePlace): number {
    if (this.#frame.length < length) this.#frame = new Uint8Array(length);
    return addon().read(fd, this.#frame, 0, length, offset);
  }
}
