// Runs the tools that make file systems: argv arrays, no shell, fixed environment, nothing on standard input. Also asks them
// what they know, since an older tool must not be given a newer feature.

import { spawn } from "node:child_process";
import { TsfsaError } from "../../base/errors.ts";
import type { ToolCommand } from "../types.ts";

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolOptions {
  /** Text for standard input, or a descriptor that becomes it. */
  readonly input?: string | number;
  /** Descriptor that the tool finds as its descriptor 3. */
  readonly fd3?: number;
  /** In a session of its own: signals of the terminal do not reach it. */
  readonly detached?: boolean;
}

/** Runs a command; tests give their own. */
export type ToolRunner = (command: ToolCommand, options?: ToolOptions) => Promise<ToolResult>;

/** Bytes of output kept of each stream. */
const outputBytesMax = 16 * 1024 * 1024;

/**
 * PATH of a normal user leaves out where these tools live. MKE2FS_CONFIG: the host's mke2fs.conf decides nothing. LVM remarks on every
 * descriptor that it was not born with. Where no udev answers, libdevmapper must make its nodes itself.
 */
function environment(): NodeJS.ProcessEnv {
  const { PATH = "/usr/bin:/bin", DM_DISABLE_UDEV } = process.env;
  return {
    PATH: `${PATH}:/usr/sbin:/sbin`,
    LC_ALL: "C",
    MKE2FS_CONFIG: "/dev/null",
    LVM_SUPPRESS_FD_WARNINGS: "1",
    ...(DM_DISABLE_UDEV === undefined ? {} : { DM_DISABLE_UDEV }),
  };
}

/** Throws TOOL_MISSING when the program is not there; a status other than 0 is the caller's to judge. */
export const runTool: ToolRunner = (command, options = {}) => {
  const { program, words, input = options.input } = started(command);
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      env: environment(),
      detached: options.detached === true,
      stdio: [
        typeof input === "number" ? input : input === undefined ? "ignore" : "pipe",
        "pipe",
        "pipe",
        ...(options.fd3 === undefined ? [] : [options.fd3]),
      ],
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        output[name] = (output[name] + text).slice(-outputBytesMax);
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "ENOENT" ? toolMissing(command.program, error) : error);
    });
    child.on("close", (code) => {
      if (program === "xargs" && code === 127) reject(toolMissing(command.program));
      else resolve({ status: code ?? 255, ...output });
    });
    child.stdin?.on("error", () => undefined); // its status tells
    if (typeof input !== "number") child.stdin?.end(input);
  });
};

/**
 * Node passes arguments as text. One with other bytes (a label in an old encoding) goes through xargs(1), which takes exact bytes from its
 * input and runs the program without a shell; its own status 123 stands for the program's.
 */
function started(command: ToolCommand): { program: string; words: string[]; input?: Buffer } {
  if (command.arguments.every((each) => typeof each === "string"))
    return { program: command.program, words: [...command.arguments] };
  const input = Buffer.concat(command.arguments.flatMap((each) => [Buffer.from(each), Buffer.from([0])]));
  return { program: "xargs", words: ["-0", "-x", "--", command.program], input };
}

function toolMissing(program: string, cause?: unknown): TsfsaError {
  const packages: Readonly<Record<string, string>> = {
    mke2fs: "e2fsprogs",
    tune2fs: "e2fsprogs",
    debugfs: "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    btrfs: "btrfs-progs",
    dmsetup: "dmsetup",
    lvs: "lvm2",
    lvcreate: "lvm2",
  };
  const from = packages[program];
  return new TsfsaError("TOOL_MISSING", `${program} is needed and not installed`, {
    command: [program],
    ...(from !== undefined && { hints: [`install the package ${from}`] }),
    ...(cause !== undefined && { cause }),
  });
}

/** What the installed tool can make. */
export interface ToolSupport {
  knows(feature: string): boolean;
}

/** Asks mke2fs its version, mkfs.xfs and mkfs.btrfs for the options they list. Throws TOOL_MISSING. */
export async function toolSupport(program: string, run: ToolRunner = runTool): Promise<ToolSupport> {
  if (program === "mke2fs") {
    const { stdout, stderr } = await run({ program, arguments: ["-V"] });
    const [, major = 0, minor = 0] = (/mke2fs (\d+)\.(\d+)/.exec(stdout + stderr) ?? []).map(Number);
    return { knows: (feature) => major * 1000 + minor >= (extFeatureSince[feature] ?? 0) };
  }
  const questions =
    program === "mkfs.btrfs"
      ? [
          ["-O", "list-all"],
          ["-R", "list-all"],
        ]
      : [[]];
  let listed = "";
  for (const words of questions) {
    const { stdout, stderr } = await run({ program, arguments: words });
    listed += `${stdout}\n${stderr}\n`;
  }
  const words = new Set(listed.split(/[^A-Za-z0-9_-]+/));
  return { knows: (feature) => words.has(feature) };
}

/** e2fsprogs release notes; 1.45 → 1045. What is not listed is older than any release in use. */
const extFeatureSince: Readonly<Record<string, number>> = {
  casefold: 1045,
  verity: 1045,
  stable_inodes: 1045,
  fast_commit: 1046,
  orphan_file: 1047,
};
