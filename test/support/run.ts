// Runs a tool and gives its status and bytes. No shell, fixed environment (LC_ALL=C), output bounded; nothing is judged here.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

/** How much longer than elsewhere things may take: in an emulated machine (test/vm/harness), on a busy host. */
export const patience = existsSync("/run/machine/command") ? 5 : 1;

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: Uint8Array | string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
  /** Killed with SIGKILL after this long, times `patience`; default 120 s. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  /** Exit status, or 128 + signal number as a shell says it. */
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly command: string;
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Runs argv to its end. Never rejects because of a status; rejects when the tool cannot be started. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = "", ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: "C", TZ: "UTC", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const timer = setTimeout(() => child.kill("SIGKILL"), (options.timeoutMs ?? 120_000) * patience);
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A tool that ends before it has read all its input is judged by its status, not by our EPIPE.
    child.stdin.on("error", () => undefined);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`cannot run ${program}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({
        status: code ?? 128 + (signalNumbers[signal ?? ""] ?? 0),
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
        command: argv.join(" "),
      });
    });
    child.stdin.end(options.input);
  });
}

/** Like run, but a status other than 0 rejects with the command and what it said. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await run(argv, options);
  if (result.status !== 0) {
    throw new Error(`${result.command.slice(0, 400)}: status ${result.status}\n${result.stderr.slice(0, 4000)}`);
  }
  return result;
}

/** A bash pipeline with pipefail. `words` arrive as $1, $2 … so that nothing is quoted by hand. */
export function shell(script: string, words: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  return run(["bash", "-c", `set -o pipefail; ${script}`, "bash", ...words], options);
}

/** Words for `$'…'` in bash: any bytes but NUL. */
export function bashQuote(bytes: Uint8Array): string {
  let quoted = "$'";
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c;
    quoted += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  }
  return `${quoted}'`;
}
