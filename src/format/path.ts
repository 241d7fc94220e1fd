// The rules for names that come out of an archive (docs/FORMAT.md, sections 5.1 and 10): what they break could lead a restore out of its
// directory, so all failures are ARCHIVE_HOSTILE and name the path.

import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

const slash = 0x2f;
const dot = 0x2e;

/** Why bytes are no legal name of one component, or undefined: 1 to 255 bytes, not `.` or `..`, without NUL and slash. */
function componentFlaw(name: Uint8Array): string | undefined {
  if (name.length === 0) return "an empty component";
  if (name.includes(slash)) return "a slash in a component";
  return rangeFlaw(name, 0, name.length);
}

function rangeFlaw(bytes: Uint8Array, from: number, to: number): string | undefined {
  const length = to - from;
  if (length === 0) return "an empty component";
  if (length > limits.nameBytes) return "a component over 255 bytes";
  if (bytes[from] === dot && (length === 1 || (length === 2 && bytes[from + 1] === dot))) {
    return length === 1 ? "a component `.`" : "a component `..`";
  }
  return undefined;
}

/** Throws ARCHIVE_HOSTILE unless `name` is a legal last component. */
export function checkComponent(name: Uint8Array): void {
  const flaw = name.includes(0) ? "a NUL byte" : componentFlaw(name);
  if (flaw !== undefined) throw hostileName(name, flaw);
}

/**
 * Throws ARCHIVE_HOSTILE unless `path` is a legal member name: relative, at most 1 MiB and 65,535 components, `./` only in front, a slash at the
 * end if and only if it is a directory's.
 */
export function checkMemberPath(path: Uint8Array, directory: boolean): void {
  const flaw = memberPathFlaw(path, directory);
  if (flaw !== undefined) throw hostileName(path, flaw);
}

function memberPathFlaw(path: Uint8Array, directory: boolean): string | undefined {
  const { length } = path;
  if (length === 0) return "an empty name";
  if (length > limits.pathBytes) return "a name over 1 MiB";
  if (path[0] === slash) return "an absolute name";
  if (directory !== (path[length - 1] === slash)) return "a slash at the end of anything but a directory, or none";
  let start = path[0] === dot && path[1] === slash ? 2 : 0;
  if (start === length) return undefined; // the root `./`
  let depth = 0;
  const end = directory ? length - 1 : length;
  for (let index = start; index < end; index++) {
    const byte = path[index];
    if (byte === 0) return "a NUL byte";
    if (byte !== slash) continue;
    const flaw = rangeFlaw(path, start, index);
    if (flaw !== undefined) return flaw;
    start = index + 1;
    depth++;
  }
  if (depth >= limits.depth) return "too many components";
  return rangeFlaw(path, start, end);
}

export function hostileName(path: Uint8Array, flaw: string): TsfsaError {
  return new TsfsaError("ARCHIVE_HOSTILE", `the archive has an entry with ${flaw}`, { path: path.slice(0, 4096) });
}
