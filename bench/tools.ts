// The archivers under test as shell commands: tsfsa first, then its peers, each with the options a careful
// administrator would give it to keep as much as it can.

import { fileURLToPath } from "node:url";
import type { DataSet } from "./data/trees.ts";
import { installed, quote } from "./process.ts";
import { repositories } from "./repositories.ts";

export const operations = [
  "save",
  "restore",
  "verify",
  "list",
  "extract",
  "saveimg",
  "saveblock",
  "growth",
  "limit",
  "start",
  "startsave",
] as const;
export type Operation = (typeof operations)[number];

/** A level of zstd, or LZ4. */
export type Level = number | "lz4";

export interface Job {
  readonly data: DataSet;
  /** Directory to save: the root of the data set. */
  readonly source: string;
  /** The image of the file system it lies on; undefined where images cannot be mounted. */
  readonly image: string | undefined;
  /** Path of the tool's archive: a file, or the directory of a repository. */
  readonly archive: string;
  /** What the tool needs besides, a file or directory; removed with the archive. */
  readonly cache: string;
  /** Empty directory to restore to. */
  readonly target: string;
  /** The file to extract, relative to the source. */
  readonly file: string;
  readonly workers: number;
  readonly level: Level;
}

/** Undefined where the operation means nothing for the data. */
export type Command = (job: Job) => string | undefined;

export interface Tool {
  readonly name: string;
  /** Programs it needs on PATH. */
  readonly programs: readonly string[];
  /** Of its archives, with the dot. */
  readonly extension: string;
  /** Command that prints its version. */
  readonly version: string;
  /** Whether it has that level; by default it has all. */
  readonly levels?: (level: Level) => boolean;
  /** Shell command of each operation it can do. */
  readonly commands: Partial<Record<Operation, Command>>;
  /** Shell command that is run before each such operation, unmeasured. */
  readonly prepare?: Partial<Record<Operation, Command>>;
  /** Of a tool that times itself: wall seconds from what it printed. */
  readonly ownSeconds?: (printed: string) => number;
}

const cli = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const tsfsa = `${quote(process.execPath)} ${quote(cli)}`;
const tarAttributes = "--xattrs --acls";
const tenTimes = (command: string) => `for run in 1 2 3 4 5 6 7 8 9 10; do ${command}; done`;

const tarCreate = (job: Job) => `tar ${tarAttributes}${job.data.sparse ? " --sparse" : ""} -C ${quote(job.source)} -c`;

/** The source is a read-only mount where images can be mounted; --allow-rw is for the plain directory of the other case. */
const tsfsaSave = (job: Job, source: string) => tsfsaWrite(job, "savedir --allow-rw", source);

const tsfsaWrite = (job: Job, command: string, source: string) =>
  `${tsfsa} ${command} -q ${job.level === "lz4" ? "-z 1" : `-Z ${job.level}`} -j ${job.workers} ${quote(job.archive)} ${quote(source)}`;

/** What stands against LZ4 in a pipe behind a reader of blocks: zstd at its fastest plain level. */
const zstdOfBlocks = (job: Job) =>
  `zstd -q -${job.level === "lz4" ? 1 : job.level} -T${job.workers} > ${quote(job.archive)}`;

/** GNU tar and a compressor in a pipe. */
function tarAnd(compressor: string, pack: (job: Job) => string): Pick<Tool, "programs" | "version" | "commands"> {
  const unpack = (job: Job) => `${compressor} -q -dc ${quote(job.archive)}`;
  const extract = (job: Job) =>
    `tar -xpf - ${tarAttributes} --xattrs-include='*' --numeric-owner -C ${quote(job.target)}`;
  return {
    programs: ["tar", compressor],
    version: `tar --version | head -n 1; ${compressor} --version`,
    commands: {
      save: (job) => `${tarCreate(job)} -f - . | ${pack(job)} > ${quote(job.archive)}`,
      restore: (job) => `${unpack(job)} | ${extract(job)}`,
      verify: (job) => `${compressor} -q -t ${quote(job.archive)}`,
      list: (job) => `${unpack(job)} | tar -tvf - > /dev/null`,
      extract: (job) => `${unpack(job)} | ${extract(job)} ${quote(`./${job.file}`)}`,
    },
  };
}

const dar = "dar -Q -N -q";
const darName = (job: Job) => quote(job.archive.slice(0, -".1.dar".length));

export const tools: readonly Tool[] = [
  {
    name: "tsfsa",
    programs: [],
    extension: ".tsfsa",
    version: `${tsfsa} --version`,
    commands: {
      save: (job) => tsfsaSave(job, job.source),
      restore: (job) => `${tsfsa} restdir -q -j ${job.workers} ${quote(job.archive)} ${quote(job.target)}`,
      verify: (job) => `${tsfsa} verify -q -j ${job.workers} ${quote(job.archive)}`,
      list: (job) => `${tsfsa} list ${quote(job.archive)} > /dev/null`,
      extract: (job) =>
        `${tsfsa} extract -q -j ${job.workers} --to ${quote(job.target)} ${quote(job.archive)} ${quote(`/${job.file}`)}`,
      growth: (job) => job.data.tenth && tsfsaSave(job, job.source),
      limit: (job) => tsfsaSave(job, job.source),
      start: (job) => (job.data.small ? tenTimes(`${tsfsa} --version > /dev/null`) : undefined),
      startsave: (job) =>
        job.data.small
          ? tenTimes(`${tsfsa} savedir -q -o --allow-rw ${quote(job.archive)} ${quote(job.source)}`)
          : undefined,
      saveimg: (job) => tsfsaWrite(job, "saveimg -o", job.image ?? ""),
      saveblock: (job) => tsfsaWrite(job, "savefs -o --reader=block", job.image ?? ""),
    },
  },
  {
    name: "tar+zstd",
    extension: ".tar.zst",
    levels: (level) => level !== "lz4",
    ...tarAnd("zstd", (job) => `zstd -q -${job.level} -T${job.workers}`),
  },
  {
    name: "tar+lz4",
    extension: ".tar.lz4",
    levels: (level) => level === "lz4",
    ...tarAnd("lz4", () => "lz4 -q -1 -c"),
  },
  {
    name: "fsarchiver",
    programs: ["fsarchiver"],
    extension: ".fsa",
    version: "fsarchiver --version 2>&1 | head -n 1",
    commands: {
      save: (job) =>
        `fsarchiver savedir -o ${job.level === "lz4" ? "-z 0" : `-Z ${job.level}`} -j ${job.workers} ${quote(job.archive)} ${quote(job.source)} > /dev/null`,
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
        `mksquashfs ${quote(job.source)} ${quote(job.archive)} -comp ${job.level === "lz4" ? "lz4" : `zstd -Xcompression-level ${job.level}`} -processors ${job.workers} -noappend -no-progress -quiet`,
      restore: (job) => `unsquashfs -q -n -f -p ${job.workers} -d ${quote(job.target)} ${quote(job.archive)}`,
      list: (job) => `unsquashfs -ll ${quote(job.archive)} > /dev/null`,
      extract: (job) =>
        `unsquashfs -q -n -f -p ${job.workers} -d ${quote(job.target)} ${quote(job.archive)} ${quote(job.file)} > /dev/null`,
    },
  },
  {
    // Debian's is built without threads. It puts ".1.dar" behind the name it is given.
    name: "dar",
    programs: ["dar"],
    extension: ".1.dar",
    version: "dar -Q -V 2> /dev/null | sed -n 2p",
    commands: {
      save: (job) =>
        `${dar} -c ${darName(job)} -R ${quote(job.source)} ${job.level === "lz4" ? "-zlz4:1" : `-zzstd:${job.level}`} > /dev/null`,
      restore: (job) => `${dar} -x ${darName(job)} -R ${quote(job.target)} > /dev/null`,
      verify: (job) => `${dar} -t ${darName(job)} > /dev/null`,
      list: (job) => `${dar} -l ${darName(job)} > /dev/null`,
      extract: (job) => `${dar} -x ${darName(job)} -R ${quote(job.target)} -g ${quote(job.file)} > /dev/null`,
    },
  },
  ...repositories,
  {
    name: "partclone+zstd",
    programs: ["partclone.extfs", "zstd"],
    extension: ".partclone.zst",
    version: "partclone.extfs --version 2>&1 | head -n 1",
    commands: {
      // -F: the image is mounted, read-only.
      saveimg: (job) =>
        `partclone.extfs -c -F -q -L /dev/null -s ${quote(job.image ?? "")} -o - | ${zstdOfBlocks(job)}`,
    },
  },
  {
    name: "dd+zstd",
    programs: ["dd", "zstd"],
    extension: ".img.zst",
    version: "dd --version | head -n 1",
    commands: {
      saveimg: (job) => `dd if=${quote(job.image ?? "")} bs=4M status=none | ${zstdOfBlocks(job)}`,
    },
  },
  {
    // The compressor alone, from memory to memory, on the bytes of tar. It prints "-3  206000000 (6.6)  480 MB/s  1300 MB/s  NAME".
    name: "zstd-b",
    programs: ["zstd"],
    extension: ".zstd-b",
    version: "zstd --version",
    prepare: {
      limit: (job) => `test -e ${quote(job.cache)} || ${tarCreate(job)} -f ${quote(job.cache)} .`,
    },
    levels: (level) => level !== "lz4",
    commands: {
      limit: (job) =>
        `stat -c %s ${quote(job.cache)} && zstd -q -b${job.level} -i1 -T${job.workers} ${quote(job.cache)}`,
    },
    ownSeconds: (printed) => {
      const [, bytes, speed] = /^(\d+)\n[^]*?([\d.]+) MB\/s/.exec(printed) ?? [];
      return Number(bytes) / (Number(speed) * 1e6);
    },
  },
  {
    name: "node",
    programs: ["node"],
    extension: ".node",
    version: "node --version",
    commands: {
      start: (job) => (job.data.small ? tenTimes(`${quote(process.execPath)} -e 0`) : undefined),
      startsave: (job) => (job.data.small ? tenTimes(`${quote(process.execPath)} -e 0`) : undefined),
    },
  },
  {
    name: "mounted",
    programs: [],
    extension: ".mounted.tsfsa",
    version: `${tsfsa} --version`,
    commands: { saveblock: (job) => tsfsaWrite(job, "savefs -o", job.source) },
  },
  {
    name: "tenth",
    programs: [],
    extension: ".tenth.tsfsa",
    version: `${tsfsa} --version`,
    commands: { growth: (job) => job.data.tenth && tsfsaSave(job, `${job.source}/${job.data.tenth}`) },
  },
];

/** The tools of these names (all when empty, only tsfsa for "none") that are installed, in the order of the table. */
export function chooseTools(names: readonly string[], peersOnly: boolean): readonly Tool[] {
  const unknown = names.filter((name) => name !== "none" && !tools.some((tool) => tool.name === name));
  if (unknown.length > 0) {
    throw new Error(`unknown peer: ${unknown.join(", ")} (known: ${tools.map((tool) => tool.name).join(", ")})`);
  }
  return tools.filter(
    (tool) =>
      tool.programs.every(installed) &&
      (tool.name === "tsfsa" ? !peersOnly : names.length === 0 || names.includes(tool.name)),
  );
}
