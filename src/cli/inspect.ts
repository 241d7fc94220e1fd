// The commands that look into archives, as commander sees them: extract, cat, archinfo, list, du, diff, verify, salvage.

import { Option } from "commander";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { compilePatterns } from "../base/pattern.ts";
import {
  type DiffOptions,
  type ListOptions,
  type ListOrder,
  listOrders,
  type SalvageOptions,
} from "../model/options.ts";
import { collect, nonEmpty, oneOf, wholeNumber } from "./arguments.ts";
import { addOutputOptions } from "./flags.ts";
import type { CommandAdders, OutputFlags, Parser } from "./parser.ts";

interface ExtractFlags extends OutputFlags {
  image?: true;
  to: string;
  id?: number;
  jobs: number;
  overwrite?: true;
  strict?: true;
}

interface CatFlags extends OutputFlags {
  image?: true;
  id?: number;
}

interface ListFlags extends OutputFlags {
  image?: true;
  id?: number;
  long?: true;
  short?: true;
  tree?: true;
  sort?: ListOrder;
}

interface DuFlags extends OutputFlags {
  image?: true;
  id?: number;
  depth?: number;
}

interface VerifyFlags extends OutputFlags {
  jobs: number;
  quick?: true;
  against?: string;
}

interface SalvageFlags extends OutputFlags {
  to?: string;
  out?: string;
  keepDamaged?: true;
  jobs: number;
  overwrite?: true;
}

interface DiffFlags extends OutputFlags {
  jobs: number;
  exclude?: readonly string[];
  include?: readonly string[];
  holes?: true;
  atime?: true;
  btime?: true;
}

const archiveArgument = ["<archive>", "file to read, or - for standard input"] as const;
const imageOption = ["--image", "of an image, the image itself, not the files in it"] as const;
const patternArgument = ["[pattern...]", "only what these fit, with everything below (docs/PATTERNS.md)"] as const;

/** Below the help of the commands that are not plain from their options. */
const examples = {
  extract: `
Examples:
  tsfsa extract root.tsfsa /etc/fstab
  tsfsa extract --to /tmp/old root.tsfsa /home/anna '!*.iso'

Of images (saveimg) of ext2, ext3 and ext4, list, du, cat and extract mean the files inside; with --image the image itself.
`,
  diff: `
Lines begin with - for what is only in the archive, + for what is not in it, ~ for what has changed: content (by digest), size, mode, owner, mtime, link
target, device numbers, hard links, extended attributes and ACLs, inode flags, project id. Of a directory that only one side has, nothing below it is told.
Two archives are compared by their catalogs: without attributes and ACLs. Images are compared with a directory by the files inside, with devices, image files
and other images block by block.
Exit status: 0 no difference, 1 differences, or something could not be compared.

Examples:
  tsfsa diff home.tsfsa /home
  tsfsa diff host.tsfsa id=1=/dev/vg/home
  tsfsa diff monday.tsfsa tuesday.tsfsa
`,
  salvage: `
All of the archive is gone over, wherever its parts stand now. A lost head, catalog, table or end costs no file; a lost block costs the files in it. Each
damaged region and each entry that is lost is named. A new archive holds only what is whole, and is a whole archive.
Exit status: 0 nothing was damaged, 1 something was, 10 nothing is left.

Examples:
  tsfsa salvage --to /mnt/rescue root.tsfsa
  tsfsa salvage --to /mnt/rescue --keep-damaged root.tsfsa
  tsfsa salvage --out whole.tsfsa root.tsfsa
`,
  list: `
Sorting holds all that is listed in memory: about 100 bytes and the path for each entry.

Examples:
  tsfsa list root.tsfsa /etc '*.conf'
  tsfsa list --sort size root.tsfsa | head
`,
} as const;

export const inspectCommands: CommandAdders = {
  extract: addExtract,
  cat: addCat,
  archinfo: addArchinfo,
  list: addList,
  du: addDu,
  diff: addDiff,
  verify: addVerify,
  salvage: addSalvage,
};

function addExtract({ program, jobs, take }: Parser): void {
  const extract = program
    .command("extract")
    .description("take some entries out of an archive")
    .argument(...archiveArgument)
    .argument("<pattern...>", "what these fit, with everything below (docs/PATTERNS.md)")
    .option("--to <directory>", "directory to extract into; made if it is missing", ".")
    .addOption(idOption())
    .option(...imageOption)
    .addOption(jobs())
    .option("-o, --overwrite", "replace files that exist")
    .option("--strict", "stop at the first entry that cannot be extracted whole")
    .addHelpText("after", examples.extract);
  addOutputOptions(extract).action((archive: string, patterns: string[], flags: ExtractFlags) => {
    const options = {
      ...reading(archive, patterns, flags),
      destination: nonEmpty("--to", flags.to),
      workers: flags.jobs,
      overwrite: flags.overwrite === true,
      strict: flags.strict === true,
    };
    take(flags, { command: "extract", options });
  });
}

function addCat({ program, take }: Parser): void {
  const cat = program
    .command("cat")
    .description("write the content of one file to standard output")
    .argument(...archiveArgument)
    .argument("<path>", "path below the root of what was saved")
    .addOption(idOption())
    .option(...imageOption);
  addOutputOptions(cat).action((archive: string, path: string, flags: CatFlags) => {
    const { id: source, image: asFiles = false } = flags;
    const options = { archive: nonEmpty("ARCHIVE", archive), path: nonEmpty("PATH", path), source, asFiles };
    take(flags, { command: "cat", options });
  });
}

function addArchinfo({ program, take }: Parser): void {
  const archinfo = program
    .command("archinfo")
    .description("show what an archive is and what it holds")
    .argument(...archiveArgument);
  addOutputOptions(archinfo).action((archive: string, flags: OutputFlags) => {
    take(flags, { command: "archinfo", options: { archive: nonEmpty("ARCHIVE", archive) } });
  });
}

function addList({ program, take }: Parser): void {
  const list = program
    .command("list")
    .description("list the entries of an archive")
    .argument(...archiveArgument)
    .argument(...patternArgument)
    .addOption(idOption())
    .option(...imageOption)
    .option("-l, --long", "rows like those of ls -l (the default, unless there is --tree)")
    .addOption(new Option("-s, --short", "paths only").conflicts("long"))
    .addOption(new Option("--tree", "names indented below their directories").conflicts("short"))
    .addOption(
      new Option("--sort <order>", `by ${listOrders.join(", ")}: the largest and the latest first`)
        .argParser(oneOf("--sort", listOrders))
        .conflicts("tree"),
    )
    .addHelpText("after", examples.list);
  addOutputOptions(list).action((archive: string, patterns: string[], flags: ListFlags) => {
    const { tree = false, short = false, long = !tree && !short } = flags;
    const options = { ...reading(archive, patterns, flags), sort: flags.sort };
    take(flags, { command: "list", options, form: { long, tree } });
  });
}

function addDu({ program, take }: Parser): void {
  const du = program
    .command("du")
    .description("sum up sizes and entries below each directory of an archive")
    .argument(...archiveArgument)
    .argument(...patternArgument)
    .addOption(idOption())
    .option(...imageOption)
    .option("-d, --depth <n>", "only directories so far below the root", wholeNumber("--depth", 0, limits.depth));
  addOutputOptions(du).action((archive: string, patterns: string[], flags: DuFlags) => {
    const depth = flags.depth ?? Number.POSITIVE_INFINITY;
    take(flags, { command: "du", options: { ...reading(archive, patterns, flags), depth } });
  });
}

function addDiff({ program, jobs, take }: Parser): void {
  const diff = program
    .command("diff")
    .description("tell what differs between an archive and a directory, a file system or another archive")
    .argument(...archiveArgument)
    .argument("<target>", "[id=N=]DIRECTORY, device or image; or an archive")
    .addOption(jobs())
    .option("-e, --exclude <pattern>", "leave out what the pattern fits (repeatable; docs/PATTERNS.md)", collect)
    .option("--include <pattern>", "compare only what the pattern fits, with everything below (repeatable)", collect)
    .option("--holes", "compare holes and preallocated space, too")
    .option("--atime", "compare access times, too")
    .option("--btime", "compare birth times, too")
    .addHelpText("after", examples.diff);
  addOutputOptions(diff).action((archive: string, target: string, flags: DiffFlags) => {
    take(flags, { command: "diff", options: diffOptions(archive, target, flags) });
  });
}

function addVerify({ program, jobs, take }: Parser): void {
  const verify = program
    .command("verify")
    .description("read an archive and check all of it")
    .argument(...archiveArgument)
    .addOption(jobs())
    .option("--quick", "check the blocks' checksums only, decompress nothing")
    .option("--against <target>", "then compare with a directory, device or image, as diff does");
  addOutputOptions(verify).action((archive: string, flags: VerifyFlags) => {
    const options = { archive: nonEmpty("ARCHIVE", archive), workers: flags.jobs, quick: flags.quick === true };
    if (flags.against === undefined) return take(flags, { command: "verify", options });
    if (archive === "-") {
      throw new TsfsaError("USAGE", "--against reads the archive twice, which a pipe does not allow");
    }
    const against = diffOptions(archive, flags.against, { jobs: flags.jobs });
    return take(flags, { command: "verify", options: { ...options, against } });
  });
}

function addSalvage({ program, jobs, take }: Parser): void {
  const salvage = program
    .command("salvage")
    .description("take what is whole out of a damaged archive")
    .argument("<archive>", "file or device to read")
    .addOption(new Option("--to <directory>", "restore below this directory; made if it is missing").conflicts("out"))
    .option("--out <file>", "write a new archive of what is whole")
    .addOption(
      new Option("--keep-damaged", "keep what can be had of damaged files as NAME.tsfsa-damaged").conflicts("out"),
    )
    .addOption(jobs())
    .option("-o, --overwrite", "replace files that exist, or the archive")
    .addHelpText("after", examples.salvage);
  addOutputOptions(salvage).action((archive: string, flags: SalvageFlags) => {
    take(flags, { command: "salvage", options: salvageOptions(archive, flags) });
  });
}

function salvageOptions(archive: string, flags: SalvageFlags): SalvageOptions {
  const { to, out } = flags;
  if (archive === "-") {
    throw new TsfsaError("USAGE", "salvage goes over the archive more than once: expected a file, found - (a pipe)", {
      hints: ["write it to a file first: cat > FILE"],
    });
  }
  if (to === undefined && out === undefined) {
    throw new TsfsaError("USAGE", "expected --to DIRECTORY or --out FILE, found neither");
  }
  return {
    archive: nonEmpty("ARCHIVE", archive),
    to: out === undefined ? { directory: nonEmpty("--to", to ?? "") } : { archive: nonEmpty("--out", out) },
    keepDamaged: flags.keepDamaged === true,
    workers: flags.jobs,
    overwrite: flags.overwrite === true,
  };
}

function diffOptions(archive: string, target: string, flags: DiffFlags): DiffOptions {
  const { exclude: excludes = [], include: includes = [], holes = false, atime = false, btime = false } = flags;
  compilePatterns([...excludes, ...includes]); // refuses bad ones before anything is opened
  const match = /^id=(\d{1,4})=(.*)$/s.exec(target);
  return {
    archive: nonEmpty("ARCHIVE", archive),
    target: nonEmpty("TARGET", match?.[2] ?? target),
    source: match === null ? undefined : Number(match[1]),
    workers: flags.jobs,
    excludes,
    includes,
    compare: { holes, atime, btime },
  };
}

/** Chooses one of several sources. */
function idOption(): Option {
  return new Option("--id <n>", "only this source of the archive").argParser(
    wholeNumber("--id", 0, limits.sources - 1),
  );
}

/** What is read, and of which source; bad patterns are refused before anything is opened. */
function reading(
  archive: string,
  patterns: readonly string[],
  { id, image }: { readonly id?: number; readonly image?: true },
): Pick<ListOptions, "archive" | "patterns" | "source" | "asFiles"> {
  compilePatterns(patterns);
  return { archive: nonEmpty("ARCHIVE", archive), patterns, source: id, asFiles: image === true };
}
