// Programs of the tests that run apart from them (writers of a live load, what runs in a machine), stripped of their types into build/programs, for
// Node.js 20 runs no TypeScript. Global set-up, once per run.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

// This file itself may run from build/programs: the checkout is where package.json is.
const repository = checkoutOf(dirname(fileURLToPath(import.meta.url)));
const tests = join(repository, "test");
const output = join(repository, "build/programs");

export default async function setup(): Promise<void> {
  const stale = ["support", "vm"]
    .flatMap((folder) =>
      readdirSync(join(tests, folder), { recursive: true, encoding: "utf8" }).map((name) => join(tests, folder, name)),
    )
    .filter((source) => source.endsWith(".ts") && !isMade(source));
  if (stale.length === 0) return;
  const { default: typescript } = await import("typescript");
  const { config } = typescript.readConfigFile(join(repository, "tsconfig.json"), (path) => readFileSync(path, "utf8"));
  const settings = { ...config.compilerOptions, module: "esnext", moduleResolution: "bundler" };
  const { options } = typescript.convertCompilerOptionsFromJson(settings, repository);
  for (const source of stale) {
    const { outputText } = typescript.transpileModule(readFileSync(source, "utf8"), {
      compilerOptions: options,
      fileName: source,
    });
    mkdirSync(dirname(compiled(source)), { recursive: true });
    writeFileSync(compiled(source), outputText);
  }
}

/** The compiled form of a file below test/. */
export function compiled(source: string): string {
  return join(output, relative(tests, source)).replace(/\.ts$/, ".js");
}

/** The program that writes a live load. */
export const loadWriter = join(output, "support/load/writer.js");

function isMade(source: string): boolean {
  const made = compiled(source);
  return existsSync(made) && statSync(made).mtimeMs > statSync(source).mtimeMs;
}

function checkoutOf(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : checkoutOf(dirname(folder));
}
