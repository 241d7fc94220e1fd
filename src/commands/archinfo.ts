// archinfo: what an archive says of itself: its head, and from its end the counts and sizes.

import { ArchiveReader } from "../archive/reader.ts";
import { stockRestoreCommand } from "../format/comment.ts";
import type { ArchiveInformation, CommandContext, Outcome } from "../model/options.ts";
import { throwIfDamaged } from "./outcome.ts";

/** From a pipe everything is read to get to the end. Throws ARCHIVE_DAMAGED when the end is lost or does not fit. */
export async function archinfo(
  options: { readonly archive: string },
  context: CommandContext,
): Promise<Outcome<ArchiveInformation>> {
  const reader = await ArchiveReader.open(options.archive, context.signal);
  try {
    for await (const _ of reader.groups(false)) context.signal.throwIfAborted();
    const { head, summary, input, damages } = reader;
    for (const { offset, message } of damages) {
      context.reporter.warning({
        code: "ARCHIVE_PART_LOST",
        path: new Uint8Array(0),
        message: `at byte ${offset} of the archive: ${message}`,
      });
    }
    if (summary === undefined) {
      throwIfDamaged(options.archive, { damagedBlocks: [], hostile: undefined }, damages.length, "its totals are lost");
    }
    const details: ArchiveInformation = {
      head,
      ...(summary === undefined ? {} : { summary }),
      archiveBytes: input.length ?? input.position,
      stockRestoreCommand: stockRestoreCommand(head.codec),
    };
    return { status: damages.length > 0 ? 1 : 0, warnings: damages.length, details };
  } finally {
    await reader.close();
  }
}
