// Text of a path pattern → components ready to be matched (pattern.ts). The grammar is docs/PATTERNS.md; what it does not allow is refused here.

import { TsfsaError } from "./errors.ts";

export const SLASH = 0x2f;
const BACKSLASH = 0x5c;

// One operation of a component is a number: a byte to be found, or one of these. From CLASS on: CLASS + index in classes.
export const ANY = 256;
export const STAR = 257;
export const CLASS = 258;

/** One component of a pattern, such as `*.[ch]`. */
export interface Component {
  readonly operations: readonly number[];
  /** Sets of bytes as 256 flags. */
  readonly classes: readonly Uint8Array[];
  readonly lengthMin: number;
  /** The byte the text must end with, −1 when more than one can: refuses most texts at once. */
  readonly lastByte: number;
}

/** `**` as a whole component. */
export const anyDepth = "**";

export interface Pattern {
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
  /** Compared with the whole path; otherwise there is one component, compared with the last of the path. */
  readonly anchored: boolean;
  readonly components: readonly (Component | typeof anyDepth)[];
}

/** Throws USAGE for a pattern that is malformed or can never fit a path. */
export function compilePattern(source: string | Uint8Array): Pattern {
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
