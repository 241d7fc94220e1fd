// Which entries a restore takes: --include and --exclude.

import { compilePatterns, compileSelection } from "../base/pattern.ts";
import type { RestoreOptions } from "../model/options.ts";
import type { Selection } from "../restore/tree.ts";

/** Directories are taken whenever something below them may be. */
export function selectionOf(options: Pick<RestoreOptions, "includes" | "excludes">): Selection {
  const included = compileSelection(options.includes);
  const excluded = compilePatterns(options.excludes);
  return {
    empty: included.empty && excluded.empty,
    accepts: (path, isDirectory) => {
      if (excluded.matches(path, isDirectory)) return false;
      return isDirectory || included.empty || included.selects(path, false);
    },
  };
}
