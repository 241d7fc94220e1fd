// Proves all records and rows before anything is changed: a target must not be lost to an archive that cannot fill it.

import { isHarmful } from "../archive/damage.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Summary } from "../model/archive.ts";
import { checkCatalog } from "../restore/check-catalog.ts";

/**
 * The archive's totals. Throws ARCHIVE_DAMAGED, ARCHIVE_HOSTILE; `ways`: to take what is whole. Of a pipe only the head can be proved before, and
 * there are no totals.
 */
export async function checkIndex(
  archive: string,
  signal: AbortSignal,
  ways: readonly string[],
): Promise<Summary | undefined> {
  if (archive === "-") return undefined;
  const reader = await ArchiveReader.open(archive, signal);
  try {
    if (reader.input.fd === undefined) return undefined;
    await checkCatalog(reader, signal);
  } catch (error) {
    if (!(error instanceof TsfsaError) || (error.code !== "ARCHIVE_DAMAGED" && error.code !== "ARCHIVE_HOSTILE"))
      throw error;
    throw untouched(error.code, archive, error.message, ways);
  } finally {
    await reader.close();
  }
  const first = reader.damages.find(isHarmful);
  if (first === undefined) return reader.summary;
  const code = first.hostile === true ? "ARCHIVE_HOSTILE" : "ARCHIVE_DAMAGED";
  throw untouched(code, archive, first.message, ways, first.offset);
}

function untouched(
  code: "ARCHIVE_DAMAGED" | "ARCHIVE_HOSTILE",
  archive: string,
  message: string,
  ways: readonly string[],
  offset?: number,
): TsfsaError {
  const place = offset === undefined ? "" : ` at byte ${offset}`;
  return new TsfsaError(code, `${archive} is damaged${place}: ${message}; the target was not touched`, {
    path: archive,
    ...(offset === undefined ? {} : { offsetBytes: offset }),
    hints: ["`tsfsa verify` names every file that is hit", ...ways],
  });
}
