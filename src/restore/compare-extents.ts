// Where a file has data, holes and preallocated space: as archived, and as found.

import { limits } from "../base/limits.ts";
import type { MemberBody } from "../format/memberDecoder.ts";
import type { CatalogRow } from "../model/catalog.ts";
import type { FieldDifference } from "../model/difference.ts";
import type { Extent } from "../model/entry.ts";
import { dataSegments } from "../sys/data-runs.ts";
import { fileExtents } from "../sys/gathered.ts";
import { segmentsOf } from "./create.ts";

const runsMax = 4 * limits.sparseSegments;

/** Compares to 512 bytes, as exact as tar is. */
export function compareExtents(fd: number, row: CatalogRow, member: MemberBody | undefined): FieldDifference[] {
  const fields: FieldDifference[] = [];
  const unwritten = fileExtents(fd, true).unwritten;
  const archived = row.dataMap === undefined ? archivedRuns(row, member) : pairsOf(row.dataMap);
  const found = dataSegments(fd, row.size, runsMax, unwritten) ?? wholeFile(row.size);
  if (!isSame(archived, found)) fields.push({ field: "holes", archived: runsText(archived), found: runsText(found) });
  const before = pairsOf(row.unwrittenExtents ?? []);
  const after = pairsOf(unwritten ?? []);
  if (!isSame(before, after)) {
    fields.push({ field: "unwritten", archived: runsText(before), found: runsText(after) });
  }
  return fields;
}

function archivedRuns(row: CatalogRow, member: MemberBody | undefined): Float64Array {
  return member === undefined || row.size === 0 ? wholeFile(row.size) : segmentsOf(member);
}

function wholeFile(size: number): Float64Array {
  return size === 0 ? new Float64Array(0) : Float64Array.of(0, size);
}

function pairsOf(extents: readonly Extent[]): Float64Array {
  return Float64Array.from(extents.flatMap(({ offset, length }) => [offset, length]));
}

function isSame(left: Float64Array, right: Float64Array): boolean {
  return left.length === right.length && left.every((value, i) => value === right[i]);
}

/** `3 runs, 12288 bytes`. */
function runsText(runs: Float64Array): string {
  let bytes = 0;
  for (let i = 1; i < runs.length; i += 2) bytes += runs[i] as number;
  return `${runs.length / 2} runs, ${bytes} bytes`;
}
