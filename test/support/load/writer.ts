// The writer of a live load, a program of its own (a frozen file system stops it in the kernel, where no test may stand):
//   node writer.js '{"volumes":[…],"progress":"…","sync":false,"pauseMs":0}'
// Goes on with the step after the last one until it is killed. Each finished step is told as a line `step milliseconds` in the progress file, which lies elsewhere.

import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  counterText,
  fileContent,
  journalContent,
  logLine,
  type Operation,
  operationsOf,
  pageBytes,
  pageContent,
  pageCount,
  windowLength,
} from "./model.ts";

export interface WriterOptions {
  /** Folders, one on each volume. */
  readonly volumes: readonly string[];
  /** File for the finished steps, on a file system that is not frozen. */
  readonly progress: string;
  /** Syncs each operation, as a program that wants to survive a power cut. Without, only the order of calls counts. */
  readonly sync: boolean;
  readonly pauseMs: number;
}

const options = JSON.parse(process.argv[2] ?? "") as WriterOptions;
const folder = (volume: number): string => options.volumes[volume % options.volumes.length] ?? "";
const clock = new Int32Array(new SharedArrayBuffer(4));

main();

function main(): void {
  const counter = join(folder(0), "a-before");
  if (!existsSync(counter)) prepare();
  // Goes on only where the last step was finished: a writer that was killed within a step has no successor.
  for (let step = Number(readFileSync(counter, "utf8")) + 1; ; step += 1) {
    for (const operation of operationsOf(step)) perform(step, operation);
    appendFileSync(options.progress, `${step} ${Date.now()}\n`);
    if (options.pauseMs > 0) Atomics.wait(clock, 0, 0, options.pauseMs);
  }
}

/** The state before step 1. The counter comes last: who waits for it may begin. */
function prepare(): void {
  mkdirSync(join(folder(2), "files"));
  overwrite(
    join(folder(3), "database"),
    Buffer.concat(Array.from({ length: pageCount }, (_, page) => pageContent(page, 0))),
  );
  overwrite(join(folder(1), "log"), "");
  overwrite(join(folder(0), "z-after"), counterText(0));
  overwrite(join(folder(0), "a-before"), counterText(0));
}

function perform(step: number, { name, volume, page }: Operation): void {
  const at = (path: string): string => join(folder(volume), path);
  switch (name) {
    case "before":
      overwrite(at("a-before"), counterText(step));
      break;
    case "log":
      write(at("log"), "a", logLine(step), undefined);
      break;
    case "create":
      write(at("files/.new"), "wx", "", undefined);
      break;
    case "write":
      overwrite(at("files/.new"), fileContent(step));
      break;
    case "rename":
      renameSync(at("files/.new"), at(`files/${step}`));
      syncFolder(at("files"));
      break;
    case "unlink":
      unlinkSync(at(`files/${step - windowLength}`));
      syncFolder(at("files"));
      break;
    case "create-journal":
      write(at("database-journal"), "wx", "", undefined);
      syncFolder(at("."));
      break;
    case "write-journal":
      overwrite(at("database-journal"), journalContent(step));
      break;
    case "page":
      overwrite(at("database"), pageContent(page ?? 0, step), (page ?? 0) * pageBytes);
      break;
    case "unlink-journal":
      unlinkSync(at("database-journal"));
      syncFolder(at("."));
      break;
    case "after":
      overwrite(at("z-after"), counterText(step));
      break;
  }
}

/** Writes in place with one system call, making the file where there is none. */
function overwrite(path: string, content: string | Buffer, offset = 0): void {
  write(path, existsSync(path) ? "r+" : "w", content, offset);
}

function write(path: string, flags: string, content: string | Buffer, offset: number | undefined): void {
  const bytes = Buffer.from(content);
  const file = openSync(path, flags);
  try {
    if (bytes.length > 0 && writeSync(file, bytes, 0, bytes.length, offset) !== bytes.length)
      throw new Error(`short write to ${path}`);
    if (options.sync) fsyncSync(file);
  } finally {
    closeSync(file);
  }
  if (options.sync && flags === "wx") syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  if (!options.sync) return;
  const handle = openSync(path, "r");
  fsyncSync(handle);
  closeSync(handle);
}
