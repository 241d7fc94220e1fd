// What the writer of a live load does, step by step, as values: the order of its operations and what each leaves. The writer carries them out on
// disk, the judge looks for the one prefix of them that a copy holds. A copy of one instant holds exactly one.
//
// Step n, in this order, spread over the volumes in turn: counter `a-before` = n · line n of `log` · file n, written as `files/.new` and renamed into
// place · file n-32 removed · pages of a database changed under a rollback journal · counter `z-after` = n.

export const windowLength = 32;
export const pageBytes = 4096;
export const pageCount = 64;
export const pagesPerStep = 3;

/** What is on disk. Numbers are steps; 0: nothing yet. */
export interface State {
  before: number;
  /** Lines of the log. */
  log: number;
  /** Files in place, oldest and newest step: always without a gap. */
  oldest: number;
  newest: number;
  /** `files/.new`: absent, made but empty, or with the content of a step. */
  fresh: number | "empty" | undefined;
  /** Journal: absent, made but empty, or with the old pages of a step. */
  journal: number | "empty" | undefined;
  /** The step that wrote each page last. */
  pages: number[];
  after: number;
}

/** One system call's worth of change. `volume` chooses among the load's volumes, modulo their number. */
export interface Operation {
  readonly name: OperationName;
  readonly volume: number;
  /** Page of the database, for `page`. */
  readonly page?: number;
}

export type OperationName =
  | "before"
  | "log"
  | "create"
  | "write"
  | "rename"
  | "unlink"
  | "create-journal"
  | "write-journal"
  | "page"
  | "unlink-journal"
  | "after";

export const volumes = { counters: 0, log: 1, files: 2, database: 3 } as const;

/** The operations of step n, in order. */
export function operationsOf(step: number): Operation[] {
  const operations: Operation[] = [
    { name: "before", volume: volumes.counters },
    { name: "log", volume: volumes.log },
    { name: "create", volume: volumes.files },
    { name: "write", volume: volumes.files },
    { name: "rename", volume: volumes.files },
  ];
  if (step > windowLength) operations.push({ name: "unlink", volume: volumes.files });
  operations.push({ name: "create-journal", volume: volumes.database });
  operations.push({ name: "write-journal", volume: volumes.database });
  for (const page of pagesOf(step)) operations.push({ name: "page", volume: volumes.database, page });
  operations.push({ name: "unlink-journal", volume: volumes.database });
  operations.push({ name: "after", volume: volumes.counters });
  return operations;
}

/** Pages that step n changes, all different. */
export function pagesOf(step: number): number[] {
  return Array.from({ length: pagesPerStep }, (_, index) => (step * 7 + index * 23) % pageCount);
}

/** The state when steps 1 to n are complete and nothing of n+1 is done. */
export function completeState(step: number): State {
  const pages = Array.from({ length: pageCount }, () => 0);
  // Each page comes again within pageCount steps.
  for (let at = Math.max(1, step - pageCount); at <= step; at += 1) for (const page of pagesOf(at)) pages[page] = at;
  return {
    before: step,
    log: step,
    oldest: Math.max(1, step - windowLength + 1),
    newest: step,
    fresh: undefined,
    journal: undefined,
    pages,
    after: step,
  };
}

/** Does one operation of step n to the state. */
export function apply(state: State, step: number, { name, page }: Operation): void {
  switch (name) {
    case "before":
      state.before = step;
      break;
    case "log":
      state.log = step;
      break;
    case "create":
      state.fresh = "empty";
      break;
    case "write":
      state.fresh = step;
      break;
    case "rename":
      state.fresh = undefined;
      state.newest = step;
      break;
    case "unlink":
      state.oldest = step - windowLength + 1;
      break;
    case "create-journal":
      state.journal = "empty";
      break;
    case "write-journal":
      state.journal = step;
      break;
    case "page":
      state.pages[page ?? 0] = step;
      break;
    case "unlink-journal":
      state.journal = undefined;
      break;
    case "after":
      state.after = step;
      break;
  }
}

export function counterText(step: number): string {
  return String(step).padStart(20, "0");
}

export function logLine(step: number): string {
  return `${step} ${checksum(step)}\n`;
}

/** The content of file n: 1 to 16 KiB that only step n has. */
export function fileContent(step: number): Buffer {
  return pattern(step, 1024 + (checksum(step) % 15_360));
}

/** Page `page` as step n writes it: the step in its first 8 bytes, the rest follows from step and page. */
export function pageContent(page: number, step: number): Buffer {
  const content = pattern(step * pageCount + page, pageBytes);
  content.writeBigUInt64LE(BigInt(step), 0);
  return content;
}

/** The rollback journal of step n: its step, then number and old content of each page it is about to change. */
export function journalContent(step: number): Buffer {
  const { pages } = completeState(step - 1);
  const head = Buffer.from(counterText(step));
  return Buffer.concat([head, ...pagesOf(step).map((page) => pageContent(page, pages[page] ?? 0))]);
}

/** Bytes that follow from a number, without long runs that a compressor would swallow. */
function pattern(seed: number, length: number): Buffer {
  const content = Buffer.allocUnsafe(length);
  let word = checksum(seed);
  for (let at = 0; at < length; at += 1) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    content[at] = word >>> 24;
  }
  return content;
}

/** A well-mixed 32-bit number (finalizer of MurmurHash3). */
function checksum(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
