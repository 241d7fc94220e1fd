// What kind of file something is, for messages that tell what was found.

import type { BigIntStats, Stats } from "node:fs";

export function fileKind(stats: Stats | BigIntStats): string {
  if (stats.isFile()) return "a file";
  if (stats.isDirectory()) return "a directory";
  if (stats.isBlockDevice()) return "a block device";
  if (stats.isCharacterDevice()) return "a character device";
  return stats.isFIFO() ? "a named pipe" : "a socket";
}
