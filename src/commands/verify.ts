// verify: reads everything, checks every checksum and digest, that index and stream agree, and that the end of the archive tells of what was found.

import { ArchiveReader } from "../archive/reader.ts";
import type { CommandContext, Outcome, VerifyDetails, VerifyOptions } from "../model/options.ts";
import { verifyArchive } from "../restore/restore.ts";
import { throwIfDamaged } from "./outcome.ts";
import { countWarnings } from "./reporters.ts";

/** Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE after everything was read and told. */
export async function verify(options: VerifyOptions, context: CommandContext): Promise<Outcome<VerifyDetails>> {
  const reader = await ArchiveReader.open(options.archive);
  const { reporter, warnings } = countWarnings(context.reporter);
  try {
    const result = await verifyArchive(reader, options.workers, { reporter, signal: context.signal });
    const flaw = endFlaw(reader, result.entries);
    if (flaw !== undefined) reporter.warning({ code: "ARCHIVE_PART_LOST", path: new Uint8Array(0), message: flaw });
    throwIfDamaged(options.archive, result, warnings(), "everything else is as it was saved");
    const { entries, bytes, damagedBlocks } = result;
    const blocks = reader.footer?.blocks ?? 0;
    return { status: 0, warnings: 0, details: { blocks, entries, bytes, damagedBlocks } };
  } finally {
    await reader.close();
  }
}

/** In what the end of the archive differs from what was found before it. */
function endFlaw(reader: ArchiveReader, entries: number): string | undefined {
  const { footer, summary } = reader;
  if (footer === undefined) return undefined; // Told by the reader.
  if (summary === undefined) return "the summary is missing";
  if (reader.damages.length > 0) return undefined;
  if (footer.entries !== entries || summary.entries !== entries) {
    return `the end of the archive tells of ${footer.entries} entries, found ${entries}`;
  }
  const blocks = reader.tables.flatMap((table) => table.blocks);
  if (blocks.length !== footer.blocks || summary.blocks !== footer.blocks)
    return "the block table does not list every block";
  return reader.tableFlaw(blocks);
}
