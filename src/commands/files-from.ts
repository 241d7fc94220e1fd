// --files-from: the paths a save is limited to, from a file or standard input.

import { readFileSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";

/**
 * Paths below the source root, without leading `/` or `./`. Separated by NUL if the file holds one, else by newlines; empty lines are
 * passed over. Throws USAGE for a file that cannot be read and for paths with `..`.
 */
export function readFilesFrom(path: string | undefined): Uint8Array[] | undefined {
  if (path === undefined) return undefined;
  let content: Buffer;
  try {
    content = readFileSync(path === "-" ? 0 : path);
  } catch (cause) {
    throw new TsfsaError("USAGE", `cannot read the list of files ${path}: ${(cause as Error).message}`, {
      path,
      cause,
    });
  }
  const separator = content.includes(0) ? 0 : 0x0a;
  const paths: Uint8Array[] = [];
  for (let start = 0; start < content.length; ) {
    const found = content.indexOf(separator, start);
    const end = found < 0 ? content.length : found;
    const components = content
      .subarray(start, end)
      .toString("latin1")
      .split("/")
      .filter((component) => component !== "" && component !== ".");
    if (components.includes("..")) {
      throw new TsfsaError("USAGE", "the list of files holds a path with `..`; paths are relative to the source root", {
        path,
      });
    }
    if (components.length > 0) paths.push(Buffer.from(components.join("/"), "latin1"));
    start = end + 1;
  }
  return paths;
}
