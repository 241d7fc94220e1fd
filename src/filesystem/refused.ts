// How targets are refused.

import { TsfsaError } from "../base/errors.ts";

/** TARGET_REFUSED, as all refusals of targets are worded. */
export function refused(path: string, reason: string, hints: readonly string[] = []): TsfsaError {
  return new TsfsaError("TARGET_REFUSED", `the target ${path} is refused: ${reason}`, { path, hints });
}
