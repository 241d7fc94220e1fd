// Strict reading of the JSON payloads (head and summary) and typed access to their fields: valid UTF-8, one object, no duplicate keys (two readers
// must not see two archives), bounded depth, every field checked. All failures are ARCHIVE_DAMAGED and name the field.

import { decodeUtf8, utf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";

const depthMax = 32;

export function encodeJson(value: object): Uint8Array {
  return utf8(JSON.stringify(value));
}

/** Parses the payload `what` into fields. */
export function decodeJson(payload: Uint8Array, what: string): Fields {
  const text = decodeUtf8(payload);
  if (text === undefined) throw damage(what, "is not valid UTF-8");
  checkStructure(text, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `${what} is not valid JSON`, { cause });
  }
  return new Fields(value, what);
}

/**
 * One pass over the text, before it is parsed: depth, and keys that an object holds twice, which JSON.parse would not tell. Strings, brackets and colons
 * are all that matters here; the rest of the grammar is JSON.parse's.
 */
function checkStructure(text: string, what: string): void {
  const open: Set<string>[] = [];
  let lastString = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") {
      if (open.push(new Set()) > depthMax) throw damage(what, `is nested deeper than ${depthMax}`);
    } else if (character === "}" || character === "]") {
      open.pop();
    } else if (character === '"') {
      const end = endOfString(text, at);
      lastString = text.slice(at, end);
      at = end - 1;
    } else if (character === ":") {
      const key = unquote(lastString, what);
      if (open.at(-1)?.has(key)) throw damage(what, `has the key ${JSON.stringify(key)} twice`);
      open.at(-1)?.add(key);
    }
  }
}

/** Offset after the closing quote of the string that opens at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Two spellings of one key are one key. */
function unquote(quoted: string, what: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch (cause) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `${what} is not valid JSON`, { cause });
  }
}

function damage(what: string, message: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `${what} ${message}`);
}

/** The fields of one JSON object; each getter checks the type. */
export class Fields {
  readonly what: string;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(value: unknown, what: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw damage(what, "is not an object");
    this.what = what;
    this.#values = value as Record<string, unknown>;
  }

  /** The error for an illegal value of a field. */
  illegal(key: string, expected: string): TsfsaError {
    return damage(this.what, `has an illegal ${key}: expected ${expected}`);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key);
  }

  #get(key: string): unknown {
    return this.has(key) ? this.#values[key] : undefined;
  }

  string(key: string): string {
    const value = this.#get(key);
    if (typeof value !== "string") throw this.illegal(key, "a string");
    return value;
  }

  stringOrNull(key: string): string | null {
    return this.#get(key) === null ? null : this.string(key);
  }

  oneOf<Choice extends string>(key: string, choices: readonly Choice[]): Choice {
    const value = this.string(key) as Choice;
    if (!choices.includes(value)) throw this.illegal(key, choices.join(", "));
    return value;
  }

  matching(key: string, pattern: RegExp, expected: string): string {
    const value = this.string(key);
    if (!pattern.test(value)) throw this.illegal(key, expected);
    return value;
  }

  integer(key: string, minimum = 0, maximum: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#get(key);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < minimum || value > maximum) {
      throw this.illegal(key, `an integer from ${minimum} to ${maximum}`);
    }
    return value;
  }

  object(key: string): Fields {
    return new Fields(this.#get(key), `${this.what}.${key}`);
  }

  /** An object as it is, its fields not looked at. */
  record(key: string): Readonly<Record<string, unknown>> {
    return this.object(key).#values;
  }

  objects(key: string, minimum: number, maximum: number): Fields[] {
    const value = this.#get(key);
    if (!Array.isArray(value) || value.length < minimum || value.length > maximum) {
      throw this.illegal(key, `an array of ${minimum} to ${maximum} objects`);
    }
    return value.map((item, index) => new Fields(item, `${this.what}.${key}[${index}]`));
  }
}
