// Which entries a restore takes: --include and --exclude.

import { compilePatterns, compileSelection } from "../base/pattern.ts";
import type { RestoreOptions } from "../model/options.ts";
import type { Selection } from "../restore/tree.ts";

export function selectionOf(options: Pick<RestoreOptions, "includes" | "excludes">): Selection {
  const included = compileSelection(options.includes);
  const excluded = compilePatterns(options.excludes);
  return {
    empty: included.empty && excluded.empty,
    selects: (path, isDirectory) =>
      !excluded.matches(path, isDirectory) && (included.empty || included.selects(path, isDirectory)),
    mayHold: (path) => !excluded.matches(path, true) && (included.empty || included.mayHold(path)),
  };
}
