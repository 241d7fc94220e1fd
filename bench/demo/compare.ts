// Compares two trees by what Node and the distribution's tools see, without a line of tsfsa.

import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { installed, run } from "../process.ts";

export interface TreeOptions {
  /** Leave access times out: the source lies where reading changes them. */
  readonly ignoreAccessTimes: boolean;
  readonly signal: AbortSignal;
}

export interface Tree {
  /** Facts of each entry by its path; both in latin1, one character per byte. */
  readonly entries: ReadonlyMap<string, Facts>;
  /** Sum of the sizes of all files, a file with several names counted once. */
  readonly contentBytes: number;
  readonly allocatedBytes: number;
  /** What was compared besides Node's stat and content. */
  readonly judges: readonly string[];
}

type Facts = Record<string, string>;

/** Reads a whole tree. */
export async function readTree(root: string, options: TreeOptions): Promise<Tree> {
  const entries = new Map<string, Facts>();
  const firstNames = new Map<bigint, string>();
  let contentBytes = 0;
  let allocatedBytes = 0;
  const pending = ["."];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    options.signal.throwIfAborted();
    const bytes = Buffer.from(`${root}/${path}`, "latin1");
    const stat = lstatSync(bytes, { bigint: true });
    const facts: Facts = {
      "type and mode": stat.mode.toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      "modification time": `${stat.mtimeNs} ns`,
      ...(options.ignoreAccessTimes ? {} : { "access time": `${stat.atimeNs} ns` }),
    };
    entries.set(path, facts);
    if (stat.isDirectory()) {
      const names = readdirSync(bytes, { encoding: "buffer" }).map((name) => name.toString("latin1"));
      pending.push(...names.toSorted().map((name) => `${path}/${name}`));
      continue;
    }
    facts["link count"] = String(stat.nlink);
    const first = firstNames.get(stat.ino);
    if (first === undefined) firstNames.set(stat.ino, path);
    if (stat.isSymbolicLink()) facts["link target"] = readlinkSync(bytes, { encoding: "buffer" }).toString("latin1");
    if (stat.isCharacterDevice() || stat.isBlockDevice()) facts["device number"] = stat.rdev.toString(16);
    if (first !== undefined || !stat.isFile()) continue;
    facts["size"] = String(stat.size);
    facts["content (SHA-256)"] = digestOf(bytes);
    contentBytes += Number(stat.size);
    allocatedBytes += Number(stat.blocks) * 512;
  }
  for (const [path, group] of linkGroups(root, [...entries.keys()]))
    Object.assign(entries.get(path) ?? {}, { "same file as": group });
  const judges = await readAttributes(root, entries, options.signal);
  return { entries, contentBytes, allocatedBytes, judges };
}

/** Differences of two trees, one sentence each. Allocation may differ by a little: where extents lie is the file system's choice. */
export function compareTrees(source: Tree, restored: Tree): readonly string[] {
  const differences: string[] = [];
  for (const path of new Set([...source.entries.keys(), ...restored.entries.keys()])) {
    const [was, is] = [source.entries.get(path), restored.entries.get(path)];
    if (was === undefined || is === undefined) {
      differences.push(`${JSON.stringify(path)} is only in the ${was ? "source" : "restored tree"}`);
      continue;
    }
    for (const fact of new Set([...Object.keys(was), ...Object.keys(is)])) {
      if (was[fact] !== is[fact]) {
        differences.push(`${JSON.stringify(path)}: ${fact} was ${was[fact] ?? "none"}, is ${is[fact] ?? "none"}`);
      }
    }
  }
  if (Math.abs(source.allocatedBytes - restored.allocatedBytes) > 256 * 1024) {
    differences.push(
      `files occupied ${source.allocatedBytes} bytes, now ${restored.allocatedBytes}: holes were filled or made`,
    );
  }
  return differences;
}

function digestOf(path: Buffer): string {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  const file = openSync(path, "r");
  try {
    for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer))
      hash.update(buffer.subarray(0, read));
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

/** For each name of a file that has several: the first of them in byte order. */
function linkGroups(root: string, paths: readonly string[]): Map<string, string> {
  const first = new Map<bigint, string>();
  const groups = new Map<string, string>();
  for (const path of paths.toSorted()) {
    const stat = lstatSync(Buffer.from(`${root}/${path}`, "latin1"), { bigint: true });
    if (stat.isDirectory() || stat.nlink === 1n) continue;
    if (!first.has(stat.ino)) first.set(stat.ino, path);
    groups.set(path, first.get(stat.ino) ?? path);
  }
  return groups;
}

/** Adds what getfattr (ACLs and capabilities are attributes too) and lsattr say; gives the names of those that are installed. */
async function readAttributes(
  root: string,
  entries: ReadonlyMap<string, Facts>,
  signal: AbortSignal,
): Promise<string[]> {
  const judges: string[] = [];
  if (installed("getfattr")) {
    judges.push("getfattr");
    const { stdout } = await run(["getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], {
      cwd: root,
      signal,
    });
    for (const record of stdout.split("\n\n").filter(Boolean)) {
      const [head = "", ...attributes] = record.split("\n");
      const path = head
        .replace("# file: ", "")
        .replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
      const facts = entries.get(path === "." ? "." : `./${path.replace(/^\.\//, "")}`);
      if (facts === undefined) throw new Error(`getfattr names ${JSON.stringify(path)}, which is not in the tree`);
      facts["extended attributes"] = attributes.toSorted().join(" ");
    }
  }
  if (installed("lsattr")) {
    judges.push("lsattr");
    for (const [path, facts] of entries) {
      if (!path.startsWith("./flags/")) continue;
      const { stdout } = await run(["lsattr", "-d", path], { cwd: root, signal });
      facts["inode flags"] = stdout.split(" ")[0] ?? "";
    }
  }
  return judges;
}
