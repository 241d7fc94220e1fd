// verify, restdir, salvage and list in this process and without threads, as their commands do it: for tests that run thousands of archives.

import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { ArchiveReader } from "../../src/archive/reader.ts";
import { exitStatusOf, type TsfsaError } from "../../src/base/errors.ts";
import { extract as extractCommand } from "../../src/commands/extract.ts";
import { list as listCommand } from "../../src/commands/list.ts";
import { openBelow } from "../../src/commands/destination.ts";
import { throwIfDamaged } from "../../src/commands/outcome.ts";
import { salvage as salvageCommand } from "../../src/commands/salvage.ts";
import { prefixBytes } from "../../src/format/head.ts";
import type { Warning } from "../../src/model/events.ts";
import type { CommandContext, SalvageOptions } from "../../src/model/options.ts";
import { restoreJobs } from "../../src/restore/jobs.ts";
import { type RestoreRequest, restoreArchive, type RunContext, verifyArchive } from "../../src/restore/restore.ts";
import type { RestorePool } from "../../src/restore/run-options.ts";

export interface InlineResult {
  /** The exit status that the command would end with. */
  readonly status: number;
  readonly error: TsfsaError | undefined;
  readonly warnings: readonly Warning[];
  /** Paths that warnings name, latin1. */
  readonly named: ReadonlySet<string>;
}

const startPool: NonNullable<RunContext["startPool"]> = (data) => {
  const jobs = restoreJobs(data);
  const run = async (kind: keyof typeof jobs, input: never): Promise<unknown> => (await jobs[kind](input)).output;
  return { workers: 1, run, close: () => Promise.resolve() } as unknown as RestorePool;
};

export function inlineVerify(archive: string, signal?: AbortSignal): Promise<InlineResult> {
  return collect(signal, async (context, warnings) => {
    const reader = await ArchiveReader.open(archive, context.signal);
    try {
      const result = await verifyArchive(reader, 1, { ...context, startPool });
      const flaw = reader.endFlaw(result.entries);
      if (flaw !== undefined) context.reporter.warning({ code: "ARCHIVE_PART_LOST", path: noPath, message: flaw });
      throwIfDamaged(archive, result, warnings.length, "");
    } finally {
      await reader.close();
    }
  });
}

export function inlineRestore(
  archive: string,
  destination: string,
  more: Partial<RestoreRequest> = {},
  signal?: AbortSignal,
): Promise<InlineResult> {
  return collect(signal, async (context) => {
    const reader = await ArchiveReader.open(archive, context.signal);
    mkdirSync(destination, { recursive: true });
    const below = openSync(destination, constants.O_RDONLY | constants.O_DIRECTORY);
    const rootFds: number[] = [];
    try {
      for (const source of reader.head.sources) {
        const names = Buffer.from(prefixBytes(source)).toString("latin1").split("/");
        const components = names
          .filter((name) => name !== "" && name !== ".")
          .map((name) => Buffer.from(name, "latin1"));
        rootFds.push(openBelow(below, components));
      }
      const selection = { empty: true, selects: () => true, mayHold: () => true };
      const plain = { workers: 1, selection, stripComponents: 0, restoreRoots: true, overwrite: false };
      const result = await restoreArchive(reader, { rootFds, ...plain, ...more }, { ...context, startPool });
      throwIfDamaged(archive, result, reader.damages.length, "");
    } finally {
      for (const fd of [below, ...rootFds]) closeSync(fd);
      await reader.close();
    }
  });
}

/** salvage --to or --out. */
export function inlineSalvage(
  archive: string,
  to: SalvageOptions["to"],
  more: Partial<SalvageOptions> = {},
): Promise<InlineResult> {
  return collect(undefined, async (context) => {
    const command = { ...context, confirm: () => Promise.resolve(true), environment: {} } satisfies CommandContext;
    const options = { archive, to, keepDamaged: false, workers: 1, overwrite: false, ...more };
    await salvageCommand(options, command, { startPool });
  });
}

/** extract, of everything. */
export function inlineExtract(archive: string, destination: string, overwrite: boolean): Promise<InlineResult> {
  return collect(undefined, async (context) => {
    const command = { ...context, confirm: () => Promise.resolve(true), environment: {} } satisfies CommandContext;
    const what = { archive, patterns: ["*"], destination, source: undefined, asFiles: false };
    const options = { ...what, workers: 1, overwrite, strict: false };
    await extractCommand(options, command);
  });
}

/** Paths that list shows, latin1. */
export async function inlineList(archive: string): Promise<InlineResult & { readonly paths: readonly string[] }> {
  const paths: string[] = [];
  const result = await collect(undefined, async (context) => {
    const command = { ...context, confirm: () => Promise.resolve(true), environment: {} } satisfies CommandContext;
    const options = { archive, patterns: [] } as unknown as Parameters<typeof listCommand>[0];
    await listCommand(options, command, (entry) => void paths.push(Buffer.from(entry.path).toString("latin1")));
  });
  return { ...result, paths };
}

const noPath = new Uint8Array(0);

async function collect(
  signal: AbortSignal | undefined,
  command: (context: RunContext, warnings: readonly Warning[]) => Promise<void>,
): Promise<InlineResult> {
  const warnings: Warning[] = [];
  const reporter = {
    warning: (warning: Warning) => void warnings.push(warning),
    progress: () => {},
    step: () => {},
  };
  let error: unknown;
  try {
    await command({ reporter, signal: signal ?? new AbortController().signal }, warnings);
  } catch (thrown) {
    error = thrown;
  }
  if (error !== undefined && (error as Error).name !== "TsfsaError" && signal?.aborted !== true) throw error as Error;
  const named = new Set(warnings.map(({ path }) => Buffer.from(path).toString("latin1").replace(/\/$/, "")));
  const status = error === undefined ? (warnings.length > 0 ? 1 : 0) : exitStatusOf(error);
  return { status, error: error as TsfsaError | undefined, warnings, named };
}
