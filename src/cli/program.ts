// The command line as commander sees it: commands, operands, help. Turns argv into an Invocation and does nothing else.

import { readFileSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { decodeUtf8 } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { programVersion } from "../base/version.ts";
import { nonEmpty, oneOf, wholeNumber } from "./arguments.ts";
import { normaliseArguments, type OptionShapes } from "./argv.ts";
import {
  addOutputOptions,
  addRestoreOptions,
  addSaveOptions,
  type OutputFlags,
  outputOptions,
  type RestoreFlags,
  restoreOptions,
  type SaveFlags,
  saveOptions,
} from "./flags.ts";
import { addImageCommands } from "./images.ts";
import { addInspectCommands } from "./inspect.ts";
import type { Invocation, Request } from "./invocation.ts";
import { addSnapshotCommands, addSnapshotOptions } from "./snapshot.ts";
import { parseTargets } from "./targets.ts";

/** `--help` and `--version`: text for standard output, nothing to run. */
export interface Help {
  readonly help: string;
}

export interface Surroundings {
  /** Processors this process may use: the default of --jobs. */
  readonly processors: number;
  /** Width of help texts. */
  readonly columns: () => number;
}

/** Parses argv (without node and script). Throws USAGE for everything that is not a well-formed command line. */
export async function parseCommandLine(
  argv: readonly string[],
  surroundings: Surroundings,
): Promise<Invocation | Help> {
  refuseMangled(argv);
  let invocation: Invocation | undefined;
  let help = "";
  const program = new Command("tsfsa").exitOverride().configureOutput({
    writeOut: (text) => (help += text),
    writeErr: (text) => (help += text),
    outputError: () => {}, // told by the error that is thrown
    getOutHelpWidth: surroundings.columns,
    getErrHelpWidth: surroundings.columns,
  });
  addCommands(program, surroundings.processors, (found) => {
    invocation = found;
  });
  const words = normaliseArguments(argv, new Set(program.commands.map((command) => command.name())), shapesOf(program));
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || (error.code === "commander.help" && words.includes("help"))) return { help };
    throw usageError(error, words[0], help);
  }
  if (invocation === undefined) throw new TsfsaError("INTERNAL", "the command line was parsed, but names no command");
  return invocation;
}

/** Node decodes its arguments: of bytes that are not UTF-8 only U+FFFD is left, which would name another file. */
function refuseMangled(argv: readonly string[]): void {
  const mangled = argv.find((word) => word.includes("\uFFFD"));
  if (mangled === undefined || decodeUtf8(readFileSync("/proc/self/cmdline")) !== undefined) return;
  throw new TsfsaError("USAGE", `the argument "${mangled}" is not UTF-8, and no other can be given`, {
    hints: ["in a pattern ? stands for any byte", "a path can be given by a link to it, or by a directory above it"],
  });
}

/** Below the help of the commands that are not plain from their options. */
const examples = {
  savefs: `
Examples:
  tsfsa savefs --snapshot root.tsfsa /
  tsfsa savefs - /dev/sdb1 | ssh host 'cat > sdb1.tsfsa'
`,
  savedir: `
Examples:
  tsfsa savedir --allow-rw -e .cache home.tsfsa /home
`,
  restfs: `
A comma in a value is written \\, and mkfsopt is cut into words at blanks, with quotes as in the shell.

Examples:
  tsfsa restfs --plan root.tsfsa id=0,dest=/dev/sdc2
  tsfsa restfs root.tsfsa id=0,dest=/dev/sdc2
  tsfsa restfs root.tsfsa 'id=0,dest=/dev/sdc2,mkfs=xfs,mkfsopt=-m reflink=0\\,crc=1,label=new,uuid=new'
  ssh host cat root.tsfsa | tsfsa restfs --overwrite --yes - id=0,dest=disk.img
`,
  probe: `
WRITABLE: somebody can write it, or a part of it, now; savefs refuses it then, and SNAPSHOT names the method that would help.
Without root, devices that may not be opened are shown as far as the mount table tells.

Examples:
  tsfsa probe
  tsfsa probe --json /dev/sda2 disk.img
`,
} as const;

/** The commands inherit the settings of `program`. */
function addCommands(program: Command, processors: number, found: (invocation: Invocation) => void): void {
  program
    .description(
      "Saves live Linux file systems and directories to one file that can be checked, listed, streamed and restored.",
    )
    .version(programVersion, "-V, --version")
    .addHelpText(
      "after",
      "\nEach command has its own help: tsfsa savefs --help\nExit status: 0 done, 1 done with warnings, 2 failed, 3 and more: docs/ERRORS.md",
    );

  const take = (flags: OutputFlags, request: Request): void => found({ request, output: outputOptions(flags) });
  const jobs = (): Option =>
    new Option("-j, --jobs <n>", "worker threads")
      .argParser(wholeNumber("-j", 1, 256))
      .default(processors, `all processors: ${processors}`);

  for (const [name, operand, description] of [
    ["savefs", "source", "save file systems: block devices, mount points or images"],
    ["savedir", "directory", "save directories"],
  ] as const) {
    const command = program
      .command(name)
      .description(description)
      .argument("<archive>", "file to write, or - for standard output")
      .argument(`<${operand}...>`, name === "savefs" ? "block device, mount point or image file" : "directory to save");
    addSaveOptions(command, jobs());
    if (name === "savefs") addSnapshotOptions(command);
    if (name === "savedir") command.option("--cross-mounts", "go into other file systems mounted below");
    else {
      const reader = oneOf("--reader", ["mount", "block"]);
      command.option("--reader <how>", "mount, or block: from an unmounted ext2/3/4, without root", reader);
    }
    command.addHelpText("after", examples[name]);
    addOutputOptions(command).action(async (archive: string, sources: string[], flags: SaveFlags) => {
      take(flags, { command: name, options: await saveOptions(archive, sources, flags) });
    });
  }

  const restfs = program
    .command("restfs")
    .description("make file systems again and restore into them")
    .argument("<archive>", "file to read, or - for standard input")
    .argument("<target...>", "id=N,dest=TARGET[,mkfs=TYPE][,mkfsopt=OPTS][,label=L][,uuid=keep|new|UUID]");
  addRestoreOptions(restfs, jobs(), "replace what the target holds");
  restfs.option("--plan", "like --dry-run: print the commands that would be run, and what will be lost");
  restfs.addHelpText("after", examples.restfs);
  addOutputOptions(restfs).action((archive: string, targets: string[], flags: RestoreFlags) => {
    take(flags, { command: "restfs", options: { ...restoreOptions(archive, flags), targets: parseTargets(targets) } });
  });

  addImageCommands(program, jobs, take);

  const restdir = program
    .command("restdir")
    .description("restore below a directory")
    .argument("<archive>", "file to read, or - for standard input")
    .argument("<destination>", "directory to restore into; made if it is missing");
  addRestoreOptions(restdir, jobs(), "replace files that exist");
  addOutputOptions(restdir).action((archive: string, destination: string, flags: RestoreFlags) => {
    take(flags, {
      command: "restdir",
      options: { ...restoreOptions(archive, flags), destination: nonEmpty("DESTINATION", destination) },
    });
  });

  addInspectCommands(program, jobs, take);

  const probe = program
    .command("probe")
    .description("show block devices: what they hold, how they are used, which snapshot method fits")
    .argument("[device...]", "block device or image file (default: all block devices)")
    .addHelpText("after", examples.probe);
  addOutputOptions(probe).action((devices: string[], flags: OutputFlags) => {
    take(flags, { command: "probe", options: { devices: devices.map((each) => nonEmpty("DEVICE", each)) } });
  });
  addSnapshotCommands(program, take);
}

function shapesOf(program: Command): OptionShapes {
  const valued = new Set<string>();
  const optional = new Map<string, string>();
  const all = program.commands.flatMap((command) => [command, ...command.commands]);
  for (const option of all.flatMap((command) => command.options)) {
    if (option.required) for (const name of [option.short, option.long]) if (name !== undefined) valued.add(name);
    if (option.optional && option.long !== undefined)
      optional.set(option.long, typeof option.presetArg === "string" ? option.presetArg : "");
  }
  return { valued, optional };
}

function usageError(error: CommanderError, command: string | undefined, help: string): TsfsaError {
  // A bare `tsfsa` has no message of its own: the help is the answer.
  if (error.code === "commander.help")
    return new TsfsaError("USAGE", "expected a command, found none", {
      hints: ["", ...help.trimEnd().split("\n")],
    });
  const [first = "", ...suggestions] = error.message.replace(/^error: /, "").split("\n");
  const isOfProgram = error.code === "commander.unknownCommand" || command === undefined || command.startsWith("-");
  const of = isOfProgram ? "" : `${command} `;
  return new TsfsaError("USAGE", first, { hints: [...suggestions, `tsfsa ${of}--help shows what is expected`] });
}
