// A bounded pool of worker threads. Jobs start in the order they were given (urgent ones first), finish in any order; who needs
// order awaits the promises in order. Threads start only when there is work that no idle thread can take.
// Invariant: a thread that dies or throws outside a job fails every job it held, and every later job, with its cause.

import { Worker } from "node:worker_threads";
import { TsfsaError } from "../base/errors.ts";
import { decodeError, type JobMap, type JobReply, type JobRequest } from "./protocol.ts";

export interface PoolOptions {
  /** Entry file of the worker: calls serveJobs(). */
  readonly url: URL;
  readonly workers: number;
  readonly workerData?: unknown;
}

interface Task {
  readonly request: JobRequest;
  readonly transfer: ArrayBuffer[];
  readonly resolve: (output: never) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly tasks: Map<number, Task>;
}

/** Jobs one thread holds at a time: the one it works on, and the next, so that it never waits for a message. */
const jobsPerThread = 2;

export class WorkerPool<Jobs extends JobMap<Jobs>> {
  readonly #options: PoolOptions;
  readonly #threads: Thread[] = [];
  readonly #urgent: Task[] = [];
  readonly #queue: Task[] = [];
  #nextId = 1;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get workers(): number {
    return this.#options.workers;
  }

  /** Runs one job. Rejects with the job's TsfsaError, or INTERNAL when its thread died. */
  run<Kind extends keyof Jobs & string>(
    kind: Kind,
    input: Jobs[Kind]["input"],
    options: { readonly transfer?: ArrayBuffer[]; readonly urgent?: boolean } = {},
  ): Promise<Jobs[Kind]["output"]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(new TsfsaError("INTERNAL", "the worker pool is closed"));
    return new Promise((resolve, reject) => {
      const request = { id: this.#nextId++, kind, input };
      const task: Task = { request, transfer: options.transfer ?? [], resolve, reject };
      (options.urgent === true ? this.#urgent : this.#queue).push(task);
      this.#dispatch();
    });
  }

  /** Ends all threads. Jobs still running are dropped: their promises reject. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const error = new TsfsaError("INTERNAL", "the worker pool was closed while jobs were running");
    for (const thread of this.#threads) this.#dropTasks(thread, error);
    for (const task of [...this.#urgent.splice(0), ...this.#queue.splice(0)]) task.reject(error);
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
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
    const worker = new Worker(this.#options.url, { workerData: this.#options.workerData, stdout: true, stderr: true });
    const thread: Thread = { worker, tasks: new Map() };
    worker.on("message", (reply: JobReply) => this.#settle(thread, reply));
    worker.on("error", (error) => this.#fail(thread, error));
    worker.on("messageerror", (error) => this.#fail(thread, error));
    worker.on("exit", (code) => {
      if (!this.#closed) this.#fail(thread, new Error(`worker thread exited with code ${code}`));
    });
    this.#threads.push(thread);
    return thread;
  }

  #settle(thread: Thread, reply: JobReply): void {
    const task = thread.tasks.get(reply.id);
    if (task === undefined) return;
    thread.tasks.delete(reply.id);
    if ("failure" in reply) task.reject(decodeError(reply.failure));
    else task.resolve(reply.output as never);
    this.#dispatch();
  }

  #fail(thread: Thread, cause: unknown): void {
    this.#failure ??= new TsfsaError("INTERNAL", `a worker thread died: ${String((cause as Error).message)}`, {
      cause,
    });
    this.#dropTasks(thread, this.#failure);
    for (const task of [...this.#urgent.splice(0), ...this.#queue.splice(0)]) task.reject(this.#failure);
  }

  #dropTasks(thread: Thread, error: Error): void {
    for (const task of thread.tasks.values()) task.reject(error);
    thread.tasks.clear();
  }
}
