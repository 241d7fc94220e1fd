// Reporters around the one a command was given: counting warnings, and ending the run at the first one (--strict).

import { TsfsaError } from "../base/errors.ts";
import type { Reporter } from "../model/events.ts";

/** The first warning ends the run with STRICT. */
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

/** The same reporter, and how many warnings it was given. */
export function countWarnings(reporter: Reporter): { readonly reporter: Reporter; readonly warnings: () => number } {
  let count = 0;
  const counting: Reporter = {
    warning: (warning) => {
      count++;
      reporter.warning(warning);
    },
    progress: (progress) => reporter.progress(progress),
    step: (message) => reporter.step(message),
    ...(reporter.entry === undefined ? {} : { entry: (path) => reporter.entry?.(path) }),
  };
  return { reporter: counting, warnings: () => count };
}
