// What the cli needs of the process it runs in, as one value, so that tests can run it without one.

import { availableParallelism } from "node:os";
import type { Readable, Writable } from "node:stream";
import { type CommandTable, commands } from "./commands.ts";
import type { ProcessEvents, StopSignal } from "./signals.ts";

/** A stream that may be a terminal. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };
export type InputStream = Readable & { readonly isTTY?: boolean };

export interface Host {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
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
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    processors: availableParallelism(),
    commands,
    events: process,
    now: () => performance.now(),
    die(signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    },
    exit: (status) => process.exit(status),
  };
}
