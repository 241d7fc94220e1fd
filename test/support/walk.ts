// Walks a tree of any depth with plain Node: names as bytes, paths longer than PATH_MAX included. Directories deeper than a few
// thousand bytes become *chunks* of their own, reached through a descriptor, so that path-bound tools can be run inside them.

import { spawn } from "node:child_process";
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync } from "node:fs";

const chunkPathBytes = 2000;

export interface WalkedEntry {
  /** From the root of the walk, `/`-separated bytes as latin1 text (so that text order is byte order); the root is "". */
  readonly path: string;
  /** The same from the chunk's folder, never empty, begins with `./`. */
  readonly local: string;
  readonly stat: BigIntStats;
}

export interface Chunk {
  readonly fd: number;
  /** Path of the chunk's folder from the root, latin1; "" for the root's own chunk. */
  readonly path: string;
  readonly entries: WalkedEntry[];
}

export interface Walk {
  readonly chunks: readonly Chunk[];
  /** All entries in byte order of their paths. */
  readonly entries: readonly WalkedEntry[];
  close(): void;
}

/** Walks `root` without leaving its file system. Close it when done. */
export function walk(root: string): Walk {
  const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const first: Chunk = { fd: openSync(root, constants.O_RDONLY | constants.O_DIRECTORY), path: "", entries: [] };
  const chunks: Chunk[] = [first];
  const rootStat = lstatSync(fdPath(first, "."), { bigint: true });
  first.entries.push({ path: "", local: "./", stat: rootStat });
  const stack: { chunk: Chunk; local: string; path: string }[] = [{ chunk: first, local: ".", path: "" }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { chunk, local, path } = next;
    const names = readdirSync(fdPath(chunk, local), { encoding: "buffer" }).map((name) => name.toString("latin1"));
    for (const name of names) {
      const entry = { path: join(path, name), local: `${local}/${name}` };
      const stat = lstatSync(fdPath(chunk, entry.local), { bigint: true });
      chunk.entries.push({ ...entry, stat });
      if (!stat.isDirectory() || stat.dev !== rootStat.dev) continue;
      if (entry.local.length < chunkPathBytes) {
        stack.push({ chunk, ...entry });
        continue;
      }
      const deeper: Chunk = { fd: openSync(fdPath(chunk, entry.local), directoryFlags), path: entry.path, entries: [] };
      chunks.push(deeper);
      stack.push({ chunk: deeper, local: ".", path: entry.path });
    }
  }
  for (const chunk of chunks) chunk.entries.sort(byPath);
  return {
    chunks,
    entries: chunks.flatMap((chunk) => chunk.entries).toSorted(byPath),
    close: () => {
      for (const chunk of chunks) closeSync(chunk.fd);
    },
  };
}

/** A path for node:fs that goes through the chunk's descriptor. */
export function fdPath(chunk: Chunk, local: string): Buffer {
  return Buffer.from(`/proc/self/fd/${chunk.fd}/${local}`, "latin1");
}

/** The chunk's folder as other processes name it. */
export function chunkFolder(chunk: Chunk): string {
  return `/proc/${process.pid}/fd/${chunk.fd}`;
}

export interface ToolOutput {
  /** latin1: bytes stay bytes. */
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/** Runs a tool in the chunk's folder with `input` (latin1) on standard input. */
export function inChunk(chunk: Chunk, argv: readonly string[], input: string): Promise<ToolOutput> {
  const [program = "", ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: chunkFolder(chunk),
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
    child.stdin.on("error", () => undefined);
    child.on("error", reject);
    child.on("close", (code) =>
      resolve({
        stdout: Buffer.concat(stdout).toString("latin1"),
        stderr: Buffer.concat(stderr).toString("latin1"),
        status: code ?? -1,
      }),
    );
    child.stdin.end(Buffer.from(input, "latin1"));
  });
}

/** Runs a tool with the entries' local names as operands, in as many batches as needed (xargs). */
export function overEntries(
  chunk: Chunk,
  entries: readonly WalkedEntry[],
  argv: readonly string[],
): Promise<ToolOutput> {
  if (entries.length === 0) return Promise.resolve({ stdout: "", stderr: "", status: 0 });
  return inChunk(chunk, ["xargs", "-0", "-r", ...argv], nulList(entries));
}

export function nulList(entries: readonly WalkedEntry[]): string {
  return entries.map((entry) => `${entry.local}\0`).join("");
}

export function join(path: string, name: string): string {
  return path === "" ? name : `${path}/${name}`;
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
