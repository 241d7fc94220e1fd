// The pool of a save, with or without threads: starting one takes longer than saving a small tree. The root is scanned in this thread; when that
// scan shows a small tree whole, the rest is done here, too. Invariant: where a job runs never shows in the archive.

import { viewOf } from "../base/bytes.ts";
import type { JobOptions, WorkerPool } from "../pipeline/pool.ts";
import type { JobHandlers } from "../pipeline/protocol.ts";
import { readInt64, statLayout } from "../sys/layout.ts";
import type { SaveJobs, SavePool, ScanInput, ScanOutput } from "./protocol.ts";

/** A tree with more entries or bytes is saved by threads. */
const smallEntries = 500;
const smallBytes = 1024 * 1024;

export class SmallSavePool implements SavePool {
  readonly #startThreads: () => Promise<WorkerPool<SaveJobs>>;
  readonly #signal: AbortSignal;
  readonly #here: JobHandlers<SaveJobs>;
  #threads: Promise<WorkerPool<SaveJobs>> | undefined;
  #isSmall = false;

  /** `here`: for jobs in this thread. */
  constructor(here: JobHandlers<SaveJobs>, signal: AbortSignal, startThreads: () => Promise<WorkerPool<SaveJobs>>) {
    this.#startThreads = startThreads;
    this.#signal = signal;
    this.#here = here;
  }

  async run<Kind extends keyof SaveJobs>(
    kind: Kind,
    input: SaveJobs[Kind]["input"],
    options: JobOptions<SaveJobs[Kind]["output"]> = {},
  ): Promise<SaveJobs[Kind]["output"]> {
    this.#signal.throwIfAborted();
    if (kind === "scan" && isRootScan(input as ScanInput) && this.#threads === undefined) {
      const { output } = await this.#here.scan(input as ScanInput);
      this.#isSmall = isSmall(output);
      return output;
    }
    if (this.#isSmall) return (await this.#here[kind](input)).output;
    return (await (this.#threads ??= this.#startThreads())).run(kind, input, options);
  }

  async close(): Promise<void> {
    await (await this.#threads)?.close();
  }
}

function isRootScan({ names }: ScanInput): boolean {
  return names.length === 0;
}

/** True when the scan found all there is (a scan ends at its budget, which is larger), and it is little. */
function isSmall({ directories, stats, maps }: ScanOutput): boolean {
  const entries = directories.reduce((sum, { count }) => sum + count, directories.length);
  if (entries > smallEntries || directories.length > smallEntries / 4 || maps.length > 0) return false;
  const view = viewOf(stats);
  let bytes = 0;
  for (let at = 0; at < stats.length; at += statLayout.size) bytes += readInt64(view, at + statLayout.sizeBytes);
  return bytes <= smallBytes;
}
