// Path patterns: the one grammar of --exclude, --include and `list` (docs/PATTERNS.md). It is that of gitignore(5), matched on
// bytes, relative to the source's root. Compiled once, then asked for every entry: matching allocates nothing, and takes at
// most pattern length × path length steps, whatever the pattern (one point of return for `*`, one for `**`, never nested).

import { TsfsaError } from "./errors.ts";

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
  };
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;

// One operation of a component is a number: a byte to be found, or one of these. From CLASS on: CLASS + index in classes.
const ANY = 256;
const STAR = 257;
const CLASS = 258;

/** One component of a pattern, such as `*.[ch]`. */
interface Component {
  readonly operations: readonly number[];
  /** Sets of bytes as 256 flags. */
  readonly classes: readonly Uint8Array[];
  readonly lengthMin: number;
  /** The byte the text must end with, −1 when more than one can: refuses most texts at once. */
  readonly lastByte: number;
}

/** `**` as a whole component. */
const anyDepth = "**";

interface Pattern {
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
  /** Compared with the whole path; otherwise there is one component, compared with the last of the path. */
  readonly anchored: boolean;
  readonly components: readonly (Component | typeof anyDepth)[];
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

function compilePattern(source: string | Uint8Array): Pattern {
  const bytes = typeof source === "string" ? new TextEncoder().encode(source) : source;
  const shown = typeof source === "string" ? source : new TextDecoder().decode(source);
  return new PatternParser(bytes, shown).parse();
}

const characterClasses: Readonly<Record<string, (byte: number) => boolean>> = {
  alnum: (byte) => isAlpha(byte) || isDigit(byte),
  alpha: isAlpha,
  blank: (byte) => byte === 0x20 || byte === 0x09,
  cntrl: (byte) => byte < 0x20 || byte === 0x7f,
  digit: isDigit,
  graph: (byte) => byte > 0x20 && byte < 0x7f,
  lower: (byte) => byte >= 0x61 && byte <= 0x7a,
  print: (byte) => byte >= 0x20 && byte < 0x7f,
  punct: (byte) => byte > 0x20 && byte < 0x7f && !isAlpha(byte) && !isDigit(byte),
  space: (byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d),
  upper: (byte) => byte >= 0x41 && byte <= 0x5a,
  xdigit: (byte) => isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66),
};

function isAlpha(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

class PatternParser {
  readonly #bytes: Uint8Array;
  readonly #shown: string;
  #at = 0;

  constructor(bytes: Uint8Array, shown: string) {
    this.#bytes = bytes;
    this.#shown = shown;
  }

  parse(): Pattern {
    const bytes = this.#bytes;
    if (bytes.includes(0)) this.#fail("holds a NUL byte, which no name can");
    const negated = this.#take("!");
    const rooted = this.#take("/");
    const components: (Component | typeof anyDepth)[] = [];
    let directoriesOnly = false;
    for (;;) {
      const component = this.#component();
      const atEnd = this.#at >= bytes.length;
      if (component === undefined) {
        // Nothing before a slash: only behind the last one may nothing follow.
        if (components.length === 0) this.#fail("names nothing");
        if (!atEnd) this.#fail("has an empty component (`//`)");
        directoriesOnly = true;
        break;
      }
      components.push(component);
      if (atEnd) break;
      this.#at++; // the slash
    }
    return { negated, directoriesOnly, anchored: rooted || components.length > 1, components };
  }

  /** Up to the next slash, which is not taken (the backslash of an escaped one is); undefined when nothing stands before it. */
  #component(): Component | typeof anyDepth | undefined {
    const bytes = this.#bytes;
    const operations: number[] = [];
    const classes: Uint8Array[] = [];
    let stars = 0;
    for (;;) {
      const byte = bytes[this.#at];
      if (byte === undefined || byte === SLASH) break;
      this.#at++;
      if (byte === 0x2a) {
        stars++;
        if (operations.at(-1) !== STAR) operations.push(STAR);
      } else if (byte === 0x3f) {
        operations.push(ANY);
      } else if (byte === 0x5b) {
        operations.push(CLASS + classes.length);
        classes.push(this.#bracket());
      } else if (byte === BACKSLASH) {
        const escaped = bytes[this.#at];
        if (escaped === undefined) this.#fail("ends in a lone backslash: write `\\\\` for a backslash");
        if (escaped === SLASH) break; // a slash stays one: no name holds it
        operations.push(escaped);
        this.#at++;
      } else {
        operations.push(byte);
      }
    }
    if (operations.length === 0) return undefined;
    if (operations.length === 1 && stars > 1) return anyDepth;
    if (operations.length <= 2 && operations.every((operation) => operation === 0x2e)) {
      this.#fail("has a `.` or `..` component, which no path in a source has: patterns start at the source's root");
    }
    const last = operations.at(-1) as number;
    return {
      operations,
      classes,
      lengthMin: operations.filter((operation) => operation !== STAR).length,
      lastByte: last < ANY ? last : -1,
    };
  }

  /** Behind `[`: up to and with the closing `]`, which is a plain byte when it stands first. */
  #bracket(): Uint8Array {
    const set = new Uint8Array(256);
    const complement = this.#take("!") || this.#take("^");
    let first = true;
    for (;;) {
      if (!first && this.#take("]")) break;
      first = false;
      if (this.#takeClass(set)) continue;
      const low = this.#bracketByte();
      let high = low;
      if (this.#peek("-") && !this.#peek("-]")) {
        this.#at++;
        high = this.#bracketByte();
        if (high < low) this.#fail("has a range in brackets that runs backwards");
      }
      set.fill(1, low, high + 1);
    }
    if (complement) for (let byte = 0; byte < 256; byte++) set[byte] = 1 - (set[byte] as number);
    return set;
  }

  #bracketByte(): number {
    let byte = this.#bytes[this.#at++];
    if (byte === BACKSLASH) byte = this.#bytes[this.#at++];
    if (byte === undefined) this.#fail("has a `[` without its `]`: write `\\[` for a bracket");
    if (byte === SLASH) this.#fail("has a `/` in brackets, which never match one");
    return byte;
  }

  /** `[:alpha:]` and its like inside brackets. */
  #takeClass(set: Uint8Array): boolean {
    if (!this.#peek("[:")) return false;
    let end = this.#at + 2;
    while (isAlpha(this.#bytes[end] ?? 0)) end++;
    if (this.#bytes[end] !== 0x3a || this.#bytes[end + 1] !== 0x5d) return false;
    const name = String.fromCharCode(...this.#bytes.subarray(this.#at + 2, end));
    const belongs = Object.hasOwn(characterClasses, name) ? characterClasses[name] : undefined;
    if (belongs === undefined) this.#fail(`names no class of characters: [:${name}:]`);
    for (let byte = 0; byte < 256; byte++) if (belongs(byte)) set[byte] = 1;
    this.#at = end + 2;
    return true;
  }

  #peek(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#bytes[this.#at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  #take(text: string): boolean {
    const found = this.#peek(text);
    if (found) this.#at += text.length;
    return found;
  }

  #fail(reason: string): never {
    throw new TsfsaError("USAGE", `the pattern ${JSON.stringify(this.#shown)} ${reason}`, {
      hints: ["docs/PATTERNS.md describes the grammar of patterns"],
    });
  }
}
