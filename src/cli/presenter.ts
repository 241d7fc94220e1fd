// What both ways of talking, text.ts and json.ts, have in common. A presenter shows; it decides nothing.

import type { ProbeDetails } from "../commands/probe.ts";
import type { Difference } from "../model/difference.ts";
import type { Reporter } from "../model/events.ts";
import type {
  ArchiveInformation,
  CatDetails,
  DiffDetails,
  DirectorySum,
  ListedEntry,
  Outcome,
  RestoreDetails,
  SalvageDetails,
  SaveDetails,
  SnapshotDetails,
  VerifyDetails,
} from "../model/options.ts";
import type { Failure } from "./failure.ts";
import type { CommandName, ListForm, OutputOptions } from "./invocation.ts";
import type { Interruption } from "./signals.ts";

/** How a command ended, with what only that command has to tell. */
export type Result =
  | { readonly command: "savefs" | "savedir" | "saveimg"; readonly outcome: Outcome<SaveDetails> }
  | { readonly command: "restfs" | "restdir" | "restimg" | "extract"; readonly outcome: Outcome<RestoreDetails> }
  | { readonly command: "cat"; readonly outcome: Outcome<CatDetails> }
  | { readonly command: "archinfo"; readonly outcome: Outcome<ArchiveInformation> }
  | { readonly command: "list"; readonly outcome: Outcome<{ readonly entries: number }> }
  | { readonly command: "du"; readonly outcome: Outcome<{ readonly entries: number; readonly bytes: number }> }
  | { readonly command: "diff"; readonly outcome: Outcome<DiffDetails> }
  | { readonly command: "verify"; readonly outcome: Outcome<VerifyDetails> }
  | { readonly command: "salvage"; readonly outcome: Outcome<SalvageDetails> }
  | { readonly command: "probe"; readonly outcome: Outcome<ProbeDetails> }
  | { readonly command: "snapshot"; readonly outcome: Outcome<SnapshotDetails> }
  | { readonly command: "cleanup"; readonly outcome: Outcome<SnapshotDetails> };

/** What a presenter must know of the run it shows. */
export interface Run extends OutputOptions {
  /** undefined: the command line was refused. */
  readonly command: CommandName | undefined;
  /** As the user gave it. */
  readonly archive: string;
  readonly dryRun: boolean;
  /** Of list. */
  readonly form?: ListForm;
}

export interface Presenter extends Reporter {
  /** Rows go to standard output; the promise asks to be waited for. */
  listed(entry: ListedEntry): void | Promise<void>;
  /** As listed(), for du. */
  summed(sum: DirectorySum): void | Promise<void>;
  /** As listed(), for what diff finds. */
  differs(difference: Difference): void | Promise<void>;
  /** What is about to be done; `asking`: a person is asked next, and must see it. */
  plan(lines: readonly string[], asking: boolean): void;
  /** A first signal came; the command is undoing what it made. */
  interrupted(interruption: Interruption): void;
  failed(failure: Failure): void;
  /** The command ran to its end, with status 0 or 1. */
  finished(result: Result, elapsedMs: number): void;
  /** The last word, whatever happened. Settles when all output has left. */
  close(exitStatus: number, warnings: number): Promise<void>;
}
