// A big tree that looks like source code: many small files of text in nested folders. Deterministic for a count.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noise, prose } from "./model.ts";

/** Makes `count` files below the existing folder; about 12 KB each on average, as in the Linux kernel's tree. */
export function makeSourceTree(root: string, count: number): void {
  const text = prose(1024 * 1024, 1);
  const sizes = new Uint32Array(noise(4 * count, 2).buffer.slice(0, 4 * count));
  const folders: string[] = [];
  for (let index = 0; index < count; index++) {
    const folderIndex = Math.floor(index / 17);
    let folder = folders[folderIndex];
    if (folder === undefined) {
      folder = join(root, `dir-${folderIndex % 23}`, `sub-${folderIndex % 101}`, `part-${folderIndex}`);
      mkdirSync(folder, { recursive: true });
      folders[folderIndex] = folder;
    }
    // Log-uniform from 200 bytes to 100 KB: most files small, most bytes in the larger ones.
    const spread = (sizes[index] ?? 0) / 2 ** 32;
    const size = Math.floor(200 * 500 ** spread);
    const offset = ((sizes[index] ?? 0) >>> 3) % (text.length - size);
    writeFileSync(join(folder, `file-${index}.c`), text.subarray(offset, offset + size));
  }
}
