// What a run reads is never what it writes: an archive does not replace its own source, a restore not its own archive.

import { TsfsaError } from "../base/errors.ts";
import { statOrUndefined } from "../filesystem/block.ts";
import { refused } from "../filesystem/refused.ts";
import { areSameBytes, loopOver } from "../filesystem/use.ts";
import type { SaveOptions } from "../model/options.ts";

/** With --overwrite, an image would be replaced by its own archive: by its name, or below a loop device. Throws USAGE. */
export function refuseArchiveAsSource({ archive, sources }: Pick<SaveOptions, "archive" | "sources">): void {
  const existing = archive === "-" ? undefined : statOrUndefined(archive);
  if (existing?.isFile() !== true) return;
  const stats = sources.map(statOrUndefined);
  if (stats.some((source) => source !== undefined && areSameBytes(source, existing)))
    throw new TsfsaError("USAGE", `${archive} is a source: it cannot be the archive, too`, { path: archive });
  const loop = loopOver(existing);
  if (loop === undefined) return;
  throw new TsfsaError("USAGE", `${archive} cannot be the archive: ${loop.path} is attached to the file of that name`, {
    path: archive,
    hints: ["choose another name"],
  });
}

/** With --overwrite, an archive would be replaced by what it holds. Throws TARGET_REFUSED. */
export function refuseArchiveAsTarget(archive: string, dest: string): void {
  const [from, to] = [archive === "-" ? undefined : statOrUndefined(archive), statOrUndefined(dest)];
  if (from !== undefined && to !== undefined && areSameBytes(from, to))
    throw refused(dest, "it is the archive that is to be restored");
}
