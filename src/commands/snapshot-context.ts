// What the commands that make snapshots give the front end: how it talks, and which files are written meanwhile; and saving from it.

import { dirname, resolve } from "node:path";
import type { CommandContext, Outcome, SaveDetails, SaveOptions } from "../model/options.ts";
import type { SnapshotOptions } from "../model/snapshot.ts";
import { type SessionContext, SnapshotSession } from "../snapshot/session.ts";

/** Saves from snapshots of `paths`. They are given back whatever happens, and what failed because one was lost is told as that. */
export async function saveFromSnapshots(
  { archive, allowRw }: Pick<SaveOptions, "archive" | "allowRw">,
  paths: readonly string[],
  snapshot: SnapshotOptions,
  context: CommandContext,
  save: (session: SnapshotSession, context: CommandContext) => Promise<Outcome<SaveDetails>>,
): Promise<Outcome<SaveDetails>> {
  const archiveFolder = archive === "-" ? [] : [dirname(resolve(archive))];
  const { session: asked, warnings } = sessionContext(context, allowRw, archiveFolder);
  const session = await SnapshotSession.open(paths, snapshot, asked);
  let outcome: Outcome<SaveDetails> | undefined;
  try {
    outcome = await save(session, { ...context, signal: AbortSignal.any([context.signal, session.signal]) });
  } catch (error) {
    throw await session.causeOf(error);
  } finally {
    await session.close(outcome === undefined);
  }
  return warnings() === 0 ? outcome : { ...outcome, status: 1, warnings: outcome.warnings + warnings() };
}

/** warnings(): how many were told that end the run with status 1. What was kept on request is told, too, and is none. */
export function sessionContext(
  { reporter, signal }: CommandContext,
  allowRw: boolean,
  archiveFolder: readonly string[],
): { readonly session: SessionContext; readonly warnings: () => number } {
  let warnings = 0;
  const session: SessionContext = {
    signal,
    step: (message) => reporter.step(message),
    warn: (code, message) => {
      if (code !== "SNAPSHOT_KEPT") warnings++;
      reporter.warning({ code, path: new Uint8Array(0), message });
    },
    // Standard output and error may be log files.
    written: [...archiveFolder, "/proc/self/fd/1", "/proc/self/fd/2"],
    allowRw,
  };
  return { session, warnings: () => warnings };
}
