// savefs: whole file systems, from a frozen view of each: open → save → prove → commit.

import { TsfsaError } from "../base/errors.ts";
import { openSource } from "../filesystem/open-source.ts";
import type { OpenSource } from "../filesystem/types.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { CommandContext, Outcome, SaveDetails, SaveOptions } from "../model/options.ts";
import { readFilesFrom } from "./files-from.ts";
import { originOf } from "./head.ts";
import { writeArchive } from "./write-archive.ts";

/** Throws SOURCE_*, and what saving throws. Nothing is created before all sources are opened. */
export async function savefs(options: SaveOptions, context: CommandContext): Promise<Outcome<SaveDetails>> {
  const only = readFilesFrom(options.filesFrom);
  const opened: OpenSource[] = [];
  try {
    for (const path of options.sources) {
      const source = await openSource(path, { allowRw: options.allowRw });
      opened.push(source);
      context.reporter.step(`${path}: ${source.description.type}, ${source.frozen ? "frozen" : "writable by others"}`);
      for (const message of source.warnings) {
        context.reporter.warning({
          code: "FILESYSTEM_FEATURE",
          path: new Uint8Array(0),
          message: `${path}: ${message}`,
        });
      }
    }
    const sources = opened.map(
      (source, i): SourceDescription => ({
        kind: "filesystem",
        prefix: opened.length === 1 ? "./" : `${i}/`,
        origin: originOf(source.origin),
        filesystem: source.description,
      }),
    );
    const roots = opened.map(({ rootFd }) => ({
      rootFd,
      filter: { excludes: options.excludes, only },
      excludeCaches: options.excludeCaches,
      crossMounts: false,
    }));
    const recheck = opened.some(({ frozen }) => !frozen);
    return await writeArchive(options, { sources, roots, recheck, prove: () => prove(opened, options) }, context);
  } finally {
    for (const source of opened.toReversed()) await source.close();
  }
}

/** After the last read: a view that was frozen must be so still. */
async function prove(sources: readonly OpenSource[], options: SaveOptions): Promise<undefined> {
  for (const [i, source] of sources.entries()) {
    if (!source.frozen) continue;
    const state = source.checkFrozen();
    if (!state.writable) continue;
    throw new TsfsaError(
      "SOURCE_WRITABLE",
      `${options.sources[i]} became writable while it was read: ${state.reason}`,
      {
        path: options.sources[i] as string,
        hints: ["the archive was dropped, since its files may not belong to one instant", ...state.ways],
      },
    );
  }
  return undefined;
}
