// Runs lvm2, dmsetup and btrfs: argument arrays, no shell, in a session of their own, so that Ctrl-C does not reach a tool between suspend and
// resume. Never killed, however long they take: an lvcreate that is killed leaves its origin suspended.

import { setTimeout as sleep } from "node:timers/promises";
import { TsfsaError } from "../base/errors.ts";
import type { ToolOptions, ToolResult, ToolRunner } from "../filesystem/recreate/tools.ts";

/** Runs a tool to its end and returns what it said on standard output. Throws TOOL_MISSING, and TOOL_FAILED with its words. */
export async function call(
  run: ToolRunner,
  program: string,
  words: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const result = await attempt(run, program, words, options);
  if (result.status !== 0) throw toolFailed(program, words, result);
  return result.stdout;
}

/** The same where a failure is an answer. */
export function attempt(
  run: ToolRunner,
  program: string,
  words: readonly string[],
  options: ToolOptions = {},
): Promise<ToolResult> {
  return run({ program, arguments: words }, { detached: true, ...options });
}

function toolFailed(program: string, words: readonly string[], { status, stderr }: ToolResult): TsfsaError {
  return new TsfsaError(
    "TOOL_FAILED",
    `${program} failed with status ${status}: ${stderr.trim() || "it said nothing"}`,
    {
      command: [program, ...words],
    },
  );
}

/** Pauses between attempts to remove what something may look at for a moment (udev, blkid). */
const pausesMs = [50, 100, 200, 400, 800, 1600, 2000, 2000];

/**
 * Runs a tool until it succeeds, and returns what it said on standard output: for undoing, where one failure must not leave things behind. Removing
 * fails while udev or a late close holds the device. isDone: asked after a failure, since a tool may fail after its work. Throws the last failure.
 */
export async function persist(
  run: ToolRunner,
  program: string,
  words: readonly string[],
  { isDone, ...options }: ToolOptions & { readonly isDone?: () => Promise<boolean> } = {},
): Promise<string> {
  for (const pauseMs of pausesMs) {
    const result = await attempt(run, program, words, options);
    if (result.status === 0) return result.stdout;
    if (await isDone?.()) return "";
    await attempt(run, "udevadm", ["settle", "--timeout=5"]).catch(() => undefined); // there may be no udev
    await sleep(pauseMs);
  }
  return call(run, program, words, options);
}

export async function isInstalled(run: ToolRunner, program: string, word: string): Promise<boolean> {
  try {
    await attempt(run, program, [word]);
    return true;
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "TOOL_MISSING") return false;
    throw error;
  }
}
