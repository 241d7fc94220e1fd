// docs/ERRORS.md and the code list the same codes with the same statuses.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exitStatuses } from "../../src/base/errors.ts";
import type { WarningCode } from "../../src/model/events.ts";

const text = readFileSync(new URL("../../docs/ERRORS.md", import.meta.url), "utf8");

// The compiler holds this list against the type: one too few or too many does not pass.
const warningCodes: Readonly<Record<WarningCode, true>> = {
  ENTRY_UNREADABLE: true,
  ENTRY_VANISHED: true,
  ENTRY_NOT_FOUND: true,
  ENTRY_CHANGED: true,
  ENTRY_DAMAGED: true,
  ENTRY_NOT_RESTORED: true,
  ENTRY_UNSUPPORTED: true,
  ATTRIBUTE_LOST: true,
  ATTRIBUTE_NOT_RESTORED: true,
  FILESYSTEM_FEATURE: true,
  SUBVOLUMES_FLATTENED: true,
  ALL_BLOCKS_READ: true,
  ARCHIVE_PART_LOST: true,
  SNAPSHOT_KEPT: true,
  SNAPSHOT_LEFT: true,
  SNAPSHOT_INSTANTS: true,
  HOOK_FAILED: true,
};

/** Rows of the table below a heading, as cells. */
function rows(heading: string): string[][] {
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^\| (`[A-Z_]+` \|.*) \|$/gm)].map(([, row]) => (row as string).split(" | "));
}

describe("docs/ERRORS.md", () => {
  it("lists every error code with its exit status, and no other", () => {
    const documented = rows("Errors").map(([code, status]) => [
      code?.replaceAll("`", "").replace(/ \|$/, ""),
      Number(status),
    ]);
    expect(Object.fromEntries(documented)).toEqual(exitStatuses);
    expect(documented).toHaveLength(Object.keys(exitStatuses).length);
  });

  it("says for each error what happened and what to do", () => {
    for (const row of rows("Errors")) {
      expect(row).toHaveLength(4);
      for (const cell of row) expect(cell.trim()).not.toBe("");
    }
  });

  it("lists every warning code, and no other", () => {
    const documented = rows("Warnings").map(([code]) => code?.replaceAll("`", ""));
    expect(new Set(documented)).toEqual(new Set(Object.keys(warningCodes)));
    expect(documented).toHaveLength(Object.keys(warningCodes).length);
    for (const row of rows("Warnings")) expect(row).toHaveLength(3);
  });
});
