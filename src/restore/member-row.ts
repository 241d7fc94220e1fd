// A tar member beside its catalog row: whether they agree, and which of the file's data runs stand where.

import { equalBytes } from "../base/bytes.ts";
import { leafSizeBytes } from "../base/limits.ts";
import type { Member } from "../format/memberDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import { EntryKind } from "../model/entry.ts";

/** The field in which tar and catalog disagree. */
export function differenceOf(member: Member, row: CatalogRow): string | undefined {
  if (member.kind !== row.kind) return "type";
  if (member.headerOffset !== row.offset) return "place";
  if (member.mode !== row.mode) return "mode";
  if (member.uid !== row.uid || member.gid !== row.gid) return "owner";
  if (member.mtime.seconds !== row.mtime.seconds || member.mtime.nanoseconds !== row.mtime.nanoseconds) return "mtime";
  if (row.kind === EntryKind.file && (member.size !== row.size || (member.sparse !== undefined) !== row.sparse))
    return "size";
  if (member.device?.major !== row.device?.major || member.device?.minor !== row.device?.minor) return "device number";
  if (row.kind === EntryKind.symlink && row.symlinkTarget !== undefined) {
    if (member.linkPath === undefined || !equalBytes(member.linkPath, row.symlinkTarget)) return "link target";
    if (row.size !== member.linkPath.length) return "size";
  }
  return undefined;
}

/** The runs that hold the first `length` bytes of data. */
export function firstBytes(runs: Float64Array, length: number): Float64Array {
  const taken: number[] = [];
  let left = length;
  for (let i = 0; i < runs.length && left > 0; i += 2) {
    const part = Math.min(runs[i + 1] as number, left);
    if (part > 0) taken.push(runs[i] as number, part);
    left -= part;
  }
  return Float64Array.from(taken);
}

/** End of the last leaf that holds data of these runs. */
export function leafEnd(runs: Float64Array, size: number): number {
  const end = runs.length === 0 ? 0 : (runs.at(-2) as number) + (runs.at(-1) as number);
  return Math.min(Math.ceil(end / leafSizeBytes) * leafSizeBytes, size);
}
