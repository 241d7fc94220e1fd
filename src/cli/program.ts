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
  outputOptions,
  type RestoreFlags,
  restoreOptions,
  type SaveFlags,
  saveOptions,
} from "./flags.ts";
import { imageCommands } from "./images.ts";
import { inspectCommands } from "./inspect.ts";
import type { Invocation } from "./invocation.ts";
import type { CommandAdders, OutputFlags, Parser } from "./parser.ts";
import { snapshotCommands, addSnapshotOptions } from "./snapshot.ts";
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
  const { processors } = surroundings;
  addCommands(commandsOf(argv[0]), {
    program,
    jobs: () =>
      new Option("-j, --jobs <n>", "worker threads")
        .argParser(wholeNumber("-j", 1, 256))
        .default(processors, `all processors: ${processors}`),
    take(flags, request) {
      invocation = { request, output: outputOptions(flags) };
    },
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
  const mangled = argv.find((word) => word.includes(String.fromCharCode(0xfffd)));
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

/** In the order of the help. */
const commands: CommandAdders = {
  savefs: (parser) => addSave(parser, "savefs", "save file systems: block devices, mount points or images"),
  savedir: (parser) => addSave(parser, "savedir", "save directories"),
  restfs: addRestfs,
  ...imageCommands,
  restdir: addRestdir,
  ...inspectCommands,
  probe: addProbe,
  ...snapshotCommands,
};

/** Those the line may mean. Making all takes milliseconds, and nearly every line begins with its command. */
function commandsOf(first: string | undefined): readonly string[] {
  if (first === "--version" || first === "-V") return [];
  return first !== undefined && Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
}

/** The commands inherit the settings of `program`. */
function addCommands(names: readonly string[], parser: Parser): void {
  parser.program
    .description(
      "Saves live Linux file systems and directories to one file that can be checked, listed, streamed and restored.",
    )
    .version(programVersion, "-V, --version")
    .addHelpText(
      "after",
      "\nEach command has its own help: tsfsa savefs --help\nExit status: 0 done, 1 done with warnings, 2 failed, 3 and more: docs/ERRORS.md",
    );
  for (const name of names) commands[name]?.(parser);
}

function addSave({ program, jobs, take }: Parser, name: "savefs" | "savedir", description: string): void {
  const isDirectory = name === "savedir";
  const command = program
    .command(name)
    .description(description)
    .argument("<archive>", "file to write, or - for standard output")
    .argument(
      isDirectory ? "<directory...>" : "<source...>",
      isDirectory ? "directory to save" : "block device, mount point or image file",
    );
  addSaveOptions(command, jobs());
  if (isDirectory) command.option("--cross-mounts", "go into other file systems mounted below");
  else {
    addSnapshotOptions(command);
    const reader = oneOf("--reader", ["mount", "block"]);
    command.option("--reader <how>", "mount, or block: from an unmounted ext2/3/4, without root", reader);
  }
  command.addHelpText("after", examples[name]);
  addOutputOptions(command).action(async (archive: string, sources: string[], flags: SaveFlags) => {
    take(flags, { command: name, options: await saveOptions(archive, sources, flags) });
  });
}

function addRestfs({ program, jobs, take }: Parser): void {
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
}

function addRestdir({ program, jobs, take }: Parser): void {
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
}

function addProbe({ program, take }: Parser): void {
  const probe = program
    .command("probe")
    .description("show block devices: what they hold, how they are used, which snapshot method fits")
    .argument("[device...]", "block device or image file (default: all block devices)")
    .addHelpText("after", examples.probe);
  addOutputOptions(probe).action((devices: string[], flags: OutputFlags) => {
    take(flags, { command: "probe", options: { devices: devices.map((each) => nonEmpty("DEVICE", each)) } });
  });
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
