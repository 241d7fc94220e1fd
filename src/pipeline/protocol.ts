// What passes between the pool and a worker thread: jobs one way, results or failures the other. Both sides are typed by the
// job map of the caller (a job kind → its input and output).

import { TsfsaError, type ErrorCode, type ErrorContext } from "../base/errors.ts";

/** Job kinds with their input and output; the same map types the pool and the worker. */
export type JobMap<Jobs> = { [Kind in keyof Jobs]: { input: unknown; output: unknown } };

/** Functions that do the jobs. They also run without a thread, which is how the unit tests call them. */
export type JobHandlers<Jobs extends JobMap<Jobs>> = {
  [Kind in keyof Jobs]: (
    input: Jobs[Kind]["input"],
  ) => JobResult<Jobs[Kind]["output"]> | Promise<JobResult<Jobs[Kind]["output"]>>;
};

export interface JobResult<Output> {
  readonly output: Output;
  /** Buffers that move to the receiver. */
  readonly transfer?: ArrayBuffer[];
}

/** Shared with a thread, as 32-bit words. */
export const threadWords = {
  /** 1: the pool is being closed, so no job begins and none goes on after a long call. */
  ending: 0,
  /** 1: the thread is at a job, and may hold descriptors and use those it was given. */
  holding: 1,
  /** Jobs the thread has answered; 32 bits, with overflow. */
  answered: 2,
  count: 3,
} as const;

/** The first message to a thread, and the last. */
export interface ThreadMessage {
  readonly state?: Int32Array;
  readonly end?: true;
}

export interface JobRequest {
  readonly id: number;
  readonly kind: string;
  readonly input: unknown;
}

export type JobReply =
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly failure: WireError };

/** An error in a form that survives the structured clone. */
export interface WireError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly stack: string;
  readonly context: Omit<ErrorContext, "cause">;
}

export function encodeError(error: unknown): WireError {
  if (error instanceof TsfsaError) {
    const { cause: _cause, ...context } = error.context;
    return { code: error.code, message: error.message, stack: error.stack ?? "", context };
  }
  const plain = error instanceof Error ? error : new Error(String(error));
  return { code: null, message: plain.message, stack: plain.stack ?? "", context: {} };
}

export function decodeError(wire: WireError): Error {
  if (wire.code === null) {
    return new TsfsaError("INTERNAL", `a worker failed: ${wire.message}`, { cause: new Error(wire.stack) });
  }
  return new TsfsaError(wire.code, wire.message, { ...wire.context, cause: new Error(wire.stack) });
}
