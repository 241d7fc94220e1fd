// Path patterns: the one grammar of --exclude, --include and `list` (docs/PATTERNS.md). It is that of gitignore(5), matched on
// bytes, relative to the source's root. Compiled once, then asked for every entry: matching allocates nothing, and takes at
// most pattern length × path length steps, whatever the pattern (one point of return for `*`, one for `**`, never nested).

import { ANY, anyDepth, CLASS, type Component, compilePattern, type Pattern, SLASH, STAR } from "./pattern-parser.ts";

/** Decides on paths relative to the source's root: no leading slash, no trailing one, empty for the root itself. */
export interface PathMatcher {
  /** No patterns: nothing matches. */
  readonly empty: boolean;
  /**
   * True when the last pattern that fits this very path is not a re-inclusion. For walks, which prune: below a directory
   * that matches it is not asked. The root never matches.
   */
  matches(path: Uint8Array, isDirectory: boolean): boolean;
  /** The same for callers that do not walk: true also when a directory above the path matches. */
  covers(path: Uint8Array, isDirectory: boolean): boolean;
}

/** Which entries a user asked for: those a pattern fits, and everything below them. */
export interface PathSelection {
  /** No patterns: everything is selected. */
  readonly empty: boolean;
  selects(path: Uint8Array, isDirectory: boolean): boolean;
  /** False: nothing below this directory can be selected, unless it is selected itself. True says only that something may be. */
  mayHold(directory: Uint8Array): boolean;
  /** Paths at or below which all that can be selected stands; undefined: it may stand anywhere. */
  readonly roots: readonly Uint8Array[] | undefined;
}

/** Compiles exclude patterns. Throws USAGE for a pattern that is malformed or can never fit a path. */
export function compilePatterns(patterns: readonly (string | Uint8Array)[]): PathMatcher {
  const compiled = patterns.map(compilePattern);
  const matches = (path: Uint8Array, isDirectory: boolean): boolean =>
    verdict(compiled, path, path.length, isDirectory) === true;
  return {
    empty: compiled.length === 0,
    matches,
    covers(path, isDirectory) {
      if (compiled.length === 0) return false;
      for (let end = path.indexOf(SLASH); end !== -1; end = path.indexOf(SLASH, end + 1)) {
        if (verdict(compiled, path, end, true) === true) return true;
      }
      return matches(path, isDirectory);
    },
  };
}

/**
 * Compiles selection patterns: an entry belongs to the selection when, of the path and the directories above it, the deepest
 * that any pattern fits is fitted last by a pattern without `!`. Where the first pattern begins with `!`, all is selected to begin with.
 */
export function compileSelection(patterns: readonly (string | Uint8Array)[]): PathSelection {
  const compiled = patterns.map(compilePattern);
  const initially = compiled[0]?.negated ?? true;
  return {
    empty: compiled.length === 0,
    selects(path, isDirectory) {
      let end = path.length;
      let directory = isDirectory;
      while (end > 0) {
        const found = verdict(compiled, path, end, directory);
        if (found !== undefined) return found;
        end = path.lastIndexOf(SLASH, end - 1);
        directory = true;
      }
      return initially;
    },
    mayHold: (directory) =>
      initially ||
      compiled.some((pattern) => !pattern.negated && (!pattern.anchored || leadsBelow(pattern, directory))),
    roots: initially ? undefined : rootsOf(compiled),
  };
}

/** What the last pattern that fits says: true matched, false re-included, undefined: none fits. */
function verdict(
  patterns: readonly Pattern[],
  path: Uint8Array,
  length: number,
  isDirectory: boolean,
): boolean | undefined {
  if (length === 0) return undefined;
  let nameStart = -1;
  for (let i = patterns.length - 1; i >= 0; i--) {
    const pattern = patterns[i] as Pattern;
    if (pattern.directoriesOnly && !isDirectory) continue;
    let fits: boolean;
    if (pattern.anchored) {
      fits = matchPath(pattern.components, path, length);
    } else {
      if (nameStart === -1) nameStart = path.lastIndexOf(SLASH, length - 1) + 1;
      const component = pattern.components[0] as Component | typeof anyDepth;
      fits = component === anyDepth || matchComponent(component, path, nameStart, length);
    }
    if (fits) return !pattern.negated;
  }
  return undefined;
}

/** Components against components. After a mismatch only the last `**` may take one component more: the leftmost fit is as good as any. */
function matchPath(components: Pattern["components"], path: Uint8Array, length: number): boolean {
  let index = 0;
  let start = 0; // of the next component of the path; length + 1 when there is none
  let retryIndex = -1;
  let retryStart = 0;
  for (;;) {
    const component = components[index];
    if (component === anyDepth) {
      // At the end it stands for one component or more ("everything below"), elsewhere for none or more.
      if (index === components.length - 1) return start < length;
      retryIndex = ++index;
      retryStart = start;
      continue;
    }
    const exhausted = start > length;
    if (component === undefined) {
      if (exhausted) return true;
    } else if (!exhausted) {
      const end = componentEnd(path, start, length);
      if (matchComponent(component, path, start, end)) {
        index++;
        start = end + 1;
        continue;
      }
    }
    if (exhausted || retryIndex === -1) return false;
    index = retryIndex;
    start = retryStart = componentEnd(path, retryStart, length) + 1;
  }
}

/** True when a path below the directory may fit the anchored pattern: the directory fits its first components, and there are more. */
function leadsBelow({ components }: Pattern, directory: Uint8Array): boolean {
  let start = 0;
  for (const component of components) {
    if (component === anyDepth || start >= directory.length) return true;
    const end = componentEnd(directory, start, directory.length);
    if (!matchComponent(component, directory, start, end)) return false;
    start = end + 1;
  }
  return false;
}

/** The components of each pattern up to the first with a wildcard; undefined where one begins with such or is not anchored. */
function rootsOf(patterns: readonly Pattern[]): Uint8Array[] | undefined {
  const roots: Uint8Array[] = [];
  for (const { negated, anchored, components } of patterns) {
    if (negated) continue;
    const wild = components.findIndex((component) => component === anyDepth || !component.operations.every(isByte));
    const literal = wild < 0 ? components : components.slice(0, wild);
    if (!anchored || literal.length === 0) return undefined;
    roots.push(Uint8Array.from(literal.flatMap((component, i) => [...(i > 0 ? [SLASH] : []), ...bytesOf(component)])));
  }
  return roots;
}

function isByte(operation: number): boolean {
  return operation < ANY;
}

function bytesOf(component: Component | typeof anyDepth): readonly number[] {
  return component === anyDepth ? [] : component.operations;
}

function componentEnd(path: Uint8Array, start: number, length: number): number {
  let end = start;
  while (end < length && path[end] !== SLASH) end++;
  return end;
}

/** One component against text[start..end). After a mismatch only the last `*` may take one byte more. */
function matchComponent(component: Component, text: Uint8Array, start: number, end: number): boolean {
  const { operations, classes, lengthMin, lastByte } = component;
  if (end - start < lengthMin) return false;
  if (lastByte !== -1 && text[end - 1] !== lastByte) return false;
  let index = 0;
  let at = start;
  let retryIndex = -1;
  let retryAt = 0;
  while (at < end) {
    const operation = operations[index];
    if (operation === STAR) {
      retryIndex = ++index;
      retryAt = at;
      if (index === operations.length) return true;
      continue;
    }
    const byte = text[at] as number;
    if (
      operation === byte ||
      operation === ANY ||
      (operation !== undefined && operation >= CLASS && (classes[operation - CLASS] as Uint8Array)[byte] === 1)
    ) {
      index++;
      at++;
    } else if (retryIndex === -1) {
      return false;
    } else {
      index = retryIndex;
      at = ++retryAt;
    }
  }
  if (operations[index] === STAR) index++; // stars in a row were made one
  return index === operations.length;
}
