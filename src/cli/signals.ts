// SIGINT, SIGTERM and SIGHUP: the first asks the command to undo what it made and stop, a second of the same kind ends the process at once.
// (`nohup` does not protect from SIGHUP: Node resets inherited dispositions. `setsid` or a systemd unit does.)

import { constants } from "node:os";

/** Where signals and exceptions that nobody caught are heard of: `process`, or an emitter in tests. */
export interface ProcessEvents {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
}

const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type StopSignal = (typeof stopSignals)[number];

/** The reason of an abort by signal. */
export class Interruption extends Error {
  override readonly name = "Interruption";
  readonly signal: StopSignal;
  /** 128 + number of the signal. */
  readonly exitStatus: number;

  constructor(signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
    this.exitStatus = 128 + constants.signals[signal];
  }
}

/** Calls onFirst for the first signal of each kind and onSecond for any later one. Returns what ends the watch. */
export function watchSignals(
  events: ProcessEvents,
  onFirst: (interruption: Interruption) => void,
  onSecond: (signal: StopSignal) => void,
): () => void {
  const seen = new Set<StopSignal>();
  const listeners = stopSignals.map((signal) => {
    const listener = (): void => {
      if (seen.has(signal)) return onSecond(signal);
      seen.add(signal);
      onFirst(new Interruption(signal));
    };
    events.on(signal, listener);
    return { signal, listener };
  });
  return () => {
    for (const { signal, listener } of listeners) events.off(signal, listener);
  };
}
