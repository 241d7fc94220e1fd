// savedir: directories, as they are now. A directory has no snapshot of its own, so a writable file system is refused unless --allow-rw, also one that is
// mounted below where mounts are crossed. What nobody can write is not looked at again after reading.

import { closeSync, constants, openSync } from "node:fs";
import { resolve } from "node:path";
import { decodeUtf8, toBase64 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { Writable } from "../filesystem/types.ts";
import { thawedError, writableError } from "../filesystem/source-errors.ts";
import { writableBelow, writableReason } from "../filesystem/writable.ts";
import type { SourceDescription } from "../model/archive.ts";
import type { CommandContext, Outcome, SaveDetails, SaveOptions } from "../model/options.ts";
import { readFilesFrom } from "./files-from.ts";
import { originOf } from "./head.ts";
import { refuseArchiveAsSource } from "./own-files.ts";
import { writeArchive } from "./write-archive.ts";

/** Throws SOURCE_MISSING, SOURCE_WRITABLE, USAGE and what saving throws. Nothing is created before all sources are accepted. */
export async function savedir(options: SaveOptions, context: CommandContext): Promise<Outcome<SaveDetails>> {
  refuseArchiveAsSource(options);
  const prefixes = prefixesOf(options.sources);
  const only = readFilesFrom(options.filesFrom);
  const descriptors: number[] = [];
  let recheck = false;
  try {
    for (const directory of options.sources) {
      descriptors.push(openDirectory(directory));
      const states = await statesOf(directory, options);
      const state = states.find((each) => each.writable);
      if (state !== undefined && !options.allowRw) throw writableError(directory, state);
      recheck ||= states.some(({ writable, elsewhere }) => writable || elsewhere === true);
    }
    const sources = options.sources.map((directory, i): SourceDescription => {
      const bytes = Buffer.from(prefixes[i] as string);
      const text = decodeUtf8(bytes);
      const prefix = text === undefined ? { prefix: "./", prefixBase64: toBase64(bytes) } : { prefix: text };
      return { kind: "directory", ...prefix, origin: originOf(resolve(directory)) };
    });
    const roots = descriptors.map((rootFd) => ({
      rootFd,
      filter: { excludes: options.excludes, only },
      excludeCaches: options.excludeCaches,
      crossMounts: options.crossMounts,
    }));
    return await writeArchive(
      options,
      { sources, roots, recheck, ...(recheck ? {} : { prove: () => prove(options) }) },
      context,
    );
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/** Who can write a directory, and what is mounted below it where that is saved too. */
async function statesOf(directory: string, { crossMounts }: SaveOptions): Promise<readonly Writable[]> {
  return [await writableReason(directory), ...(crossMounts ? writableBelow(directory) : [])];
}

/** After the last read: what was not looked at again must be frozen still. */
async function prove(options: SaveOptions): Promise<undefined> {
  for (const directory of options.sources) {
    const state = (await statesOf(directory, options)).find((each) => each.writable);
    if (state !== undefined) throw thawedError(directory, state);
  }
  return undefined;
}

function openDirectory(directory: string): number {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  try {
    try {
      return openSync(directory, flags | constants.O_NOATIME);
    } catch (error) {
      // Reading its entries then moves the access time, as any reader's would.
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
      return openSync(directory, flags);
    }
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "EIO";
    if (code === "ENOENT") {
      throw new TsfsaError("SOURCE_MISSING", `the source ${directory} does not exist`, { path: directory, cause });
    }
    if (code === "ENOTDIR") {
      throw new TsfsaError("USAGE", `savedir expects directories, found something else at ${directory}`, {
        path: directory,
        hints: ["for a device or an image file of a file system use savefs"],
        cause,
      });
    }
    const denied = code === "EACCES" || code === "EPERM";
    throw new TsfsaError(denied ? "NO_PERMISSION" : "SOURCE_UNREADABLE", `cannot open ${directory}: ${code}`, {
      path: directory,
      errno: code,
      cause,
    });
  }
}

/** Member name prefixes: `./` for one directory, else each path as given without leading slash. */
function prefixesOf(directories: readonly string[]): string[] {
  if (directories.length === 1) return ["./"];
  const prefixes = directories.map((directory) => {
    const components = directory.split("/").filter((component) => component !== "" && component !== ".");
    if (components.includes("..") || components.length === 0) {
      throw new TsfsaError(
        "USAGE",
        `among several directories each needs a name of its own, without \`..\`: found ${directory}`,
        {
          path: directory,
        },
      );
    }
    return `${components.join("/")}/`;
  });
  for (const [i, prefix] of prefixes.entries()) {
    const other = prefixes.findIndex((candidate, j) => j !== i && prefix.startsWith(candidate));
    if (other >= 0) {
      const message = `${directories[i]} and ${directories[other]} would be stored one inside the other`;
      throw new TsfsaError("USAGE", message, { hints: ["save them one by one, or only the outer one"] });
    }
  }
  return prefixes;
}
