// Which entries a save takes: excludes, and patterns or a list of paths to which it may be limited. Paths are bytes below the source root, without
// leading slash. The same filter runs in the scan (to not enter what is left out) and in the plan (to not number it).

import { latin1 } from "../base/bytes.ts";
import { compilePatterns, compileSelection, type PathMatcher, type PathSelection } from "../base/pattern.ts";
import type { FilterOptions } from "./protocol.ts";

export class EntryFilter {
  readonly #excludes: PathMatcher;
  readonly #includes: PathSelection;
  /** Selected paths, and every directory above one, as latin1 strings (one char a byte). */
  readonly #selected: ReadonlySet<string> | undefined;
  readonly #above: ReadonlySet<string>;
  /** Selected paths that were not asked for yet. */
  readonly #unseen: Set<string>;

  constructor(options: FilterOptions) {
    this.#excludes = compilePatterns(options.excludes);
    this.#includes = compileSelection(options.includes ?? []);
    this.#selected = options.only === undefined ? undefined : new Set(options.only.map(latin1));
    this.#unseen = new Set(this.#selected);
    this.#above = new Set(options.only?.flatMap((path) => parents(latin1(path))));
  }

  /** Selected paths of which accepts() was never asked: there is nothing, or it was left out with a directory above it. */
  get unseen(): ReadonlySet<string> {
    return this.#unseen;
  }

  /** True when nothing is left out: callers then need no paths. */
  get empty(): boolean {
    return this.#excludes.empty && this.#includes.empty && this.#selected === undefined;
  }

  /** Takes the entry (and, for a directory, may take what is below). */
  accepts(path: Uint8Array, isDirectory: boolean): boolean {
    const name = this.#selected === undefined ? "" : latin1(path);
    if (this.#unseen.size > 0) this.#unseen.delete(name);
    if (!this.#excludes.empty && this.#excludes.matches(path, isDirectory)) return false;
    if (!this.#isIncluded(path, isDirectory)) return false;
    if (this.#selected === undefined) return true;
    if (this.#selected.has(name) || (isDirectory && this.#above.has(name))) return true;
    return parents(name).some((parent) => this.#selected?.has(parent) === true);
  }

  #isIncluded(path: Uint8Array, isDirectory: boolean): boolean {
    const includes = this.#includes;
    return includes.empty || includes.selects(path, isDirectory) || (isDirectory && includes.mayHold(path));
  }
}

/** `a`, `a/b` of `a/b/c`. */
function parents(path: string): string[] {
  const found: string[] = [];
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1))
    found.push(path.slice(0, slash));
  return found;
}
