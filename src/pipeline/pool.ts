// A bounded pool of worker threads. Jobs start in the order they were given (urgent ones first), finish in any order; who needs
// order awaits the promises in order. Threads start only when there is work that no idle thread can take.
// Invariant: a thread that dies or throws outside a job fails every job there is, and every later one, with its cause.

import { setImmediate, setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { TsfsaError } from "../base/errors.ts";
import {
  decodeError,
  type JobMap,
  type JobReply,
  type JobRequest,
  type ThreadMessage,
  threadWords,
} from "./protocol.ts";

export interface PoolOptions {
  /** Entry file of the worker: calls serveJobs(). */
  readonly path: string;
  readonly workers: number;
  readonly workerData?: unknown;
  /** Rejects all jobs with its reason, at once: nobody waits for a thread that is busy. */
  readonly signal?: AbortSignal;
}

export interface JobOptions<Output> {
  readonly transfer?: ArrayBuffer[];
  readonly urgent?: boolean;
  /** Gives back what an output holds that comes when nobody waits for it any more. */
  readonly discard?: (output: Output) => void;
}

interface Task {
  readonly request: JobRequest;
  readonly transfer: ArrayBuffer[];
  readonly discard: ((output: never) => void) | undefined;
  readonly resolve: (output: never) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  /** See threadWords. */
  readonly state: Int32Array;
  readonly tasks: Map<number, Task>;
  /** Answers that have come; 32 bits, with overflow. */
  answers: number;
  exited: boolean;
}

/** Jobs one thread holds at a time: the one it works on, and the next, so that it never waits for a message. */
const jobsPerThread = 2;
/** How long close() waits after a signal: a medium that does not answer must not keep the program. */
const stoppedMs = 800;
/** How often it looks, once it has looked at every turn of the event loop for that long. */
const pollMs = 5;

/**
 * Must come before the first thread. Threads optimise their functions themselves: Node 20 aborts (node_platform.cc, ForIsolate) when a thread ends while V8
 * compiles for it on another. They live for seconds, and each compiles the same functions for itself: baseline code at once, optimised code later, from
 * better feedback and with less inlined, costs less than it saves (docs/PERFORMANCE.md; measured for the V8 of Node 20, later ones have another compiler
 * between).
 */
function compileForThreads(): void {
  setFlagsFromString("--no-concurrent-recompilation");
  if (!process.versions.v8.startsWith("11.")) return;
  setFlagsFromString("--always-sparkplug");
  setFlagsFromString("--interrupt-budget=600000");
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=250");
}

export class WorkerPool<Jobs extends JobMap<Jobs>> {
  readonly #options: PoolOptions;
  readonly #threads: Thread[] = [];
  readonly #urgent: Task[] = [];
  readonly #queue: Task[] = [];
  #nextId = 1;
  #failure: Error | undefined;
  #closed = false;

  readonly #onAbort = (): void => this.#drop(this.#options.signal?.reason as Error);

  constructor(options: PoolOptions) {
    compileForThreads();
    this.#options = options;
    options.signal?.addEventListener("abort", this.#onAbort);
  }

  get workers(): number {
    return this.#options.workers;
  }

  /** Starts all threads there may be at once: where there is work for each, they need not wait to be found missing. */
  warmUp(): void {
    while (this.#failure === undefined && this.#threads.length < this.#options.workers) this.#start();
  }

  /** Runs one job. Rejects with the job's TsfsaError, or INTERNAL when its thread died. */
  run<Kind extends keyof Jobs & string>(
    kind: Kind,
    input: Jobs[Kind]["input"],
    options: JobOptions<Jobs[Kind]["output"]> = {},
  ): Promise<Jobs[Kind]["output"]> {
    this.#failure ??= this.#options.signal?.aborted === true ? (this.#options.signal.reason as Error) : undefined;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const request = { id: this.#nextId++, kind, input };
      const { transfer = [], discard } = options;
      const task: Task = { request, transfer, discard, resolve, reject };
      (options.urgent === true ? this.#urgent : this.#queue).push(task);
      this.#dispatch();
    });
  }

  /**
   * Ends all threads, and waits until they have let go of every descriptor, their own and those they were given. Jobs still running are dropped: their
   * promises reject. A thread in the middle of a long call (level 22 takes half a minute a block) holds none, and ends with the process.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#drop(new TsfsaError("INTERNAL", "the worker pool was closed while jobs were running"));
    for (const { worker, state } of this.#threads) {
      Atomics.store(state, threadWords.ending, 1);
      worker.postMessage({ end: true } satisfies ThreadMessage);
    }
    const begin = performance.now();
    const isStopped = this.#options.signal?.aborted === true;
    while (this.#threads.some(isHolding)) {
      const waitedMs = performance.now() - begin;
      if (isStopped && waitedMs > stoppedMs) break;
      await (waitedMs < pollMs ? setImmediate() : setTimeout(pollMs));
    }
    for (const { worker } of this.#threads) worker.unref();
  }

  /** Rejects every job there is, and every later one; those that threads have are answered still. */
  #drop(failure: Error): void {
    this.#failure ??= failure;
    const running = this.#threads.flatMap(({ tasks }) => [...tasks.values()]);
    for (const task of [...running, ...this.#urgent.splice(0), ...this.#queue.splice(0)]) task.reject(this.#failure);
  }

  #dispatch(): void {
    while (this.#urgent.length + this.#queue.length > 0) {
      const thread = this.#freeThread();
      if (thread === undefined) return;
      const task = (this.#urgent.shift() ?? this.#queue.shift()) as Task;
      thread.tasks.set(task.request.id, task);
      try {
        thread.worker.postMessage(task.request, task.transfer);
      } catch (error) {
        thread.tasks.delete(task.request.id);
        task.reject(error as Error);
      }
    }
  }

  /** An idle thread, else a new one while there may be more, else the least loaded one with room. */
  #freeThread(): Thread | undefined {
    let best: Thread | undefined;
    for (const thread of this.#threads) {
      if (best === undefined || thread.tasks.size < best.tasks.size) best = thread;
    }
    if (best !== undefined && best.tasks.size === 0) return best;
    if (this.#threads.length < this.#options.workers) return this.#start();
    return best !== undefined && best.tasks.size < jobsPerThread ? best : undefined;
  }

  #start(): Thread {
    const worker = new Worker(this.#options.path, { workerData: this.#options.workerData, stdout: true, stderr: true });
    const state = new Int32Array(new SharedArrayBuffer(threadWords.count * 4));
    const thread: Thread = { worker, state, tasks: new Map(), answers: 0, exited: false };
    worker.postMessage({ state } satisfies ThreadMessage);
    worker.on("message", (reply: JobReply) => this.#settle(thread, reply));
    worker.on("error", (error) => this.#fail(error));
    worker.on("messageerror", (error) => this.#fail(error));
    worker.on("exit", (code) => {
      thread.exited = true;
      if (!this.#closed) this.#fail(new Error(`worker thread exited with code ${code}`));
    });
    this.#threads.push(thread);
    return thread;
  }

  #settle(thread: Thread, reply: JobReply): void {
    thread.answers = (thread.answers + 1) | 0;
    const task = thread.tasks.get(reply.id) as Task;
    thread.tasks.delete(reply.id);
    if ("failure" in reply) task.reject(decodeError(reply.failure));
    else if (this.#failure === undefined) task.resolve(reply.output as never);
    else task.discard?.(reply.output as never);
    this.#dispatch();
  }

  #fail(cause: unknown): void {
    this.#drop(new TsfsaError("INTERNAL", `a worker thread died: ${(cause as Error).message}`, { cause }));
  }
}

/** Its thread may still use descriptors, or has sent some that are on their way. */
function isHolding({ exited, state, answers }: Thread): boolean {
  if (exited) return false;
  return Atomics.load(state, threadWords.holding) === 1 || Atomics.load(state, threadWords.answered) !== answers;
}
