// verify: reads everything, checks every checksum and digest, that index and stream agree, and that the end of the archive tells of what was found.
// Quickly: the checksums of records and blocks alone. Against a tree: then whether that is what the archive holds.

import { ArchiveReader } from "../archive/reader.ts";
import type { CommandContext, Outcome, VerifyDetails, VerifyOptions } from "../model/options.ts";
import { checkBlocks } from "../restore/check-blocks.ts";
import { verifyArchive } from "../restore/restore.ts";
import type { OnDifference } from "./diff.ts";
import { throwIfDamaged } from "./outcome.ts";
import { countWarnings } from "./reporters.ts";

/** Throws ARCHIVE_DAMAGED or ARCHIVE_HOSTILE after everything was read and told. Status 1: `against` differs, which is told to `onDifference`. */
export async function verify(
  options: VerifyOptions,
  context: CommandContext,
  onDifference: OnDifference = () => {},
): Promise<Outcome<VerifyDetails>> {
  const details = await verifyAlone(options, context);
  if (options.against === undefined) return { status: 0, warnings: 0, details };
  const { diff } = await import("./diff.ts");
  const { status, warnings, details: against } = await diff(options.against, context, onDifference);
  return { status, warnings, details: { ...details, against } };
}

async function verifyAlone(
  { archive, workers, quick }: VerifyOptions,
  context: CommandContext,
): Promise<VerifyDetails> {
  const reader = await ArchiveReader.open(archive, context.signal);
  const { reporter, warnings } = countWarnings(context.reporter);
  try {
    const check = quick ? checkBlocks : verifyArchive;
    const result = await check(reader, workers, { reporter, signal: context.signal });
    const flaw = reader.endFlaw(result.entries);
    if (flaw !== undefined) reporter.warning({ code: "ARCHIVE_PART_LOST", path: new Uint8Array(0), message: flaw });
    const done = quick ? "all other blocks are as they were written" : "everything else is as it was saved";
    throwIfDamaged(archive, result, warnings(), done);
    const { entries, bytes, damagedBlocks } = result;
    return { blocks: reader.footer?.blocks ?? 0, entries, bytes, damagedBlocks };
  } finally {
    await reader.close();
  }
}
