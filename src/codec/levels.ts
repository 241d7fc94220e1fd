// The levels a user can name, as compression: -z 0 to 9 and -Z (zstd's own levels). Blocks are independent frames, so a longer block is what a
// strong level needs to find more; weak levels keep 4 MiB, which costs under 1 % and spreads better over workers.

import { TsfsaError } from "../base/errors.ts";
import type { Compression } from "../model/options.ts";

const MiB = 1024 * 1024;

/** zstd levels of -z 2 to 9. */
const zstdLevels = [1, 3, 6, 9, 12, 15, 19, 22] as const;

/** Compression for -z: 0 stores, 1 is LZ4, 2 to 9 are zstd 1, 3, 6, 9, 12, 15, 19 and 22. Throws USAGE for other values. */
export function compressionFor(z: number): Compression {
  if (z === 0) return { codec: "zstd", level: 0, blockSize: 4 * MiB };
  if (z === 1) return { codec: "lz4", level: 1, blockSize: 4 * MiB };
  const level = zstdLevels[z - 2];
  if (level === undefined) throw new TsfsaError("USAGE", `compression level: expected 0 to 9, found ${z}`);
  return compressionForZstd(level);
}

/** Compression for -Z: a zstd level exactly, −131072 to 22 but 0. Throws USAGE for other values. */
export function compressionForZstd(level: number): Compression {
  if (!Number.isInteger(level) || level < -131_072 || level > 22 || level === 0) {
    throw new TsfsaError("USAGE", `zstd level: expected 1 to 22 or -131072 to -1, found ${level}`);
  }
  return { codec: "zstd", level, blockSize: blockSizeFor(level) };
}

function blockSizeFor(level: number): number {
  if (level <= 12) return 4 * MiB;
  return level <= 19 ? 8 * MiB : 16 * MiB;
}
