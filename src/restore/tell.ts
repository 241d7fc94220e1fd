// What is told of the entries of a block that is whole.

import { EntryKind } from "../model/entry.ts";
import type { Reporter, WarningCode } from "../model/events.ts";
import type { Findings } from "./findings.ts";
import { isTaken, type PlacedBlock } from "./placed.ts";

const slash = 0x2f;

/** Tells of each entry that is done, where somebody wants to hear of it. */
export function tellEntries(
  placed: PlacedBlock,
  failed: ReadonlySet<number>,
  write: boolean,
  reporter: Reporter,
): void {
  if (reporter.entry === undefined) return;
  for (const [index, { kind }] of placed.rows.entries()) {
    if (kind === EntryKind.absent || failed.has(index) || !isTaken(placed, index, write)) continue;
    const path = placed.displayPath(index);
    reporter.entry(path.at(-1) === slash ? path.subarray(0, -1) : path);
  }
}

/** What the catalog says was not whole when it was saved. */
export function tellIncomplete(placed: PlacedBlock, write: boolean, findings: Findings): void {
  for (const [index, { kind, absentReason = "unknown", damaged, unknownCriticalTags }] of placed.rows.entries()) {
    if (!isTaken(placed, index, write)) continue;
    const tell = (code: WarningCode, message: string): void => {
      findings.tell(code, placed.displayPath(index), message);
    };
    if (kind === EntryKind.absent) {
      tell("ENTRY_NOT_RESTORED", `it is not in the archive: when it was saved it could not be read (${absentReason})`);
    } else if (damaged) {
      tell("ENTRY_DAMAGED", "parts of it could not be read when it was saved");
    } else if (unknownCriticalTags !== undefined) {
      tell("ATTRIBUTE_NOT_RESTORED", "it has properties that only a newer tsfsa knows");
    }
  }
}
