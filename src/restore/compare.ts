// Comparing an archive with live trees: workers, directories and the run put together.

import type { GroupSource } from "../archive/reader.ts";
import { prefixBytes } from "../format/head.ts";
import type { CompareOptions, Difference } from "../model/difference.ts";
import { addon } from "../sys/addon.ts";
import { directoryCapacity, DirectoryTable } from "../sys/directory.ts";
import { check, errnoName } from "../sys/errors.ts";
import { type CompareResult, CompareRun } from "./compare-run.ts";
import { LiveTree } from "./live-tree.ts";
import { type RunContext, startThreads } from "./restore.ts";
import type { Selection } from "./tree.ts";

export interface CompareRequest {
  /** Live root of each source, by source id (its descriptor stays the caller's); undefined: it is not compared. */
  readonly rootFds: readonly (number | undefined)[];
  readonly workers: number;
  readonly selection: Selection;
  readonly compare: CompareOptions;
  readonly onDifference: (difference: Difference) => void | Promise<void>;
}

/** Tells every difference, in the archive's order. Damage is told as warnings and in the result. */
export async function compareArchive(
  reader: GroupSource,
  request: CompareRequest,
  context: RunContext,
): Promise<CompareResult> {
  const { rootFds, workers, selection, compare, onDifference } = request;
  const { reporter, signal, startPool = startThreads } = context;
  const { codec, digest, sources } = reader.head;
  const table = new DirectoryTable(directoryCapacity());
  const policy = { overwrite: false, clearInheritedAcl: false, uid: 0, gid: 0 };
  const pool = startPool({ codec, digest, policy }, workers, signal);
  let run: CompareRun | undefined;
  try {
    const tree = new LiveTree({
      prefixes: sources.map(prefixBytes),
      roots: rootFds.map((fd) => (fd === undefined ? undefined : table.root(check(addon().duplicate(fd), "dup")))),
      table,
      selection,
      onUnreadable: (path, errno) => {
        const name = errnoName(errno);
        const message = `what is below it could not be compared: ${name}`;
        reporter.warning({ code: "ENTRY_UNREADABLE", path, message, errno: name });
      },
    });
    run = new CompareRun({
      reader,
      pool,
      tree,
      isWhole: selection.empty,
      compare,
      onDifference,
      reporter,
      signal,
    });
    return await run.run();
  } finally {
    await pool.close();
    run?.abandon();
    table.close();
  }
}
