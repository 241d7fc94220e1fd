// Where the compiled entry of a worker is. Node 20 cannot start a thread from TypeScript, so code that runs from src/ (the tests) starts the
// threads of dist/.

import { join } from "node:path";

/** `name`: path below src/ without extension, such as `save/worker`. */
export function workerPath(name: string): string {
  const dist = import.meta.filename.endsWith(".ts") ? "../../dist" : "..";
  return join(import.meta.dirname, dist, `${name}.cjs`);
}
