// What the tests of src/format expect of failures.

import { expect } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";

/** Code of the TsfsaError an action throws; `none` when it throws nothing; fails for anything else. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(TsfsaError);
    return (error as TsfsaError).code;
  }
  return "none";
}

/** The legal outcomes of reading bytes that anyone may have made. */
export const readingOutcomes: readonly string[] = ["none", "ARCHIVE_DAMAGED", "ARCHIVE_HOSTILE"];
