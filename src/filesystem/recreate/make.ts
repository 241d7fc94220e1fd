// Carries a plan out on a claimed target and reads back what came of it. The claim is given up while a tool runs (it claims
// the device itself) and taken back after each.

import { latin1 } from "../../base/bytes.ts";
import { TsfsaError } from "../../base/errors.ts";
import { shellWord } from "../../base/units.ts";
import { describeFilesystem, labelBytes } from "../describe.ts";
import { readerOfFd } from "../reader.ts";
import { clearSignatures } from "../signatures.ts";
import type { FilesystemPlan, OpenTarget, ToolCommand } from "../types.ts";
import { runTool, type ToolResult, type ToolRunner } from "./tools.ts";

/** argv of a command on a device, for running and for showing. */
export function argvOf(command: ToolCommand, devicePath: string): (string | Uint8Array)[] {
  return [command.program, ...command.arguments, devicePath];
}

/** The command as a line for a shell. */
export function commandText(command: ToolCommand, devicePath: string): string {
  return argvOf(command, devicePath)
    .map((word) => shellWord(typeof word === "string" ? Buffer.from(word) : word))
    .join(" ");
}

/**
 * Makes the planned file system. Throws TOOL_MISSING, TOOL_FAILED (with the command and what the tool said, or when the superblock does not
 * show what was asked for), TARGET_REFUSED when somebody took the device in between.
 */
export async function makeFilesystem(
  plan: FilesystemPlan,
  target: OpenTarget,
  run: ToolRunner = runTool,
): Promise<void> {
  // mkfs.btrfs refuses a UUID that any device has, also the one it is to overwrite.
  if (plan.type === "btrfs" && target.current?.uuid === plan.uuid) clearSignatures(target.fd, target.sizeBytes);
  for (const command of plan.commands) {
    target.release();
    try {
      const result = await run({ ...command, arguments: [...command.arguments, target.devicePath] });
      if (result.status !== 0) throw toolFailed(command, target.devicePath, result);
    } finally {
      await target.claim();
    }
  }
  await compare(plan, target);
}

async function compare(plan: FilesystemPlan, target: OpenTarget): Promise<void> {
  const made = await describeFilesystem(readerOfFd(target.fd), { type: plan.type });
  const found =
    made === undefined
      ? "no file system"
      : made.uuid !== plan.uuid
        ? `UUID ${made.uuid}`
        : !Buffer.from(labelBytes(made)).equals(plan.label)
          ? `label ${JSON.stringify(made.label)}`
          : undefined;
  if (found === undefined) return;
  throw new TsfsaError(
    "TOOL_FAILED",
    `expected ${plan.type} with UUID ${plan.uuid} on ${target.path} after mkfs, found ${found}`,
    {
      path: target.path,
    },
  );
}

function toolFailed(command: ToolCommand, devicePath: string, result: ToolResult): TsfsaError {
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-4000);
  return new TsfsaError("TOOL_FAILED", `${command.program} ended with status ${result.status}: ${said}`, {
    command: argvOf(command, devicePath).map((word) => (typeof word === "string" ? word : latin1(word))),
    ...(command.program === "mkfs.btrfs" && {
      hints: ["if it says that the UUID is not unique, another device has it: give uuid=new, or detach that device"],
    }),
  });
}
