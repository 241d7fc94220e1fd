// Judges a copy of what the writer wrote: is it of one instant? The copy is read into a state, and the state must be what some prefix of the writer's
// operations leaves, exactly: nothing later without everything earlier.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  apply,
  completeState,
  counterText,
  fileContent,
  journalContent,
  logLine,
  operationsOf,
  pageBytes,
  pageContent,
  type State,
  volumes,
} from "./model.ts";

export interface Verdict {
  /** The last step of which anything is in the copy. */
  readonly step: number;
  /** Operations of that step which are in the copy; undefined: no prefix fits. */
  readonly operations: number | undefined;
  /** Why it is not of one instant; empty: it is. */
  readonly faults: readonly string[];
}

/** Judges the copies of the load's volumes, in the order the writer had them. */
export function judge(copies: readonly string[]): Verdict {
  const folder = (volume: number): string => copies[volume % copies.length] ?? "";
  const faults: string[] = [];
  const observed = observe(folder, faults);
  if (observed === undefined) return { step: 0, operations: undefined, faults };
  const step = observed.before;
  const expected = completeState(Math.max(0, step - 1));
  let nearest = differences(observed, expected);
  for (const [index, operation] of operationsOf(step).entries()) {
    apply(expected, step, operation);
    const found = differences(observed, expected);
    if (found.length === 0 && faults.length === 0) return { step, operations: index + 1, faults };
    if (found.length < nearest.length) nearest = found;
  }
  return { step, operations: undefined, faults: [...faults, ...nearest] };
}

function observe(folder: (volume: number) => string, faults: string[]): State | undefined {
  const read = (volume: number, path: string): Buffer => readFileSync(join(folder(volume), path));
  const counter = (path: string): number => {
    const text = read(volumes.counters, path).toString();
    if (counterText(Number(text)) !== text) faults.push(`${path} holds ${JSON.stringify(text.slice(0, 40))}`);
    return Number(text);
  };
  try {
    const before = counter("a-before");
    const log = observeLog(read(volumes.log, "log").toString(), faults);
    const files = observeFiles(join(folder(volumes.files), "files"), before, faults);
    const pages = observePages(read(volumes.database, "database"), faults);
    const journal = observeOne(join(folder(volumes.database), "database-journal"), before, journalContent, faults);
    return { before, log, ...files, pages, journal, after: counter("z-after") };
  } catch (error) {
    faults.push(`cannot be read: ${String(error)}`);
    return undefined;
  }
}

function observeLog(text: string, faults: string[]): number {
  const lines = text.split(/(?<=\n)/);
  const wrong = lines.findIndex((line, index) => line !== logLine(index + 1));
  if (wrong >= 0) faults.push(`line ${wrong + 1} of the log is ${JSON.stringify(lines[wrong]?.slice(0, 40))}`);
  return lines.length;
}

function observeFiles(folder: string, step: number, faults: string[]): Pick<State, "oldest" | "newest" | "fresh"> {
  const steps = readdirSync(folder)
    .filter((name) => name !== ".new")
    .map(Number)
    .toSorted((one, other) => one - other);
  for (const [index, at] of steps.entries()) {
    if (at !== (steps[0] ?? 0) + index) faults.push(`file ${(steps[0] ?? 0) + index} is missing, file ${at} is there`);
    if (!readFileSync(join(folder, String(at))).equals(fileContent(at)))
      faults.push(`file ${at} does not hold what was renamed into place`);
  }
  const fresh = observeOne(join(folder, ".new"), step, fileContent, faults);
  return { oldest: steps[0] ?? 1, newest: steps.at(-1) ?? 0, fresh };
}

function observePages(database: Buffer, faults: string[]): number[] {
  const pages: number[] = [];
  for (let page = 0; page * pageBytes < database.length; page += 1) {
    const content = database.subarray(page * pageBytes, (page + 1) * pageBytes);
    const step = Number(content.readBigUInt64LE(0));
    if (!content.equals(pageContent(page, step))) faults.push(`page ${page} of the database is torn`);
    pages.push(step);
  }
  return pages;
}

/** A file that is there only within a step. */
function observeOne(
  path: string,
  step: number,
  contentOf: (step: number) => Buffer,
  faults: string[],
): number | "empty" | undefined {
  if (!existsSync(path)) return undefined;
  const content = readFileSync(path);
  if (content.length === 0) return "empty";
  if (!content.equals(contentOf(step))) faults.push(`${path} is not of step ${step}`);
  return step;
}

function differences(observed: State, expected: State): string[] {
  const found: string[] = [];
  for (const key of ["before", "log", "oldest", "newest", "fresh", "journal", "after"] as const) {
    if (observed[key] !== expected[key]) found.push(`${key}: ${observed[key]} where ${expected[key]} belongs`);
  }
  for (const [page, step] of expected.pages.entries()) {
    if (observed.pages[page] !== step) found.push(`page ${page}: step ${observed.pages[page]} where ${step} belongs`);
  }
  return found;
}
