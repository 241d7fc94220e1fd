// restdir: an archive into a directory, of any file system, as root or not.

import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { ArchiveReader } from "../archive/reader.ts";
import { TsfsaError } from "../base/errors.ts";
import { prefixBytes } from "../format/head.ts";
import type { Head } from "../model/archive.ts";
import type { CommandContext, Outcome, RestdirOptions, RestoreDetails } from "../model/options.ts";
import { restoreArchive } from "../restore/restore.ts";
import { openBelow } from "./destination.ts";
import { throwIfDamaged } from "./outcome.ts";
import { selectionOf } from "./selection.ts";
import { countWarnings, strictly } from "./reporters.ts";

/** Restores all sources below the destination, each under its prefix. Throws ARCHIVE_DAMAGED after restoring what is whole. */
export async function restdir(options: RestdirOptions, context: CommandContext): Promise<Outcome<RestoreDetails>> {
  const reader = await ArchiveReader.open(options.archive, context.signal);
  const { reporter, warnings } = countWarnings(strictly(options.strict, context.reporter));
  const rootFds: number[] = [];
  try {
    const selection = selectionOf(options);
    if (options.dryRun) {
      context.reporter.step(`would restore ${options.archive} into ${options.destination}`);
      return { status: 0, warnings: 0, details: { entries: 0, bytes: 0, incomplete: 0 } };
    }
    const destination = openDestination(options.destination);
    try {
      for (const prefix of prefixesOf(reader.head)) rootFds.push(openBelow(destination, prefix));
    } finally {
      closeSync(destination);
    }
    const { workers, stripComponents, overwrite } = options;
    const request = { rootFds, workers, selection, stripComponents, restoreRoots: true, overwrite };
    const result = await restoreArchive(reader, request, { reporter, signal: context.signal });
    throwIfDamaged(options.archive, result, reader.damages.length, "what is whole was restored");
    const details = { entries: result.entries, bytes: result.bytes, incomplete: warnings() };
    return { status: warnings() > 0 ? 1 : 0, warnings: warnings(), details };
  } finally {
    for (const fd of rootFds) closeSync(fd);
    await reader.close();
  }
}

/** Components below the destination for each source. */
function prefixesOf(head: Head): Buffer[][] {
  return head.sources.map((source) =>
    Buffer.from(prefixBytes(source))
      .toString("latin1")
      .split("/")
      .filter((component) => component !== "" && component !== ".")
      .map((component) => Buffer.from(component, "latin1")),
  );
}

function openDestination(path: string): number {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
    const denied = code === "EACCES" || code === "EPERM" || code === "EROFS";
    const message =
      code === "ENOTDIR" || code === "EEXIST"
        ? `expected a directory as destination, found something else: ${path}`
        : `cannot use the destination ${path}: ${code}`;
    throw new TsfsaError(denied ? "NO_PERMISSION" : "TARGET_REFUSED", message, { path, errno: code, cause });
  }
}
