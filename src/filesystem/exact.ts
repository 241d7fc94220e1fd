// Reading metadata that must be there: whole, within the device, and as its checksums say. What is not so is a MetadataFlaw, which says in one clause
// what was expected and what was found; whoever asked decides what follows (read everything, refuse the source).

import type { ByteReader } from "./reader.ts";

export class MetadataFlaw extends Error {}

/** Bytes of one call of a ByteReader. */
const pieceBytes = 1024 * 1024;

/** Exactly offset..offset+length of the device. Throws MetadataFlaw where it ends earlier or cannot be read. */
export function readExactly(reader: ByteReader, offset: number, length: number, what: string): Uint8Array {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new MetadataFlaw(`${what} has an impossible place`);
  }
  if (offset + length > reader.sizeBytes) throw new MetadataFlaw(`${what} lies beyond the end of the device`);
  if (length <= pieceBytes) return readPiece(reader, offset, length, what);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const piece = readPiece(reader, offset + done, Math.min(pieceBytes, length - done), what);
    bytes.set(piece, done);
    done += piece.length;
  }
  return bytes;
}

function readPiece(reader: ByteReader, offset: number, length: number, what: string): Uint8Array {
  let piece: Uint8Array;
  try {
    piece = reader.read(offset, length);
  } catch (error) {
    throw new MetadataFlaw(`${what} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "EIO"}`);
  }
  if (piece.length !== length) throw new MetadataFlaw(`${what} lies beyond the end of the device`);
  return piece;
}
