// Global set-up of the tests in machines: makes what they boot from, where the machine can be made at all.

import { missing, prepare } from "./artefacts.ts";

export default function setup(): void {
  const lacking = missing();
  if (lacking.length === 0) prepare();
  else console.warn(`no machine can be booted here. It needs:\n  ${lacking.join("\n  ")}`);
}
