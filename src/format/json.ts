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
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `${what} is not valid JSON`, { cause });
  }
  rejectDuplicateKeys(text, what);
  return new Fields(value, what);
}

/** One pass over text that JSON.parse has accepted: strings, brackets and colons are all that matters. */
function rejectDuplicateKeys(text: string, what: string): void {
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;
  const open: Set<string>[] = [];
  for (const [match, colon] of text.matchAll(token)) {
    if (match === "{" || match === "[") {
      if (open.push(new Set()) > depthMax) throw damage(what, `is nested deeper than ${depthMax}`);
    } else if (match === "}" || match === "]") {
      open.pop();
    } else if (colon !== undefined) {
      const key = JSON.parse(match.slice(0, -colon.length)) as string;
      const keys = open.at(-1) as Set<string>;
      if (keys.has(key)) throw damage(what, `has the key ${JSON.stringify(key)} twice`);
      keys.add(key);
    }
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
