// What stops a command before its end: a signal, a defect, the loss of standard output. Each aborts it with a reason of its own.

import { constants } from "node:os";
import { describeFailure } from "./failure.ts";
import type { Host } from "./host.ts";
import type { TextOutput } from "./output.ts";
import type { Presenter } from "./presenter.ts";
import { watchSignals } from "./signals.ts";
import { printable } from "./text.ts";

/** How long a command may go on undoing after an exception that nobody caught. */
const faultGraceMs = 10_000;

/** Reason of an abort: standard output failed. */
export class OutputLost extends Error {
  constructor(cause: Error) {
    super("standard output was lost", { cause });
  }
}

/** Reason of an abort: an exception that nobody caught. */
export class Fault extends Error {}

/** Signals and uncaught exceptions stop the command. Returns what ends the watch. */
export function watchProcess(host: Host, presenter: Presenter, stop: AbortController): () => void {
  const unwatch = watchSignals(
    host.events,
    (interruption) => {
      presenter.interrupted(interruption);
      stop.abort(interruption);
    },
    (signal) => host.die(signal),
  );
  // Node would end with status 1 here, which says "done with warnings".
  let grace: NodeJS.Timeout | undefined;
  const onFault = (error: unknown): void => {
    presenter.failed(describeFailure(error));
    stop.abort(new Fault());
    grace ??= setTimeout(() => host.exit(2), faultGraceMs).unref();
  };
  const faults = ["uncaughtException", "unhandledRejection"];
  for (const fault of faults) host.events.on(fault, onFault);
  return () => {
    for (const fault of faults) host.events.off(fault, onFault);
    clearTimeout(grace);
    unwatch();
  };
}

/** Status when standard output was lost: that of SIGPIPE where nobody reads it any more, else told as a failure. */
export function lostStatus(signal: AbortSignal, stderr: TextOutput): number | undefined {
  const reason: unknown = signal.reason;
  if (!(reason instanceof OutputLost)) return undefined;
  const failure = describeFailure(reason.cause);
  if (failure.errno === "EPIPE") return 128 + constants.signals.SIGPIPE;
  stderr.write(`tsfsa: cannot write to standard output: ${printable(failure.message)}\n`);
  return failure.exitStatus;
}
