// Holes and extents: SEEK_DATA/SEEK_HOLE maps (through perl, which Debian always has), unwritten extents (filefrag), and the
// content of files too sparse to be read whole.

import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { type Chunk, type WalkedEntry, fdPath, inChunk, nulList, overEntries } from "../walk.ts";
import { type Dump, type Judge, isHugeSparse, recordsInOrder } from "./dump.ts";

const mapScript = String.raw`
use strict; use Fcntl; $/ = "\0"; binmode STDIN; binmode STDOUT;
while (my $path = <STDIN>) {
  chomp $path;
  sysopen(my $file, $path, O_RDONLY | O_NOFOLLOW) or die "open: $!\n";
  my $size = (stat $file)[7]; my $at = 0; my @runs;
  while ($at < $size) {
    my $data = sysseek($file, $at, 3); last unless defined $data;
    my $hole = sysseek($file, $data, 4); die "seek: $!\n" unless defined $hole;
    push @runs, ($data + 0) . "-" . ($hole + 0); $at = $hole + 0;
  }
  print join(",", @runs), "\0"; close $file;
}`;

async function dataMaps(chunk: Chunk, files: readonly WalkedEntry[]): Promise<Dump> {
  if (files.length === 0) return new Map();
  const { stdout, stderr, status } = await inChunk(chunk, ["perl", "-e", mapScript], nulList(files));
  if (status !== 0) throw new Error(`perl: ${stderr}`);
  return recordsInOrder(files, stdout.split("\0").slice(0, -1), "SEEK_DATA");
}

/**
 * Runs of data as `start-end,…` in bytes. Pages of unwritten extents that somebody has read (or the kernel read ahead) count as
 * data for SEEK_DATA, so unwritten extents are taken out: the map is then that of a cold cache.
 */
export const judgeHoles: Judge = async (input) => {
  const maps = await dataMaps(input.chunk, input.entries.filter(isNonEmptyFile));
  if (input.ignore.has("unwritten")) return maps;
  for (const [path, unwritten] of await judgeUnwritten(input)) {
    const map = maps.get(path);
    if (map !== undefined) maps.set(path, textOf(subtract(rangesOf(map), rangesOf(unwritten))));
  }
  return maps;
};

type Range = readonly [start: number, end: number];

function rangesOf(text: string): Range[] {
  return text
    .split(",")
    .filter((range) => range !== "")
    .map((range) => range.split("-").map(Number) as unknown as Range);
}

function textOf(ranges: readonly Range[]): string {
  return ranges.map((range) => range.join("-")).join(",");
}

function subtract(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  let left = [...ranges];
  for (const [from, to] of holes) {
    left = left.flatMap(([start, end]): Range[] => {
      const parts: Range[] = [
        [start, Math.min(end, from)],
        [Math.max(start, to), end],
      ];
      return parts.filter((part) => part[0] < part[1]);
    });
  }
  return left;
}

/** Runs of unwritten (preallocated) blocks in bytes, joined, also beyond the end of the file. */
export const judgeUnwritten: Judge = async ({ chunk, entries }) => {
  const files = entries.filter((entry) => entry.stat.isFile() && entry.stat.blocks > 0n);
  const { stdout, stderr, status } = await overEntries(chunk, files, ["filefrag", "-v", "-b512", "--"]);
  if (status !== 0) throw new Error(`filefrag: ${stderr} ${stdout.slice(0, 200)}`);
  const dump: Dump = new Map();
  let position = 0;
  for (const { local, path } of files) {
    const start = stdout.indexOf(`File size of ${local} is `, position);
    if (start < 0) throw new Error(`filefrag said nothing of ${path}`);
    position = start + local.length;
    const end = stdout.indexOf("\nFile size of ./", position);
    const ranges = unwrittenRanges(stdout.slice(position, end < 0 ? undefined : end));
    if (ranges !== "") dump.set(path, ranges);
  }
  return dump;
};

function unwrittenRanges(text: string): string {
  const ranges: [start: number, end: number][] = [];
  for (const match of text.matchAll(/^ *\d+: +(\d+)\.\. +(\d+): [^\n]*unwritten/gm)) {
    const start = Number(match[1]) * 512;
    const end = (Number(match[2]) + 1) * 512;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === start) last[1] = end;
    else ranges.push([start, end]);
  }
  return ranges.map((range) => range.join("-")).join(",");
}

/** SHA-256 over the non-zero pages of huge sparse files, each with its offset: the same for any map of holes. */
export const judgeSparseContent: Judge = async ({ chunk, entries }) => {
  const maps = await dataMaps(chunk, entries.filter(isHugeSparse));
  const dump: Dump = new Map();
  for (const entry of entries) {
    const map = maps.get(entry.path);
    if (map !== undefined) dump.set(entry.path, digestOfRuns(fdPath(chunk, entry.local), map));
  }
  return dump;
};

function digestOfRuns(path: Buffer, map: string): string {
  const hash = createHash("sha256");
  const page = Buffer.alloc(4096);
  const fd = openSync(path, "r");
  try {
    for (const [start, end] of rangesOf(map)) {
      for (let offset = start - (start % page.length); offset < end; offset += page.length) {
        const length = readSync(fd, page, 0, page.length, offset);
        if (page.subarray(0, length).some((byte) => byte !== 0))
          hash.update(`${offset}:`).update(page.subarray(0, length));
      }
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex");
}

function isNonEmptyFile({ stat }: WalkedEntry): boolean {
  return stat.isFile() && stat.size > 0n;
}
