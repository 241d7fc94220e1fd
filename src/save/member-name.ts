// Member names of planned entries: the name of their directory, as the job has it, and their own.

import { EntryKind } from "../model/entry.ts";
import type { ReadEntry } from "./batch.ts";
import type { PackInput } from "./protocol.ts";

const slash = 0x2f;

/** Member name of a directory of a job, ending with a slash; empty: the members of the source have no prefix. */
function directoryName({ dirPaths, dirPathEnds }: PackInput, directory: number): Uint8Array {
  return dirPaths.subarray(directory === 0 ? 0 : dirPathEnds[directory - 1], dirPathEnds[directory]);
}

/** Member name: directory, name, and a slash for directories. */
export function memberName(input: PackInput, { kind, directory, name }: ReadEntry): Uint8Array {
  const above = directoryName(input, directory);
  const ending = kind === EntryKind.directory && name.length > 0 ? 1 : 0;
  const whole = new Uint8Array(above.length + name.length + ending);
  whole.set(above);
  whole.set(name, above.length);
  if (ending === 1) whole[whole.length - 1] = slash;
  return whole;
}
