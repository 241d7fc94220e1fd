// Global set-up: worker threads and the CLI run from dist/, so it must not be older than src/. Builds when it is, once per run.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../", import.meta.url));

export default function setup(): void {
  // A build made elsewhere (test/support/cli.ts) is taken as it is.
  if (process.env["TSFSA_DIST"] !== undefined) return;
  if (!isStale()) return;
  execFileSync("npm", ["run", "--silent", "build"], { cwd: repository, stdio: ["ignore", "ignore", "inherit"] });
}

function isStale(): boolean {
  const entry = join(repository, "dist/cli/main.cjs");
  if (!existsSync(entry)) return true;
  return newest(join(repository, "src")) > statSync(entry).mtimeMs;
}

function newest(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return Math.max(...names.map((name) => statSync(join(folder, name)).mtimeMs));
}
