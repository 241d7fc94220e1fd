// Words of the command line → values, each checked here so that the commands need not. Every refusal is a USAGE error that names the option,
// what was expected and what was found.

import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { parseSize } from "../base/units.ts";
import type { DigestName } from "../model/archive.ts";

const MiB = 1024 * 1024;

/** A refusal of one option's value. */
function expected(option: string, wanted: string, found: string): TsfsaError {
  return new TsfsaError("USAGE", `${option}: expected ${wanted}, found ${JSON.stringify(found)}`);
}

/** A parser of whole decimal numbers from min to max. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw expected(option, `a number from ${min} to ${max}`, text);
    return value;
  };
}

/** Block size in bytes: `4MiB`, `4194304`. */
export function blockSize(text: string): number {
  const { blockSizeMin, blockSizeMax } = limits;
  const wanted = `a multiple of 1 MiB from ${blockSizeMin / MiB} to ${blockSizeMax / MiB} MiB, such as 8MiB`;
  const value = parseSize(text);
  if (value === undefined || value % MiB !== 0 || value < blockSizeMin || value > blockSizeMax) {
    throw expected("--block-size", wanted, text);
  }
  return value;
}

/** A parser of words from a list. */
export function oneOf<Word extends string>(option: string, words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw expected(option, `one of ${words.join(", ")}`, text);
    return found;
  };
}

const digestNames: readonly DigestName[] = ["xxh128", "sha256", "blake3"];
export const digestName: (text: string) => DigestName = oneOf("--digest", digestNames);

/** For options that may be given several times. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** An operand or value that must not be empty: an unset shell variable otherwise passes for a name. */
export function nonEmpty(what: string, text: string): string {
  if (text === "") throw new TsfsaError("USAGE", `${what} is empty: expected a path`);
  return text;
}
