// Runs the built CLI as a user would, and says what every ending must keep: a documented status, no stack, no control bytes.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { publicArgv } from "./public-cli.ts";
import { type RunOptions, type RunResult, run } from "./run.ts";

const checkout = fileURLToPath(new URL("../../", import.meta.url));
const dist = process.env["TSFSA_DIST"] ?? `${checkout}dist`;
export const cliPath = `${dist}/cli/main.cjs`;

/** argv of the CLI, for pipelines and tracers. */
export function tsfsaArgv(...words: readonly string[]): string[] {
  return [process.execPath, cliPath, ...words];
}

/** Runs tsfsa and gives status and output. */
export async function tsfsa(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const argv = tsfsaArgv(...words);
  return run(options.uid === undefined ? argv : await publicArgv(argv, checkout, options.uid), options);
}

/** Runs tsfsa and expects a status; rejects with all it said when it is another. */
export async function expectStatus(
  status: number,
  words: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await tsfsa(words, options);
  if (result.status !== status) {
    const output = result.stdout.subarray(0, 2000).toString("latin1");
    throw new Error(`${result.command}: expected status ${status}, got ${result.status}\n${result.stderr}\n${output}`);
  }
  return result;
}

/** Runs two commands as a pipe `a | b` and gives both results; nothing is buffered here. */
export function pipe(
  from: readonly string[],
  to: readonly string[],
  options: RunOptions = {},
): Promise<{ readonly from: RunResult; readonly to: RunResult }> {
  const environment = { ...process.env, LC_ALL: "C", ...options.env };
  const [fromProgram = "", ...fromWords] = from;
  const [toProgram = "", ...toWords] = to;
  return new Promise((resolve, reject) => {
    const writer = spawn(fromProgram, fromWords, {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      cwd: options.cwd,
    });
    // The reader holds the other end of a kernel pipe; this process only passes the descriptor on.
    const reader = spawn(toProgram, toWords, {
      env: environment,
      stdio: [writer.stdout, "pipe", "pipe"],
      cwd: options.cwd,
    });
    writer.stdout.destroy();
    const ends = [ending(writer, from), ending(reader, to)];
    Promise.all(ends).then(([first, second]) => resolve({ from: first as RunResult, to: second as RunResult }), reject);
  });
}

function ending(child: ReturnType<typeof spawn>, argv: readonly string[]): Promise<RunResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  if (child.stdout !== null && !child.stdout.destroyed) child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr?.on("data", (bytes: Buffer) => stderr.push(bytes));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({
        status: code ?? -1,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
        command: argv.join(" "),
      });
    });
  });
}

export type JsonLine = Readonly<Record<string, unknown>> & { readonly type: string };

/** The objects of a --json output. */
export function jsonLines(output: Buffer | string): JsonLine[] {
  return output
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JsonLine);
}

/** Bytes of a name in JSON, as latin1 text (as in walk.ts). */
export function jsonPath(line: JsonLine): string {
  if (typeof line["path"] === "string") return Buffer.from(line["path"]).toString("latin1");
  return Buffer.from(String(line["pathBase64"]), "base64").toString("latin1");
}
