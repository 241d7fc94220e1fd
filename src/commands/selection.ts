// Which entries a restore or a comparison takes: --include and --exclude.

import type { Choice } from "../archive/locate.ts";
import { compilePatterns, compileSelection } from "../base/pattern.ts";
import type { RestoreOptions } from "../model/options.ts";
import type { Selection } from "../restore/tree.ts";

type Patterns = Pick<RestoreOptions, "includes" | "excludes">;

export interface EntrySelection extends Selection, Choice {
  /** It has selected something since it was made. */
  readonly hasSelected: boolean;
}

/** For walks: below a directory that is not selected and may hold nothing, it is not asked. */
export function selectionOf(options: Patterns): EntrySelection {
  const included = compileSelection(options.includes);
  const excluded = compilePatterns(options.excludes);
  let hasSelected = false;
  return {
    empty: included.empty && excluded.empty,
    get hasSelected() {
      return hasSelected;
    },
    selects: (path, isDirectory) => {
      const selected = !excluded.matches(path, isDirectory) && (included.empty || included.selects(path, isDirectory));
      hasSelected ||= selected;
      return selected;
    },
    mayHold: (path) => !excluded.matches(path, true) && (included.empty || included.mayHold(path)),
    roots: included.empty ? undefined : included.roots,
  };
}

/** The same for whoever asks for each entry by itself. */
export function entryFilter(options: Patterns): (path: Uint8Array, isDirectory: boolean) => boolean {
  const included = compileSelection(options.includes);
  const excluded = compilePatterns(options.excludes);
  return (path, isDirectory) =>
    !excluded.covers(path, isDirectory) && (included.empty || included.selects(path, isDirectory));
}
