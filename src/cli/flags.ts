// The options that commands share: how they look on the command line (add…) and what they mean as values (…Options).

import { type Command, Option } from "commander";
import { TsfsaError } from "../base/errors.ts";
import { compilePatterns } from "../base/pattern.ts";
import type { DigestName } from "../model/archive.ts";
import type { Compression, RestoreOptions, SaveOptions } from "../model/options.ts";
import { blockSize, collect, digestName, nonEmpty, wholeNumber } from "./arguments.ts";
import type { OutputOptions } from "./invocation.ts";
import type { OutputFlags } from "./parser.ts";
import { type SnapshotFlags, snapshotOptions } from "./snapshot.ts";

export interface SaveFlags extends OutputFlags, SnapshotFlags {
  compress?: number;
  zstd?: number;
  jobs: number;
  blockSize?: number;
  digest: DigestName;
  exclude?: readonly string[];
  excludeCaches?: true;
  filesFrom?: string;
  label?: string;
  overwrite?: true;
  allowRw?: true;
  strict?: true;
  crossMounts?: true;
  reader?: "mount" | "block";
  verify?: true;
  dryRun?: true;
  raw?: true;
}

export interface RestoreFlags extends OutputFlags {
  jobs: number;
  exclude?: readonly string[];
  include?: readonly string[];
  stripComponents?: number;
  overwrite?: true;
  strict?: true;
  dryRun?: true;
  plan?: true;
  yes?: true;
  discard?: true;
}

/** Of all commands that write an archive. */
export function addArchiveOptions(command: Command, jobs: Option): void {
  command
    .addOption(
      new Option(
        "-z, --compress <0..9>",
        "0 store, 1 LZ4, 2 to 9 zstd 1, 3, 6, 9, 12, 15, 19, 22 (default: 3)",
      ).argParser(wholeNumber("-z", 0, 9)),
    )
    .addOption(
      new Option("-Z, --zstd <level>", "this zstd level exactly")
        .argParser(wholeNumber("-Z", -131_072, 22))
        .conflicts("compress"),
    )
    .addOption(jobs)
    .option("--block-size <size>", "target size of blocks, 1MiB to 32MiB (default: by level)", blockSize)
    .option("--digest <name>", "digest of blocks and files: xxh128, sha256 or blake3", digestName, "xxh128")
    .option("-L, --label <text>", "label of the archive")
    .option("-o, --overwrite", "replace an archive that exists, once the new one is complete")
    .option("-A, --allow-rw", "save a source that is mounted read-write; what changes is named")
    .option("--strict", "stop at the first entry that cannot be saved whole")
    .option("--verify", "read the finished archive back and check it")
    .option("--dry-run", "show what would be saved, write nothing");
}

/** Of the commands that save files: also which. */
export function addSaveOptions(command: Command, jobs: Option): void {
  addArchiveOptions(command, jobs);
  command
    .option("-e, --exclude <pattern>", "leave out what the pattern fits (repeatable; docs/PATTERNS.md)", collect)
    .option("--exclude-caches", "leave out the content of directories tagged CACHEDIR.TAG")
    .option(
      "--files-from <file>",
      "save only the paths listed there, one a line or NUL-separated; - for standard input",
    );
}

export function addRestoreOptions(command: Command, jobs: Option, overwrite: string): void {
  command
    .addOption(jobs)
    .option("-e, --exclude <pattern>", "leave out what the pattern fits (repeatable; docs/PATTERNS.md)", collect)
    .option("--include <pattern>", "restore only what the pattern fits, with everything below (repeatable)", collect)
    .option(
      "--strip-components <n>",
      "drop the first N components of each path",
      wholeNumber("--strip-components", 0, 65_535),
    )
    .option("-o, --overwrite", overwrite)
    .option("--strict", "stop at the first entry that cannot be restored whole")
    .option("--dry-run", "show what would be done, write nothing")
    .option("-y, --yes", "do not ask");
}

export function addOutputOptions(command: Command): Command {
  return command
    .option("--json", "one JSON object per line instead of text")
    .option("-v, --verbose", "name each step and each entry")
    .addOption(new Option("-q, --quiet", "only warnings and errors").conflicts("verbose"));
}

export function outputOptions(flags: OutputFlags): OutputOptions {
  return { json: flags.json === true, verbose: flags.verbose === true, quiet: flags.quiet === true };
}

export async function saveOptions(archive: string, sources: readonly string[], flags: SaveFlags): Promise<SaveOptions> {
  if (archive === "-" && flags.verify === true) {
    throw new TsfsaError("USAGE", "--verify reads the archive back: expected a file, found - (standard output)");
  }
  const snapshot = snapshotOptions(flags, flags.snapshot);
  if (snapshot !== undefined && flags.dryRun === true) {
    throw new TsfsaError("USAGE", "--dry-run makes nothing, and a snapshot is something: use tsfsa snapshot plan");
  }
  if (snapshot !== undefined && flags.reader === "block") {
    throw new TsfsaError(
      "USAGE",
      "--reader=block reads what is not mounted, and --snapshot mounts what it makes: give one of them",
    );
  }
  const excludes = flags.exclude ?? [];
  compilePatterns(excludes); // refuses bad ones before anything is opened
  return {
    archive: nonEmpty("ARCHIVE", archive),
    sources: sources.map((source) => nonEmpty("a source", source)),
    compression: await compressionOf(flags),
    digest: flags.digest,
    workers: flags.jobs,
    excludes,
    excludeCaches: flags.excludeCaches === true,
    ...(flags.filesFrom === undefined ? {} : { filesFrom: nonEmpty("--files-from", flags.filesFrom) }),
    label: flags.label ?? "",
    overwrite: flags.overwrite === true,
    allowRw: flags.allowRw === true,
    strict: flags.strict === true,
    crossMounts: flags.crossMounts === true,
    reader: flags.reader ?? "mount",
    verify: flags.verify === true,
    dryRun: flags.dryRun === true,
    ...(snapshot === undefined ? {} : { snapshot }),
  };
}

async function compressionOf(flags: SaveFlags): Promise<Compression> {
  if (flags.zstd === 0) {
    throw new TsfsaError("USAGE", "-Z: expected a level from 1 to 22 or a negative one, found 0", {
      hints: ["-z 0 stores without compression"],
    });
  }
  const { compressionFor, compressionForZstd } = await import("../codec/levels.ts");
  const compression = flags.zstd === undefined ? compressionFor(flags.compress ?? 3) : compressionForZstd(flags.zstd);
  return flags.blockSize === undefined ? compression : { ...compression, blockSize: flags.blockSize };
}

export function restoreOptions(archive: string, flags: RestoreFlags): RestoreOptions {
  const { exclude: excludes = [], include: includes = [] } = flags;
  compilePatterns([...excludes, ...includes]); // refuses bad ones before anything is opened
  return {
    archive: nonEmpty("ARCHIVE", archive),
    workers: flags.jobs,
    excludes,
    includes,
    stripComponents: flags.stripComponents ?? 0,
    overwrite: flags.overwrite === true,
    strict: flags.strict === true,
    dryRun: flags.dryRun === true || flags.plan === true,
    yes: flags.yes === true,
  };
}
