#!/usr/bin/env node
// The program. Sets the exit status and lets Node end by itself, so that nothing written is lost.

import { writeSync } from "node:fs";
import { systemHost } from "./host.ts";
import { run } from "./run.ts";

// Until the run says otherwise it has failed: Node alone would end with 0 or 13 when a promise is never settled.
process.exitCode = 2;
const lost = (): void => {
  writeSync(2, "tsfsa: this is a defect of tsfsa: the run ended without a result\n");
};
process.once("exit", lost);
const status = await run(process.argv.slice(2), systemHost());
process.off("exit", lost);
process.exitCode = status;
