// The data sets: each fills an empty directory, the same bytes and names on every run.

import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { run } from "../process.ts";
import { noiseStream, Random } from "./random.ts";
import { SourceText } from "./text.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

export interface DataSet {
  readonly name: string;
  readonly description: string;
  /** Size of an ext4 image that holds it, and further words for mkfs.ext4. */
  readonly imageBytes: number;
  readonly mkfsOptions?: readonly string[];
  /** Holds sparse files: tar gets --sparse. */
  readonly sparse?: boolean;
  /** One file of a few bytes: what is measured is how long a program takes to start. */
  readonly small?: boolean;
  /** A directory below the root that holds a tenth of the files. */
  readonly tenth?: string;
  fill(root: string, signal: AbortSignal): Promise<void>;
}

export const dataSetNames = ["linux", "generated", "debian", "mixed", "million", "links", "small", "guard"] as const;
export type DataSetName = (typeof dataSetNames)[number];

/** Debian's package linux-source-6.1 leaves it here. */
const linuxTarball = "/usr/src/linux-source-6.1.tar.xz";

const makers: Record<DataSetName, (quick: boolean) => DataSet> = {
  linux: (quick) => (existsSync(linuxTarball) ? linuxTree(quick) : makers.generated(quick)),
  generated: (quick) => generatedTree(quick ? 4000 : 80_000),
  debian: (quick) => debianRoot(quick),
  mixed: (quick) => largeFiles(quick ? 32 : 1),
  million: (quick) => tinyFiles(quick ? 20_000 : 1_000_000),
  links: (quick) => hardLinks(quick ? 5000 : 200_000),
  small: () => oneFile(),
  guard: () => generatedTree(20_000),
};

/** The data set of that name; `quick` makes it 10 to 30 times smaller, for trying the benchmark itself. */
export function dataSet(name: DataSetName, quick: boolean): DataSet {
  return makers[name](quick);
}

function linuxTree(quick: boolean): DataSet {
  return {
    name: quick ? "linux-quick" : "linux",
    description: quick
      ? "fs, kernel and mm of the Linux 6.1 source tree"
      : "Linux 6.1 source tree (Debian linux-source-6.1)",
    imageBytes: quick ? GiB / 2 : 3 * GiB,
    async fill(root, signal) {
      const members = quick ? ["fs", "kernel", "mm"].map((folder) => `linux-source-6.1/${folder}`) : [];
      await run(["tar", "-xJf", linuxTarball, "-C", root, "--strip-components=1", ...members], { signal });
    },
  };
}

function generatedTree(files: number): DataSet {
  return {
    name: `generated-${files}`,
    description: `${files} generated files like source text`,
    imageBytes: Math.max(256 * MiB, files * 40 * 1024),
    async fill(root, signal) {
      const random = new Random(1);
      const text = new SourceText(2);
      const folders = makeFolders(root, Math.ceil(files / 17), random);
      for (let file = 0; file < files; file++) {
        signal.throwIfAborted();
        const folder = folders[random.below(folders.length)] ?? root;
        const length = Math.min(4 * MiB, Math.floor(random.logNormal(6000, 1.35)));
        writeDated(join(folder, `${file.toString(36)}-${random.zipf(9999)}.c`), text.take(length), random);
      }
      dateFolders(folders);
    },
  };
}

/** Programs, libraries, documentation and headers of the machine itself, so not the same bytes everywhere: the smallest first, up to a bound. */
function debianRoot(quick: boolean): DataSet {
  const bytesMax = quick ? GiB / 16 : 2 * GiB;
  return {
    name: quick ? "debian-quick" : "debian",
    description: "what lies in /usr/bin, share, include and lib, the smallest entries first, up to 2 GiB",
    imageBytes: 2 * bytesMax,
    mkfsOptions: ["-i", "8192"],
    async fill(root, signal) {
      const folders = ["/usr/bin", "/usr/share", "/usr/include", "/usr/lib"];
      const list = 'find "$@" -mindepth 1 -maxdepth 1 -print0 | du -xs0B1 --files0-from=- | LC_ALL=C sort -zn';
      const { stdout } = await run(["bash", "-o", "pipefail", "-c", list, "list", ...folders], { signal });
      let bytes = 0;
      const chosen: string[] = [];
      for (const line of stdout.split("\0").filter(Boolean)) {
        const tab = line.indexOf("\t");
        bytes += Number(line.slice(0, tab));
        if (bytes > bytesMax) break;
        chosen.push(line.slice(tab + 2));
      }
      const copy = 'tar --xattrs --acls -C / -cf - "${@:2}" | tar --xattrs --acls --strip-components=1 -xf - -C "$1"';
      await run(["bash", "-o", "pipefail", "-c", copy, "copy", root, ...chosen], { signal });
    },
  };
}

function largeFiles(divisor: number): DataSet {
  return {
    name: divisor === 1 ? "mixed" : "mixed-quick",
    description: "four large files: noise, text, a sparse file with scattered data, a database",
    imageBytes: Math.ceil((4 * GiB) / divisor) + 128 * MiB,
    sparse: true,
    async fill(root, signal) {
      const noise = noiseStream(3);
      const text = new SourceText(4);
      writePieces(join(root, "noise.bin"), GiB / divisor, (length) => noise(length), signal);
      writePieces(join(root, "text.log"), GiB / divisor, (length) => text.take(length), signal);
      writeSparse(join(root, "disk.img"), (8 * GiB) / divisor, noise, text);
      writePieces(join(root, "table.db"), GiB / 2 / divisor, databasePages(text), signal);
    },
  };
}

function tinyFiles(files: number): DataSet {
  return {
    name: `tiny-${files}`,
    description: `${files} files of 20 to 220 bytes`,
    tenth: "tenth",
    imageBytes: files * 2300 + 128 * MiB,
    mkfsOptions: ["-b", "1024", "-N", String(files + Math.ceil(files / 500) + 1000)],
    async fill(root, signal) {
      const random = new Random(5);
      const text = new SourceText(6);
      const folders: string[] = [];
      for (let file = 0; file < files; file++) {
        if (file % 1000 === 0) {
          signal.throwIfAborted();
          const parent = file < files / 10 ? join(root, "tenth") : root;
          folders.push(join(parent, `d${file / 1000}`));
          mkdirSync(folders.at(-1) ?? root, { recursive: true });
        }
        writeDated(join(folders.at(-1) ?? root, `f${file}`), text.take(20 + random.below(200)), random);
      }
      dateFolders(folders);
    },
  };
}

function hardLinks(names: number): DataSet {
  const namesPerInode = 4;
  return {
    name: `links-${names}`,
    description: `${names} names of ${names / namesPerInode} hard-linked files of 300 bytes`,
    tenth: "tenth",
    imageBytes: names * 800 + 128 * MiB,
    async fill(root, signal) {
      const random = new Random(7);
      const text = new SourceText(8);
      const inodes = names / namesPerInode;
      const foldersIn = (parent: string) =>
        Array.from({ length: namesPerInode }, (_, number) => join(parent, `generation-${number}`));
      const [tenth, rest] = [foldersIn(join(root, "tenth")), foldersIn(root)];
      for (const folder of [...tenth, ...rest]) mkdirSync(folder, { recursive: true });
      for (let inode = 0; inode < inodes; inode++) {
        if (inode % 1000 === 0) signal.throwIfAborted();
        const folders = inode < inodes / 10 ? tenth : rest;
        const [first = root, ...others] = folders.map((folder) => join(folder, `message-${inode}`));
        writeDated(first, text.take(300), random);
        for (const other of others) linkSync(first, other);
      }
      dateFolders([...tenth, ...rest]);
    },
  };
}

function oneFile(): DataSet {
  return {
    name: "small",
    description: "one file of 1,000 bytes",
    imageBytes: 16 * MiB,
    small: true,
    async fill(root) {
      writeDated(join(root, "file.txt"), new SourceText(9).take(1000), new Random(9));
    },
  };
}

/** A tree of directories whose parents are earlier ones, so that some are deep. */
function makeFolders(root: string, count: number, random: Random): string[] {
  const folders = [root];
  for (let number = 1; number < count; number++) {
    const parent = folders[Math.floor(folders.length * random.uniform() ** 2)] ?? root;
    const folder = join(parent, `dir${number}`);
    mkdirSync(folder);
    folders.push(folder);
  }
  return folders;
}

/** Whole seconds, as an unpacked source tree has them. */
const epochSeconds = 1_700_000_000;

function writeDated(path: string, content: Uint8Array, random: Random): void {
  writeFileSync(path, content, { mode: random.uniform() < 0.05 ? 0o755 : 0o644 });
  const seconds = epochSeconds - random.below(300_000_000);
  utimesSync(path, seconds, seconds);
}

function dateFolders(folders: readonly string[]): void {
  for (const folder of folders.toReversed()) utimesSync(folder, epochSeconds, epochSeconds);
}

function writePieces(path: string, length: number, piece: (length: number) => Uint8Array, signal: AbortSignal): void {
  const file = openSync(path, "wx", 0o644);
  try {
    for (let written = 0; written < length; ) {
      signal.throwIfAborted();
      written += writeSync(file, piece(Math.min(4 * MiB, length - written)));
    }
  } finally {
    closeSync(file);
  }
  utimesSync(path, epochSeconds, epochSeconds);
}

/** A disk image of a virtual machine: 64 KiB of data, half noise and half text, every 16 MiB; the rest is holes. */
function writeSparse(path: string, length: number, noise: (length: number) => Buffer, text: SourceText): void {
  const file = openSync(path, "wx", 0o644);
  try {
    ftruncateSync(file, length);
    for (let offset = 5 * MiB; offset < length; offset += 16 * MiB) {
      writeSync(file, Buffer.concat([noise(32 * 1024), text.take(32 * 1024)]), 0, 64 * 1024, offset);
    }
  } finally {
    closeSync(file);
  }
  utimesSync(path, epochSeconds, epochSeconds);
}

/** Pages of 8 KiB: a header that counts, rows of text with a number each, a third of the page zero. */
function databasePages(text: SourceText): (length: number) => Buffer {
  const pageBytes = 8192;
  let page = 0;
  return (length) => {
    const pages = Buffer.alloc(length);
    for (let at = 0; at + pageBytes <= length; at += pageBytes) {
      pages.writeUInt32LE(page++, at);
      for (let row = 0; row < 40; row++) {
        pages.writeUInt32LE(page * 40 + row, at + 32 + row * 136);
        text.take(128).copy(pages, at + 40 + row * 136);
      }
    }
    return pages;
  };
}
