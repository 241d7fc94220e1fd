// Peers that keep a repository: restic and borg. Each save goes to a new one, made before the measurement, with a cache of
// its own; so nothing is known from before, and deduplication finds only what the tree itself holds twice.

import { quote } from "./process.ts";
import type { Job, Tool } from "./tools.ts";

/** restic always encrypts. Its compression is one level of its own, near zstd 3. */
const restic = (job: Job) =>
  `RESTIC_PASSWORD=bench GOMAXPROCS=${job.workers} restic -q --repo ${quote(job.archive)} --cache-dir ${quote(job.cache)}`;

/** borg runs in one thread. */
const borg = (job: Job, words: string) =>
  `BORG_BASE_DIR=${quote(job.cache)} BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes borg ${words}`;
const borgArchive = (job: Job) => quote(`${job.archive}::bench`);

export const repositories: readonly Tool[] = [
  {
    name: "restic",
    programs: ["restic"],
    extension: ".restic",
    version: "restic version",
    levels: (level) => level === 3,
    prepare: { save: (job) => `${restic(job)} init` },
    commands: {
      save: (job) => `cd ${quote(job.source)} && ${restic(job)} --compression auto backup .`,
      restore: (job) => `${restic(job)} restore latest --target ${quote(job.target)}`,
      verify: (job) => `${restic(job)} check --read-data`,
      list: (job) => `${restic(job)} ls -l latest > /dev/null`,
      extract: (job) =>
        `${restic(job)} restore latest --target ${quote(job.target)} --include ${quote(`/${job.file}`)}`,
    },
  },
  {
    name: "borg",
    programs: ["borg"],
    extension: ".borg",
    version: "borg --version",
    prepare: { save: (job) => borg(job, `init -e none ${quote(job.archive)}`) },
    commands: {
      save: (job) =>
        `cd ${quote(job.source)} && ${borg(job, `create --numeric-ids --compression ${job.level === "lz4" ? "lz4" : `zstd,${job.level}`} ${borgArchive(job)} .`)}`,
      restore: (job) => `cd ${quote(job.target)} && ${borg(job, `extract --numeric-ids ${borgArchive(job)}`)}`,
      verify: (job) => borg(job, `check --verify-data ${quote(job.archive)}`),
      list: (job) => `${borg(job, `list ${borgArchive(job)}`)} > /dev/null`,
      extract: (job) =>
        `cd ${quote(job.target)} && ${borg(job, `extract --numeric-ids ${borgArchive(job)} ${quote(job.file)}`)}`,
    },
  },
];
