#!/usr/bin/env node
// The program. Sets the exit status and lets Node end by itself, so that nothing written is lost. Loads all else only then: a module that cannot be
// read (no descriptor left, no memory) would end Node with status 1, which says "done with warnings".

import { writeSync } from "node:fs";

// Until the run says otherwise it has failed: Node alone would end with 0 or 13 when a promise is never settled.
process.exitCode = 2;
const lost = (): void => {
  writeSync(2, "tsfsa: this is a defect of tsfsa: the run ended without a result\n");
};
const load = async () => ({ ...(await import("./host.ts")), ...(await import("./run.ts")) });
void load().then(
  async ({ run, systemHost }) => {
    process.once("exit", lost);
    process.exitCode = await run(process.argv.slice(2), systemHost());
    process.off("exit", lost);
  },
  (error: Error) => void writeSync(2, `tsfsa: cannot start: ${error.message}\n`),
);
