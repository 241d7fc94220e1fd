// --json: one object a line, each with a `type`, the last one always `summary` with the exit status. Numbers are integers, what passes 2^53
// is a string; bytes that are a name stand in `path` or, where they are not UTF-8, `pathBase64`; other bytes in hex.

import { decodeUtf8, toBase64 } from "../base/bytes.ts";
import { pathJson } from "../base/units.ts";
import type { Difference } from "../model/difference.ts";
import type { Progress, Warning } from "../model/events.ts";
import type { DirectorySum, ListedEntry, TargetPlan } from "../model/options.ts";
import { deviceJson } from "./devices.ts";
import type { Failure } from "./failure.ts";
import { rowJson } from "./listing.ts";
import type { TextOutput } from "./output.ts";
import type { Presenter, Result, Run } from "./presenter.ts";
import type { Interruption } from "./signals.ts";

const progressIntervalMs = 500;

export class JsonPresenter implements Presenter {
  readonly #run: Run;
  readonly #output: TextOutput;
  readonly #now: () => number;
  #progressMs = Number.NEGATIVE_INFINITY;
  #details: object = {};
  readonly #startedMs: number;

  constructor(run: Run, output: TextOutput, now: () => number) {
    this.#run = run;
    this.#output = output;
    this.#now = now;
    this.#startedMs = now();
  }

  warning({ code, path, message, errno }: Warning): void {
    this.#put({ type: "warning", code, ...pathJson(path), message, errno });
  }

  progress(progress: Progress): void {
    const now = this.#now();
    if (this.#run.quiet || now - this.#progressMs < progressIntervalMs) return;
    this.#progressMs = now;
    this.#put({ type: "progress", ...progress });
  }

  entry(path: Uint8Array): void {
    if (this.#run.verbose) this.#put({ type: "entry", ...pathJson(path) });
  }

  step(message: string): void {
    if (this.#run.verbose || this.#run.dryRun) this.#put({ type: "step", message });
  }

  listed(entry: ListedEntry): void | Promise<void> {
    // Nothing in it needs `plain`, which takes its time.
    return this.#output.writeRow(`${JSON.stringify(rowJson(entry))}\n`);
  }

  summed({ path, ...sum }: DirectorySum): void | Promise<void> {
    return this.#output.writeRow(line({ type: "directory", ...pathJson(path), ...sum }));
  }

  differs({ change, source, path, fields }: Difference): void | Promise<void> {
    const shown = fields.map(({ name, ...field }) => ({ ...field, ...(name === undefined ? {} : nameJson(name)) }));
    return this.#output.writeRow(
      line({ type: "difference", change, source, ...pathJson(path), ...(shown.length === 0 ? {} : { fields: shown }) }),
    );
  }

  plan(lines: readonly string[]): void {
    this.#put({ type: "plan", lines });
  }

  interrupted(interruption: Interruption): void {
    this.#put({ type: "error", code: "INTERRUPTED", message: interruption.message, signal: interruption.signal });
  }

  failed({ code, message, hints, path, offsetBytes, errno, command, stack }: Failure): void {
    const where = path === undefined ? {} : typeof path === "string" ? { path } : pathJson(path);
    const shown = this.#run.verbose ? stack : undefined;
    this.#put({ type: "error", code, message, hints, ...where, offsetBytes, errno, command, stack: shown });
  }

  finished(result: Result): void {
    if (result.command === "archinfo") this.#put({ type: "archive", ...result.outcome.details });
    if (result.command === "probe") for (const device of result.outcome.details.devices) this.#put(deviceJson(device));
    if (result.command === "restfs") for (const plan of result.outcome.details.plans ?? []) this.#put(planJson(plan));
    this.#details = detailsOf(result);
  }

  async close(status: number, warnings: number): Promise<void> {
    const elapsedMs = Math.round(this.#now() - this.#startedMs);
    this.#put({ type: "summary", command: this.#run.command, status, warnings, ...this.#details, elapsedMs });
    await this.#output.flush();
  }

  #put(value: object): void {
    this.#output.write(line(value));
  }
}

/** Words of command lines and the label that are not UTF-8 stand as `{"base64": …}`. */
function planJson({ commands, label, ...plan }: TargetPlan): object {
  return { type: "plan", ...plan, label: textJson(label), commands: commands.map((argv) => argv.map(textJson)) };
}

function textJson(value: string | Uint8Array): string | object {
  return typeof value === "string" ? value : (decodeUtf8(value) ?? { base64: toBase64(value) });
}

function nameJson(bytes: Uint8Array): object {
  const found = pathJson(bytes);
  return "path" in found ? { name: found.path } : { nameBase64: found.pathBase64 };
}

/** What the summary says besides status and warnings. */
function detailsOf(result: Result): object {
  if (result.command === "archinfo") return {};
  if (result.command === "probe") return { devices: result.outcome.details.devices.length };
  if (result.command === "snapshot" || result.command === "cleanup") {
    const { snapshots, plans } = result.outcome.details;
    return { snapshots, plans };
  }
  if (result.command === "restfs") {
    const { plans: _plans, ...details } = result.outcome.details;
    return details;
  }
  if (!("summary" in result.outcome.details)) return result.outcome.details;
  const { archive, archiveBytes, verified, head, summary } = result.outcome.details;
  const { archiveId, label, codec, level, blockSize, digest } = head;
  const { entries, blocks } = summary;
  const sources = summary.sources.map((totals, id) => ({ id, origin: head.sources[id]?.origin, ...totals }));
  return {
    archive,
    archiveId,
    label,
    codec,
    level,
    blockSize,
    digest,
    archiveBytes,
    blocks,
    entries,
    verified,
    sources,
    snapshot: summary.snapshot,
  };
}

function line(value: object): string {
  return `${JSON.stringify(value, plain)}\n`;
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex");
  return value;
}
