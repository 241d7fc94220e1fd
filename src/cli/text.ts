// Text for people: rows and archinfo on standard output, all else on standard error. Every name and every foreign message is made harmless for
// a terminal here.

import { escapeName, formatDuration, formatRate, formatSize } from "../base/units.ts";
import type { Difference } from "../model/difference.ts";
import type { SnapshotsRecord } from "../model/snapshot.ts";
import type { Progress, Warning } from "../model/events.ts";
import type {
  DiffDetails,
  DirectorySum,
  ListedEntry,
  RestoreDetails,
  SalvageDetails,
  SaveDetails,
  VerifyDetails,
} from "../model/options.ts";
import { deviceTable } from "./devices.ts";
import { differenceText } from "./differences.ts";
import type { Failure } from "./failure.ts";
import { informationText } from "./information.ts";
import { RowTexts } from "./listing.ts";
import type { TextOutput } from "./output.ts";
import type { Presenter, Result, Run } from "./presenter.ts";
import type { ProgressLine } from "./progress.ts";
import type { Interruption } from "./signals.ts";

export class TextPresenter implements Presenter {
  readonly #run: Run;
  readonly #stdout: TextOutput;
  readonly #stderr: TextOutput;
  readonly #progress: ProgressLine | undefined;
  readonly #rows: RowTexts;
  #source = 0;

  /** progress: undefined where there is no terminal to draw on, or nothing to be shown. */
  constructor(run: Run, stdout: TextOutput, stderr: TextOutput, progress: ProgressLine | undefined) {
    this.#run = run;
    this.#rows = new RowTexts(run.form ?? { long: true, tree: false });
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.#progress = progress;
  }

  warning({ code, path, message, errno }: Warning): void {
    // An empty path is the root where an entry is spoken of, else none at all.
    const isOfEntry = code.startsWith("ENTRY_") || code.startsWith("ATTRIBUTE_");
    const where = path.length > 0 ? `${escapeName(path)}: ` : isOfEntry ? ".: " : "";
    this.#tell(`warning: ${where}${withErrno(printable(message), errno)}`);
  }

  progress(progress: Progress): void {
    this.#progress?.update(progress);
  }

  entry(path: Uint8Array): void {
    if (this.#run.verbose) this.#tell(path.length === 0 ? "." : escapeName(path));
  }

  step(message: string): void {
    if (this.#run.verbose || this.#run.dryRun) this.#tell(printable(message));
  }

  listed(entry: ListedEntry): void | Promise<void> {
    return this.#stdout.writeRow(`${this.#heading(entry.source)}${this.#rows.text(entry)}\n`);
  }

  summed({ source, path, bytes, entries }: DirectorySum): void | Promise<void> {
    const name = path.length === 0 ? "." : escapeName(path);
    return this.#stdout.writeRow(
      `${this.#heading(source)}${formatSize(bytes).padStart(10)} ${count(entries).padStart(11)} ${name}\n`,
    );
  }

  differs(difference: Difference): void | Promise<void> {
    return this.#stdout.writeRow(`${this.#heading(difference.source)}${differenceText(difference)}\n`);
  }

  /** As `ls` with several operands; the first needs no heading, it begins the list. */
  #heading(source: number): string {
    if (source === this.#source) return "";
    this.#source = source;
    return `\nsource ${source}:\n`;
  }

  plan(lines: readonly string[], asking: boolean): void {
    if (asking || !this.#run.quiet) for (const line of lines) this.#tell(printable(line));
  }

  interrupted(interruption: Interruption): void {
    this.#tell(`tsfsa: ${interruption.message}: undoing what was begun (once more: stop at once)`);
  }

  failed(failure: Failure): void {
    this.#tell(`tsfsa: ${withErrno(printable(failure.message), failure.errno)}`);
    if (failure.command !== undefined) this.#tell(`  the command was: ${failure.command.map(printable).join(" ")}`);
    for (const hint of failure.hints) this.#tell(`  ${printable(hint)}`.trimEnd());
    if (this.#run.verbose && failure.stack !== undefined) this.#tell(printable(failure.stack));
  }

  finished(result: Result, elapsedMs: number): void {
    this.#stdout.write(resultText(this.#run, result));
    if (!this.#run.quiet) for (const line of summaryLines(this.#run, result, elapsedMs)) this.#tell(line);
  }

  async close(exitStatus: number, warnings: number): Promise<void> {
    this.#progress?.clear();
    if (exitStatus === 1 && warnings > 0 && !this.#run.quiet)
      this.#tell(`${plural(warnings, "warning")}: exit status 1`);
    await this.#stdout.flush();
    await this.#stderr.flush();
  }

  #tell(line: string): void {
    this.#progress?.clear();
    this.#stderr.write(`${line}\n`);
  }
}

/** What was asked for, where it is not told while the command runs. */
function resultText(run: Run, result: Result): string {
  switch (result.command) {
    case "archinfo":
      return informationText(run.archive, result.outcome.details);
    case "probe":
      return deviceTable(result.outcome.details.devices);
    case "snapshot":
    case "cleanup":
      return joined(result.outcome.details.lines);
    case "restfs":
      return joined((result.outcome.details.plans ?? []).flatMap(({ lines }) => lines));
    default:
      return "";
  }
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function summaryLines(run: Run, result: Result, elapsedMs: number): string[] {
  switch (result.command) {
    case "savefs":
    case "saveimg":
    case "savedir":
      return saveLines(run, result.outcome.details, elapsedMs);
    case "restfs":
    case "restdir":
    case "restimg":
    case "extract":
      return restoreLines(run, result.outcome.details, elapsedMs);
    case "salvage":
      return salvageLines(run, result.outcome.details, elapsedMs);
    case "diff":
      return [diffLine(result.outcome.details)];
    case "verify":
      return [
        ...verifyLines(run, result.outcome.details, elapsedMs),
        ...(result.outcome.details.against === undefined ? [] : [diffLine(result.outcome.details.against)]),
      ];
    default:
      return []; // what was written is the result
  }
}

function saveLines(run: Run, { archive, archiveBytes, verified, summary }: SaveDetails, elapsedMs: number): string[] {
  const bytes = sum(summary.sources.map((source) => source.bytes));
  const content = `${plural(summary.entries, "entry", "entries")}, ${formatSize(bytes)}`;
  if (run.dryRun) return [`dry run: would save ${content}; nothing was written`];
  const share = archiveBytes > bytes ? "" : `, ${Math.round((100 * archiveBytes) / bytes)} %`;
  const name = archive === "-" ? "standard output" : shownPath(archive);
  const lines = [`saved ${content} to ${name} (${formatSize(archiveBytes)}${share}) in ${speed(bytes, elapsedMs)}`];
  for (const [id, source] of summary.sources.entries()) {
    const marks = (["absent", "changed", "damaged", "attributesLost"] as const).filter((mark) => source[mark] > 0);
    const words = marks.map((mark) => `${count(source[mark])} ${markWords[mark]}`);
    const which = summary.sources.length > 1 ? `source ${id}: ` : "";
    if (words.length > 0) lines.push(`${which}${words.join(", ")}`);
  }
  lines.push(...snapshotLines(summary.snapshot));
  if (verified) lines.push("read back and verified");
  return lines;
}

/** How the sources were frozen, as the archive records it. */
function snapshotLines(recorded: Readonly<Record<string, unknown>> | undefined): string[] {
  if (recorded === undefined) return [];
  const { volumes, oneInstant, consistency } = recorded as unknown as SnapshotsRecord;
  const lines = volumes.map(({ method, instant, frozenMs, usedBytes, storeBytes }) => {
    if (method === "none") return "no snapshot: it was not mounted read-write";
    const frozen = frozenMs === undefined ? "" : `, writers waited ${frozenMs} ms`;
    const store =
      usedBytes === undefined || storeBytes === undefined
        ? ""
        : `, ${formatSize(usedBytes)} of ${formatSize(storeBytes)} used`;
    return `${method} snapshot of ${instant}, valid after the last read${frozen}${store}`;
  });
  if (!oneInstant) lines.push("its parts show different instants");
  if (consistency === "crash")
    lines.push("programs that were writing find their data as after a power cut at that instant");
  return lines;
}

const markWords = {
  absent: "not saved",
  changed: "changed while being read",
  damaged: "with parts that could not be read",
  attributesLost: "without all of their attributes",
} as const;

function restoreLines(run: Run, { entries, bytes }: RestoreDetails, elapsedMs: number): string[] {
  if (run.dryRun) return ["dry run: nothing was written"];
  const content = `${plural(entries, "entry", "entries")}, ${formatSize(bytes)}`;
  return [`${run.command === "extract" ? "extracted" : "restored"} ${content} in ${speed(bytes, elapsedMs)}`];
}

function verifyLines(run: Run, { blocks, entries, bytes, damagedBlocks }: VerifyDetails, elapsedMs: number): string[] {
  const name = run.archive === "-" ? "standard input" : shownPath(run.archive);
  const content = `${plural(blocks, "block")}, ${plural(entries, "entry", "entries")}, ${formatSize(bytes)}`;
  if (damagedBlocks.length === 0) return [`${name}: no damage found in ${content}, in ${speed(bytes, elapsedMs)}`];
  return [`${name}: ${count(damagedBlocks.length)} of ${content} damaged: block ${damagedBlocks.join(", ")}`];
}

function salvageLines(run: Run, details: SalvageDetails, elapsedMs: number): string[] {
  const { entries, bytes, lostEntries, damagedBlocks, damagedRanges, archiveBytes } = details;
  const content = `${plural(entries, "entry", "entries")}, ${formatSize(bytes)}`;
  const written = archiveBytes === undefined ? "" : ` to a new archive of ${formatSize(archiveBytes)}`;
  const name = shownPath(run.archive);
  const lines = [`salvaged ${content}${written} in ${speed(bytes, elapsedMs)}`];
  if (damagedBlocks.length + damagedRanges.length + lostEntries === 0) return [...lines, `${name}: no damage found`];
  const damaged = formatSize(sum(damagedRanges.map(({ length }) => length)));
  const where = `${plural(damagedRanges.length, "damaged region")} (${damaged})`;
  const blocks = `${plural(damagedBlocks.length, "block")} damaged or missing`;
  return [...lines, `${name}: ${where}, ${blocks}, ${plural(lostEntries, "entry", "entries")} not whole, named above`];
}

function diffLine({ compared, removed, added, changed, content }: DiffDetails): string {
  const how = content === "digest" ? "" : " (digests of different kinds: contents were compared by size and mtime)";
  if (removed + added + changed === 0) return `no differences in ${plural(compared, "entry", "entries")}${how}`;
  const only = `${count(removed)} only in the archive, ${count(added)} not in it, ${count(changed)} changed`;
  return `${only}; ${plural(compared, "entry", "entries")} compared${how}`;
}

function speed(bytes: number, elapsedMs: number): string {
  const seconds = elapsedMs / 1000;
  // A rate over a moment, or of next to nothing, says nothing.
  const isTelling = seconds >= 0.5 && bytes >= 1_000_000;
  return isTelling ? `${formatDuration(seconds)}, ${formatRate(bytes / seconds)}` : formatDuration(seconds);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** With commas. Node's own formatter takes 20 ms to load. */
function count(number: number): string {
  return String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
}

function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function shownPath(path: string): string {
  return escapeName(Buffer.from(path));
}

function withErrno(message: string, errno: string | undefined): string {
  return errno === undefined || message.includes(errno) ? message : `${message} (${errno})`;
}

/** Foreign text without control and direction characters; further lines are indented below the first, empty ones left out. */
export function printable(text: string): string {
  return text
    .replaceAll(/[^\P{C}\n\t]|[\u2028\u2029]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
    .replaceAll(/\n\s*/g, "\n  ")
    .trimEnd();
}
