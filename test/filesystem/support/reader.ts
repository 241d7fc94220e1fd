import type { ByteReader } from "../../../src/filesystem/reader.ts";

/** Reader of what stands in memory; `sizeBytes`: of the device that this is the beginning of. */
export function readerOfBytes(bytes: Uint8Array, sizeBytes: number = bytes.length): ByteReader {
  return {
    sizeBytes,
    read(offset, length) {
      const isInside = Number.isSafeInteger(offset + length) && offset >= 0 && length >= 0;
      return isInside ? bytes.subarray(offset, offset + length) : new Uint8Array(0);
    },
  };
}
