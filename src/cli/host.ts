// What the cli needs of the process it runs in, as one value, so that tests can run it without one.

import { readFileSync, readlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Readable, Writable } from "node:stream";
import { type CommandTable, commands } from "./commands.ts";
import type { ProcessEvents, StopSignal } from "./signals.ts";

/** columns: of a terminal, now. */
export type OutputStream = Writable & { readonly columns?: number };

export interface Host {
  /**
   * Not to be looked at where the archive comes from or goes to the same descriptor: Node makes a pipe non-blocking when its stream is made.
   */
  readonly stdin: Readable;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Which of them are terminals. */
  readonly terminals: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  /** The process was started without a standard output (`>&-`). */
  lacksOutput(): boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Processors this process may use. */
  readonly processors: number;
  readonly commands: CommandTable;
  readonly events: ProcessEvents;
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Ends the process by this signal, at once. */
  die(signal: StopSignal): void;
  /** Ends the process with this status, at once. Only where waiting is no longer possible. */
  exit(status: number): void;
}

export function systemHost(): Host {
  return {
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return process.stdout;
    },
    get stderr() {
      return process.stderr;
    },
    terminals,
    lacksOutput,
    environment: process.env,
    processors: availableParallelism(),
    commands,
    events: process,
    now: () => Number(process.hrtime.bigint()) / 1e6, // performance.now() would load more
    die(signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    },
    exit: (status) => process.exit(status),
  };
}

const terminals = {
  get stdin() {
    return isTerminal(0);
  },
  get stdout() {
    return isTerminal(1);
  },
  get stderr() {
    return isTerminal(2);
  },
};

/** The module is loaded when somebody asks, which a quiet run does not: sockets and streams come with it. */
function isTerminal(fd: number): boolean {
  return process.getBuiltinModule("node:tty").isatty(fd);
}

/** In place of a descriptor that is closed, Node opens /dev/null for reading and writing; a shell's `> /dev/null` only writes. */
function lacksOutput(): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/fdinfo/1", "latin1"))?.[1] ?? "0";
    return readlinkSync("/proc/self/fd/1") === "/dev/null" && (Number.parseInt(flags, 8) & 3) === 2;
  } catch {
    return false;
  }
}
