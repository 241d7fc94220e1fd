// What the commands that make snapshots give the front end: how it talks, and which files are written meanwhile.

import type { CommandContext } from "../model/options.ts";
import type { SessionContext } from "../snapshot/session.ts";

/** warnings(): how many were told that end the run with status 1. What was kept on request is told, too, and is none. */
export function sessionContext(
  { reporter, signal }: CommandContext,
  allowRw: boolean,
  archiveFolder: readonly string[],
): { readonly session: SessionContext; readonly warnings: () => number } {
  let warnings = 0;
  const session: SessionContext = {
    signal,
    step: (message) => reporter.step(message),
    warn: (code, message) => {
      if (code !== "SNAPSHOT_KEPT") warnings++;
      reporter.warning({ code, path: new Uint8Array(0), message });
    },
    // Standard output and error may be log files.
    written: [...archiveFolder, "/proc/self/fd/1", "/proc/self/fd/2"],
    allowRw,
  };
  return { session, warnings: () => warnings };
}
