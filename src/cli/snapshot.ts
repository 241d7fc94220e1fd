// Snapshots on the command line: the options of savefs, and the commands snapshot and cleanup.

import { type Command, Option } from "commander";
import { TsfsaError } from "../base/errors.ts";
import { parseSize } from "../base/units.ts";
import type { SnapshotCommandOptions } from "../model/options.ts";
import { type SnapshotMethod, type SnapshotOptions, type SnapshotSize, snapshotMethods } from "../model/snapshot.ts";
import { collect, nonEmpty, oneOf, wholeNumber } from "./arguments.ts";
import type { CommandAdders, OutputFlags, Parser } from "./parser.ts";

export interface SnapshotFlags {
  snapshot?: SnapshotMethod | "auto";
  snapshotSize?: SnapshotSize;
  snapshotMax?: number;
  snapshotStore?: string;
  maxFreeze?: number;
  preSnapshot?: string;
  postSnapshot?: string;
  hold?: string;
  hookTimeout?: number;
  stopService?: readonly string[];
  keepSnapshot?: "always" | "on-failure";
}

interface CommandFlags extends OutputFlags, SnapshotFlags {
  method?: SnapshotMethod | "auto";
  yes?: true;
}

const methods = ["auto", ...snapshotMethods] as const;
const defaultFreezeSeconds = 60;
const defaultHookSeconds = 60;

/** `20%` of the origin, or a size in bytes. */
function snapshotSize(text: string): SnapshotSize {
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text)?.[1];
  const bytes = parseSize(text);
  if (percent !== undefined && Number(percent) > 0) return { percent: Number(percent) };
  if (bytes !== undefined && bytes > 0) return { bytes };
  throw new TsfsaError(
    "USAGE",
    `--snapshot-size: expected a size such as 2GiB or a share such as 20%, found ${JSON.stringify(text)}`,
  );
}

function maxSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes === 0)
    throw new TsfsaError("USAGE", `--snapshot-max: expected a size such as 10GiB, found ${JSON.stringify(text)}`);
  return bytes;
}

function addMakingOptions(command: Command): Command {
  return command
    .option(
      "--snapshot-size <size>",
      "room for what changes meanwhile: SIZE, or PERCENT% of the volume (default: all that can change)",
      snapshotSize,
    )
    .option(
      "--snapshot-max <size>",
      "lvm: let the snapshot grow so far (default: as the volume group has room)",
      maxSize,
    )
    .option("--snapshot-store <directory>", "dm: where what changes is kept; not on what is saved")
    .option(
      "--max-freeze <seconds>",
      `freeze nothing for longer (default: ${defaultFreezeSeconds})`,
      wholeNumber("--max-freeze", 1, 86_400),
    )
    .option("--pre-snapshot <command>", "run this (/bin/sh -c) before the snapshot")
    .option("--post-snapshot <command>", "run this at the end, whatever happened")
    .option("--hold <command>", "run this; it prints ready, and goes on when its input ends: right after the snapshot")
    .option(
      "--hook-timeout <seconds>",
      `how long each of them may take (default: ${defaultHookSeconds})`,
      wholeNumber("--hook-timeout", 1, 86_400),
    )
    .option("--stop-service <unit>", "stop this systemd unit for the instant of the snapshot (repeatable)", collect);
}

export function addSnapshotOptions(command: Command): void {
  command.addOption(
    new Option("--snapshot [method]", `freeze what is mounted read-write first: ${methods.join(", ")}`)
      .preset("auto")
      .argParser(oneOf("--snapshot", methods)),
  );
  addMakingOptions(command).addOption(
    new Option("--keep-snapshot [when]", "leave the snapshot there: always, or on-failure")
      .preset("always")
      .argParser(oneOf("--keep-snapshot", ["always", "on-failure"] as const)),
  );
}

/** What the flags ask for; undefined without a method. Throws USAGE where there is none and something is asked of it. */
export function snapshotOptions(
  flags: SnapshotFlags,
  method: SnapshotMethod | "auto" | undefined,
): SnapshotOptions | undefined {
  const {
    snapshotSize: size,
    snapshotMax: maxBytes,
    snapshotStore,
    maxFreeze,
    preSnapshot: pre,
    postSnapshot: post,
    hold,
  } = flags;
  if (method === undefined) {
    const others = {
      "--snapshot-size": size,
      "--snapshot-max": maxBytes,
      "--snapshot-store": snapshotStore,
      "--max-freeze": maxFreeze,
      "--pre-snapshot": pre,
    };
    const more = {
      "--post-snapshot": post,
      "--hold": hold,
      "--hook-timeout": flags.hookTimeout,
      "--stop-service": flags.stopService,
      "--keep-snapshot": flags.keepSnapshot,
    };
    const [given] = Object.entries({ ...others, ...more }).flatMap(([name, value]) =>
      value === undefined ? [] : [name],
    );
    if (given !== undefined) throw new TsfsaError("USAGE", `${given} is for snapshots: expected --snapshot with it`);
    return undefined;
  }
  return {
    method,
    ...(size === undefined ? {} : { size }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(snapshotStore === undefined ? {} : { store: nonEmpty("--snapshot-store", snapshotStore) }),
    maxFreezeMs: (maxFreeze ?? defaultFreezeSeconds) * 1000,
    keep: flags.keepSnapshot ?? "never",
    hooks: {
      ...(pre === undefined ? {} : { pre }),
      ...(post === undefined ? {} : { post }),
      ...(hold === undefined ? {} : { hold }),
      services: flags.stopService ?? [],
      timeoutMs: (flags.hookTimeout ?? defaultHookSeconds) * 1000,
    },
  };
}

const help = `
Examples:
  tsfsa snapshot plan /                  which method would be used, and what it would run
  tsfsa snapshot create /home            a snapshot that stays
  tsfsa cleanup                          after a crash
`;

const actions = [
  ["plan", "<path...>", "show which method would be used, why the others not, and what it would run"],
  ["create", "<path...>", "take snapshots and leave them there"],
  ["list", "", "list the snapshots tsfsa made"],
  ["status", "<name>", "show one: whether it is valid, and how full"],
  ["remove", "<name...>", "remove snapshots that were kept"],
  ["merge", "<name>", "put the volume back to the state of the snapshot"],
] as const;

export const snapshotCommands: CommandAdders = { snapshot: addSnapshot, cleanup: addCleanup };

function addSnapshot({ program, take }: Parser): void {
  const parent = program
    .command("snapshot")
    .description("take, list, remove and merge snapshots")
    .addHelpText("after", help);
  for (const [action, operand, description] of actions) {
    const command = parent.command(action).description(description);
    if (operand !== "") command.argument(operand);
    if (action === "plan" || action === "create") {
      addMakingOptions(command).addOption(
        new Option("--method <method>", methods.join(", ")).argParser(oneOf("--method", methods)).default("auto"),
      );
    }
    if (action === "merge") command.option("-y, --yes", "do not ask");
    addTalkOptions(command).action((...given: unknown[]) => {
      const flags = given.at(-2) as CommandFlags;
      const names = operand === "" ? [] : [given[0] as string | string[]].flat();
      const snapshot = snapshotOptions(flags, flags.method ?? "auto") as SnapshotOptions;
      const options: SnapshotCommandOptions & { readonly yes?: boolean } = {
        action,
        names: names.map((name) => nonEmpty("a name", name)),
        snapshot,
        yes: flags.yes === true,
      };
      take(flags, { command: "snapshot", options });
    });
  }
}

function addCleanup({ program, take }: Parser): void {
  const cleanup = program.command("cleanup").description("remove the snapshots that killed runs left behind");
  addTalkOptions(cleanup).action((flags: CommandFlags) => take(flags, { command: "cleanup", options: {} }));
}

/** As addOutputOptions in flags.ts, which this file cannot import. */
function addTalkOptions(command: Command): Command {
  return command
    .option("--json", "one JSON object per line instead of text")
    .option("-v, --verbose", "name each step")
    .addOption(new Option("-q, --quiet", "only warnings and errors").conflicts("verbose"));
}
