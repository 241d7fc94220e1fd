// --strict for restores: the first entry that cannot be restored whole ends the run.

import { TsfsaError } from "../base/errors.ts";
import type { Reporter } from "../model/events.ts";

export function strictly(strict: boolean, reporter: Reporter): Reporter {
  if (!strict) return reporter;
  return {
    progress: (progress) => reporter.progress(progress),
    step: (message) => reporter.step(message),
    ...(reporter.entry === undefined ? {} : { entry: (path) => reporter.entry?.(path) }),
    warning: (warning) => {
      reporter.warning(warning);
      throw new TsfsaError("STRICT", `stopped at the first entry that is not whole: ${warning.message}`, {
        path: warning.path,
        hints: ["without --strict the rest goes on and such entries are listed"],
      });
    },
  };
}
