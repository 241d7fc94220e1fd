// The table of the commands. Each is imported when it is asked for, so that `--help` and a refusal start at once. Tests put fakes here.

import type { ProbeDetails } from "../commands/probe.ts";
import type { Difference } from "../model/difference.ts";
import type {
  ArchiveInformation,
  CatDetails,
  CatOptions,
  CommandContext,
  DiffDetails,
  DiffOptions,
  DirectorySum,
  DuOptions,
  ExtractOptions,
  ListedEntry,
  ListOptions,
  Outcome,
  ProbeOptions,
  RestdirOptions,
  RestimgOptions,
  RestfsOptions,
  RestoreDetails,
  SalvageDetails,
  SalvageOptions,
  SaveDetails,
  SaveimgOptions,
  SaveOptions,
  SnapshotCommandOptions,
  SnapshotDetails,
  VerifyDetails,
  VerifyOptions,
} from "../model/options.ts";

export interface CommandTable {
  savefs(options: SaveOptions, context: CommandContext): Promise<Outcome<SaveDetails>>;
  savedir(options: SaveOptions, context: CommandContext): Promise<Outcome<SaveDetails>>;
  saveimg(options: SaveimgOptions, context: CommandContext): Promise<Outcome<SaveDetails>>;
  restfs(options: RestfsOptions, context: CommandContext): Promise<Outcome<RestoreDetails>>;
  restimg(options: RestimgOptions, context: CommandContext): Promise<Outcome<RestoreDetails>>;
  restdir(options: RestdirOptions, context: CommandContext): Promise<Outcome<RestoreDetails>>;
  extract(options: ExtractOptions, context: CommandContext): Promise<Outcome<RestoreDetails>>;
  cat(
    options: CatOptions,
    context: CommandContext,
    write: (bytes: Uint8Array) => Promise<void>,
  ): Promise<Outcome<CatDetails>>;
  archinfo(options: { readonly archive: string }, context: CommandContext): Promise<Outcome<ArchiveInformation>>;
  list(
    options: ListOptions,
    context: CommandContext,
    onEntry: (entry: ListedEntry) => void | Promise<void>,
  ): Promise<Outcome<{ readonly entries: number }>>;
  du(
    options: DuOptions,
    context: CommandContext,
    onDirectory: (sum: DirectorySum) => void | Promise<void>,
  ): Promise<Outcome<{ readonly entries: number; readonly bytes: number }>>;
  diff(
    options: DiffOptions,
    context: CommandContext,
    onDifference: (difference: Difference) => void | Promise<void>,
  ): Promise<Outcome<DiffDetails>>;
  verify(
    options: VerifyOptions,
    context: CommandContext,
    onDifference?: (difference: Difference) => void | Promise<void>,
  ): Promise<Outcome<VerifyDetails>>;
  probe(options: ProbeOptions, context: CommandContext): Promise<Outcome<ProbeDetails>>;
  snapshot(options: SnapshotCommandOptions, context: CommandContext): Promise<Outcome<SnapshotDetails>>;
  cleanup(options: object, context: CommandContext): Promise<Outcome<SnapshotDetails>>;
  salvage(options: SalvageOptions, context: CommandContext): Promise<Outcome<SalvageDetails>>;
}

export const commands: CommandTable = {
  savefs: async (options, context) => (await import("../commands/savefs.ts")).savefs(options, context),
  savedir: async (options, context) => (await import("../commands/savedir.ts")).savedir(options, context),
  saveimg: async (options, context) => (await import("../commands/saveimg.ts")).saveimg(options, context),
  restfs: async (options, context) => (await import("../commands/restfs.ts")).restfs(options, context),
  restimg: async (options, context) => (await import("../commands/restimg.ts")).restimg(options, context),
  restdir: async (options, context) => (await import("../commands/restdir.ts")).restdir(options, context),
  extract: async (options, context) => (await import("../commands/extract.ts")).extract(options, context),
  cat: async (options, context, write) => (await import("../commands/cat.ts")).cat(options, context, write),
  archinfo: async (options, context) => (await import("../commands/archinfo.ts")).archinfo(options, context),
  list: async (options, context, onEntry) => (await import("../commands/list.ts")).list(options, context, onEntry),
  du: async (options, context, onDirectory) => (await import("../commands/du.ts")).du(options, context, onDirectory),
  diff: async (options, context, onDifference) =>
    (await import("../commands/diff.ts")).diff(options, context, onDifference),
  verify: async (options, context, onDifference) =>
    (await import("../commands/verify.ts")).verify(options, context, onDifference),
  probe: async (options, context) => (await import("../commands/probe.ts")).probe(options, context),
  snapshot: async (options, context) => (await import("../commands/snapshot.ts")).snapshot(options, context),
  cleanup: async (options, context) => (await import("../commands/snapshot.ts")).cleanup(options, context),
  salvage: async (options, context) => (await import("../commands/salvage.ts")).salvage(options, context),
};
