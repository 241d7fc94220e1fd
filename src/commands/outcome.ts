// How commands that read an archive end: damage and hostile content are errors with codes of their own, told after everything that could be done
// was done.

import { TsfsaError } from "../base/errors.ts";
import type { Reporter } from "../model/events.ts";

export interface ReadResult {
  readonly damagedBlocks: readonly number[];
  readonly hostile: string | undefined;
}

export function isDamaged({ damagedBlocks, hostile }: ReadResult, damages: number): boolean {
  return hostile !== undefined || damagedBlocks.length + damages > 0;
}

/** Throws ARCHIVE_HOSTILE or ARCHIVE_DAMAGED when a run found that; `done` says what happened all the same, `ways` what to do, `damages` are the reader's. */
export function throwIfDamaged(
  archive: string,
  result: ReadResult,
  damages: number,
  done: string,
  ways: readonly string[] = [],
): void {
  if (!isDamaged(result, damages)) return;
  if (result.hostile !== undefined) {
    throw new TsfsaError("ARCHIVE_HOSTILE", `${archive} holds what no tsfsa writes (${result.hostile}); ${done}`, {
      path: archive,
      hints: ["do not trust this archive: it was changed after it was written, or made to attack"],
    });
  }
  const blocks = result.damagedBlocks.length;
  const what =
    blocks > 0 ? `${blocks} damaged or missing ${blocks === 1 ? "block" : "blocks"}` : `damage in ${damages} places`;
  throw new TsfsaError("ARCHIVE_DAMAGED", `${archive} has ${what}; ${done}`, {
    path: archive,
    hints: ["each part that is lost is named above", ...ways],
  });
}

/** Whatever the reason of the failure: nobody may take a target for what it was to become. */
export function tellHalfMade(dest: string, what: "archive" | "image", reporter: Pick<Reporter, "warning">): void {
  const message = `it is half made: what it held before is lost, and not all of the ${what} is there`;
  reporter.warning({ code: "ENTRY_NOT_RESTORED", path: Buffer.from(dest), message });
}
