// What one command line asks for: the command with its options, and how to talk while it runs. Made by program.ts, run by run.ts.

import type {
  CatOptions,
  DiffOptions,
  DuOptions,
  ExtractOptions,
  ListOptions,
  ProbeOptions,
  RestdirOptions,
  RestimgOptions,
  RestfsOptions,
  SalvageOptions,
  SaveimgOptions,
  SaveOptions,
  SnapshotCommandOptions,
  VerifyOptions,
} from "../model/options.ts";

/** How to talk; common to all commands. */
export interface OutputOptions {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
}

/** How rows are shown: `long` as by ls -l, `tree` indented below their directories. */
export interface ListForm {
  readonly long: boolean;
  readonly tree: boolean;
}

export type Request =
  | { readonly command: "savefs"; readonly options: SaveOptions }
  | { readonly command: "savedir"; readonly options: SaveOptions }
  | { readonly command: "saveimg"; readonly options: SaveimgOptions }
  | { readonly command: "restimg"; readonly options: RestimgOptions }
  | { readonly command: "restfs"; readonly options: RestfsOptions }
  | { readonly command: "restdir"; readonly options: RestdirOptions }
  | { readonly command: "extract"; readonly options: ExtractOptions }
  | { readonly command: "cat"; readonly options: CatOptions }
  | { readonly command: "archinfo"; readonly options: { readonly archive: string } }
  | { readonly command: "list"; readonly options: ListOptions; readonly form: ListForm }
  | { readonly command: "du"; readonly options: DuOptions }
  | { readonly command: "diff"; readonly options: DiffOptions }
  | { readonly command: "verify"; readonly options: VerifyOptions }
  | { readonly command: "salvage"; readonly options: SalvageOptions }
  | { readonly command: "probe"; readonly options: ProbeOptions }
  | { readonly command: "snapshot"; readonly options: SnapshotCommandOptions }
  | { readonly command: "cleanup"; readonly options: object };

/** The archive that a command reads or writes; empty: it has none. */
export function archiveOf({ options }: Request): string {
  return "archive" in options ? options.archive : "";
}

export type CommandName = Request["command"];

export interface Invocation {
  readonly request: Request;
  readonly output: OutputOptions;
}
