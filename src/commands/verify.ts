// verify: reads everything, checks every checksum and digest, that index and stream agree, and that the end of the archive tells of what was found.

import { ArchiveReader } from "../archive/reader.ts";
import type { CommandContext, Outcome, VerifyDetails, VerifyOptions } from "../model/options.ts";
import { verifyArchive } from "../restore/restore.ts";
import { throwIfDamaged } from "./outcome.ts";
import { countWarnings } from "./reporters.ts";

/** Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE after everything was read and told. */
export async function verify(options: VerifyOptions, context: CommandContext): Promise<Outcome<VerifyDetails>> {
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const { reporter, warnings } = countWarnings(context.reporter);
  try {
    const result = await verifyArchive(reader, options.workers, { reporter, signal: context.signal });
    const flaw = reader.endFlaw(result.entries);
    if (flaw !== undefined) reporter.warning({ code: "ARCHIVE_PART_LOST", path: new Uint8Array(0), message: flaw });
    throwIfDamaged(options.archive, result, warnings(), "everything else is as it was saved");
    const { entries, bytes, damagedBlocks } = result;
    const blocks = reader.footer?.blocks ?? 0;
    return { status: 0, warnings: 0, details: { blocks, entries, bytes, damagedBlocks } };
  } finally {
    await reader.close();
  }
}
