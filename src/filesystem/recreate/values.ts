// Values of an archive's FilesystemDescription, checked before one of them reaches a tool's command line. Archives are hostile:
// a value of the wrong type or out of range refuses the whole description, it is not bent into shape.

import { TsfsaError } from "../../base/errors.ts";

export class Values {
  readonly #parameters: Readonly<Record<string, unknown>>;
  readonly #type: string;

  constructor(type: string, parameters: Readonly<Record<string, unknown>>) {
    this.#type = type;
    this.#parameters = parameters;
  }

  /** A whole number in range; fallback where the key is missing. */
  integer(key: string, least: number, most: number, fallback: number): number {
    const value = this.#get(key) ?? fallback;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw this.#hostile(key, `a whole number from ${least} to ${most}`);
  }

  powerOfTwo(key: string, least: number, most: number, fallback: number): number {
    const value = this.integer(key, least, most, fallback);
    if (Number.isInteger(Math.log2(value))) return value;
    throw this.#hostile(key, `a power of two from ${least} to ${most}`);
  }

  boolean(key: string): boolean {
    const value = this.#get(key) ?? false;
    if (typeof value === "boolean") return value;
    throw this.#hostile(key, "true or false");
  }

  /** One of a closed list. */
  word<Word extends string>(key: string, words: readonly Word[], fallback: Word): Word {
    const value = this.#get(key) ?? fallback;
    const word = words.find((each) => each === value);
    if (word !== undefined) return word;
    throw this.#hostile(key, `one of ${words.join(", ")}`);
  }

  text(key: string, pattern: RegExp): string {
    const value = this.#get(key) ?? "";
    if (typeof value === "string" && (value === "" || pattern.test(value))) return value;
    throw this.#hostile(key, `text like ${pattern.source}`);
  }

  /** Names such as features: short plain words, at most 256 of them. Which ones are known is the caller's list. */
  words(key: string): string[] {
    const value = this.#get(key) ?? [];
    if (
      Array.isArray(value) &&
      value.length <= 256 &&
      value.every((each): each is string => typeof each === "string" && /^[A-Za-z0-9_-]{1,40}$/.test(each))
    ) {
      return value;
    }
    throw this.#hostile(key, "a list of names");
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#parameters, key) ? this.#parameters[key] : undefined;
  }

  #hostile(key: string, expected: string): TsfsaError {
    return new TsfsaError(
      "ARCHIVE_HOSTILE",
      `the archive's description of its ${this.#type} is wrong: ${key} is not ${expected}`,
    );
  }
}

export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Largest file system any of the three can have is below 2^60 bytes; sizes stay exact integers below 2^53. */
export const sizeMax: number = Number.MAX_SAFE_INTEGER;
