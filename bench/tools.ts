// The archivers under test as shell commands: tsfsa first, then its peers, each with the options a careful
// administrator would give it to keep as much as it can.

import { fileURLToPath } from "node:url";
import { installed, quote } from "./process.ts";

export const operations = ["save", "restore", "verify", "list", "saveimg"] as const;
export type Operation = (typeof operations)[number];

export interface Job {
  /** Directory to save: the root of the data set. */
  readonly source: string;
  /** The image of the file system it lies on; undefined where images cannot be mounted. */
  readonly image: string | undefined;
  /** Path of the tool's archive. */
  readonly archive: string;
  /** Empty directory to restore to. */
  readonly target: string;
  readonly workers: number;
  readonly level: number;
  readonly sparse: boolean;
}

export interface Tool {
  readonly name: string;
  /** Programs it needs on PATH. */
  readonly programs: readonly string[];
  /** Of its archives, with the dot. */
  readonly extension: string;
  /** Command that prints its version. */
  readonly version: string;
  /** Shell command of each operation it can do. */
  readonly commands: Partial<Record<Operation, (job: Job) => string>>;
}

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const tsfsa = `${quote(process.execPath)} ${quote(cli)}`;
const tarAttributes = "--xattrs --acls";

export const tools: readonly Tool[] = [
  {
    name: "tsfsa",
    programs: [],
    extension: ".tsfsa",
    version: `${tsfsa} --version`,
    commands: {
      // The source is a read-only mount where images can be mounted; --allow-rw is for the plain directory of the other case.
      save: (job) =>
        `${tsfsa} savedir -q --allow-rw -Z ${job.level} -j ${job.workers} ${quote(job.archive)} ${quote(job.source)}`,
      restore: (job) => `${tsfsa} restdir -q -j ${job.workers} ${quote(job.archive)} ${quote(job.target)}`,
      verify: (job) => `${tsfsa} verify -q -j ${job.workers} ${quote(job.archive)}`,
      list: (job) => `${tsfsa} list ${quote(job.archive)} > /dev/null`,
      saveimg: (job) =>
        `${tsfsa} saveimg -q -o -Z ${job.level} -j ${job.workers} ${quote(job.archive)} ${quote(job.image ?? "")}`,
    },
  },
  {
    name: "tar+zstd",
    programs: ["tar", "zstd"],
    extension: ".tar.zst",
    version: "tar --version | head -n 1; zstd --version",
    commands: {
      save: (job) =>
        `tar ${tarAttributes}${job.sparse ? " --sparse" : ""} -C ${quote(job.source)} -cf - . | zstd -q -${job.level} -T${job.workers} > ${quote(job.archive)}`,
      restore: (job) =>
        `zstd -q -dc ${quote(job.archive)} | tar -xpf - ${tarAttributes} --xattrs-include='*' --numeric-owner -C ${quote(job.target)}`,
      verify: (job) => `zstd -q -t ${quote(job.archive)}`,
      list: (job) => `zstd -q -dc ${quote(job.archive)} | tar -tvf - > /dev/null`,
    },
  },
  {
    name: "fsarchiver",
    programs: ["fsarchiver"],
    extension: ".fsa",
    version: "fsarchiver --version 2>&1 | head -n 1",
    commands: {
      save: (job) =>
        `fsarchiver savedir -o -Z ${job.level} -j ${job.workers} ${quote(job.archive)} ${quote(job.source)} > /dev/null`,
      restore: (job) => `fsarchiver restdir -j ${job.workers} ${quote(job.archive)} ${quote(job.target)} > /dev/null`,
    },
  },
  {
    name: "squashfs",
    programs: ["mksquashfs", "unsquashfs"],
    extension: ".squashfs",
    version: "mksquashfs -version | head -n 1",
    commands: {
      save: (job) =>
        `mksquashfs ${quote(job.source)} ${quote(job.archive)} -comp zstd -Xcompression-level ${job.level} -processors ${job.workers} -noappend -no-progress -quiet`,
      restore: (job) => `unsquashfs -q -n -f -p ${job.workers} -d ${quote(job.target)} ${quote(job.archive)}`,
      list: (job) => `unsquashfs -ll ${quote(job.archive)} > /dev/null`,
    },
  },
  {
    name: "partclone+zstd",
    programs: ["partclone.extfs", "zstd"],
    extension: ".partclone.zst",
    version: "partclone.extfs --version 2>&1 | head -n 1",
    commands: {
      // -F: the image is mounted, read-only.
      saveimg: (job) =>
        `partclone.extfs -c -F -q -L /dev/null -s ${quote(job.image ?? "")} -o - | zstd -q -${job.level} -T${job.workers} > ${quote(job.archive)}`,
    },
  },
  {
    name: "dd+zstd",
    programs: ["dd", "zstd"],
    extension: ".img.zst",
    version: "dd --version | head -n 1",
    commands: {
      saveimg: (job) =>
        `dd if=${quote(job.image ?? "")} bs=4M status=none | zstd -q -${job.level} -T${job.workers} > ${quote(job.archive)}`,
    },
  },
];

/** The tools of these names (all when empty) that are installed, in the order of the table. */
export function chooseTools(names: readonly string[], peersOnly: boolean): readonly Tool[] {
  const unknown = names.filter((name) => !tools.some((tool) => tool.name === name));
  if (unknown.length > 0) {
    throw new Error(`unknown peer: ${unknown.join(", ")} (known: ${tools.map((tool) => tool.name).join(", ")})`);
  }
  return tools.filter(
    (tool) =>
      tool.programs.every(installed) &&
      (tool.name === "tsfsa" ? !peersOnly : names.length === 0 || names.includes(tool.name)),
  );
}
