// Memory for descriptors with O_DIRECT, which take only what is aligned.

import { addon } from "./addon.ts";

const pageBytes = 4096;

/** New bytes that begin at a page. */
export function alignedBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length + pageBytes);
  const start = -addon().pageOffset(bytes) & (pageBytes - 1);
  return bytes.subarray(start, start + length);
}
