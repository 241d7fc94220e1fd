// The choice of a sink for an ARCHIVE argument.

import { type BigIntStats, statSync } from "node:fs";
import { TsfsaError } from "../base/errors.ts";
import { fileKind } from "../sys/file-kind.ts";
import { FileSink } from "./file-sink.ts";
import type { Sink } from "./sink.ts";
import { archiveExists, cannotCreate } from "./sink-errors.ts";
import { openDevice, openFifo, openStandardOutput } from "./stream-sink.ts";

/** Opens the sink for an ARCHIVE argument: a path, or `-` for standard output. Refuses an existing file unless `overwrite`. */
export function openSink(archive: string, options: { readonly overwrite: boolean }): Sink {
  if (archive === "-") return openStandardOutput();
  const existing = statIfThere(archive);
  if (existing === undefined) return new FileSink(archive, options.overwrite, undefined);
  if (existing.isFIFO()) return openFifo(archive);
  if (existing.isCharacterDevice()) return openDevice(archive);
  if (!existing.isFile()) {
    const message = `cannot write the archive to ${archive}: expected a file name, found ${fileKind(existing)}`;
    throw new TsfsaError("FAILED", message, { path: archive });
  }
  if (!options.overwrite) throw archiveExists(archive);
  return new FileSink(archive, true, existing);
}

function statIfThere(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw cannotCreate(path, error);
  }
}
