// Child processes for benchmark and demo. Each runs in a process group of its own, so that an abort ends
// a whole pipeline; no shell stands between unless the caller asks for one.

import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly wallSeconds: number;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Called with the process id once the process runs, and its result when it ends. */
  readonly watch?: (pid: number) => () => void;
  /** Statuses that are no failure; default 0 alone. */
  readonly accept?: readonly number[];
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

/** The command outlived its time limit and was killed. */
export class TimeoutError extends Error {}

const outputBytesMax = 8 * 1024 * 1024;

/** What Node is told here (certificates to load at every start, options) is not for what is measured. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NODE_")));

/** Runs `argv`, keeps what it prints (up to 8 MiB each, latin1 so that bytes survive) and throws unless its status is accepted. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [file = "", ...rest] = argv;
  options.signal?.throwIfAborted();
  const start = process.hrtime.bigint();
  const child = spawn(file, rest, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: environment,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const killGroup = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  let timedOut = false;
  const timer = setTimeout(
    () => {
      timedOut = true;
      killGroup();
    },
    options.timeoutMs ?? 2 ** 31 - 1,
  );
  options.signal?.addEventListener("abort", killGroup);
  const unwatch = child.pid === undefined ? undefined : options.watch?.(child.pid);
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 128));
    });
    const wallSeconds = Number(process.hrtime.bigint() - start) / 1e9;
    options.signal?.throwIfAborted();
    if (timedOut) throw new TimeoutError(`${argv.join(" ")}: killed after ${(options.timeoutMs ?? 0) / 1000} s`);
    const result = { status, stdout: stdout(), stderr: stderr(), wallSeconds };
    if (!(options.accept ?? [0]).includes(status)) {
      throw new Error(`${argv.join(" ")}: status ${status}\n${result.stderr.slice(-4096)}`);
    }
    return result;
  } finally {
    unwatch?.();
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", killGroup);
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= outputBytesMax) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString("latin1");
}

/** Whether a program of that name is on PATH (or in the sbin folders, which PATH may lack). */
export function installed(program: string): boolean {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A word quoted for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** An AbortController that SIGINT, SIGTERM and SIGHUP abort, so that every `finally` runs before the end. */
export function abortOnSignals(): AbortController {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => controller.abort(new Error(`stopped by ${name}`)));
  }
  return controller;
}
