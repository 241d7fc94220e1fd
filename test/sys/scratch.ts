// Shared by the tests of sys/: scratch folders, names as bytes, and packing of what the addon takes.

import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { viewOf } from "../../src/base/bytes.ts";
import { addon, type BytesResult } from "../../src/sys/addon.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../../src/sys/constants.ts";
import { check, systemError } from "../../src/sys/errors.ts";
import { gatherLayout } from "../../src/sys/layout.ts";

/** Bytes of a string, one per character (latin1), so that "\xff" is one byte. */
export function bytes(characters: string): Uint8Array {
  return new Uint8Array(Buffer.from(characters, "latin1"));
}

export function text(value: Uint8Array): string {
  return Buffer.from(value).toString("latin1");
}

/** The bytes a call of the addon returned; throws what sys/ would make of −errno. */
export function checkBytes(result: BytesResult, syscall: string): Uint8Array {
  if (typeof result === "number") throw systemError(-result, syscall);
  return result;
}

export const empty: Uint8Array = new Uint8Array(0);

export interface Scratch {
  readonly path: string;
  /** Descriptor of the folder. */
  readonly fd: number;
  /** Path of a name in it. */
  readonly of: (name: string) => string;
  /** Opens a name for reading (O_RDONLY) or with other flags of node:fs; closed at the end. */
  readonly open: (name: string, flags?: string | number) => number;
}

/** Runs the body with a new folder and removes it; fails when the body left a descriptor open there. */
export async function inScratch(body: (scratch: Scratch) => void | Promise<void>): Promise<void> {
  await within(mkdtempSync(join(tmpdir(), "tsfsa-sys-")), body);
}

/** The same in an existing folder, which is removed too. */
export async function within(path: string, body: (scratch: Scratch) => void | Promise<void>): Promise<void> {
  const fd = openDirectory(path);
  const opened: number[] = [];
  let left: string[] = [];
  try {
    await body({
      path,
      fd,
      of: (name) => join(path, name),
      open: (name, flags = "r") => {
        const file = openSync(join(path, name), flags);
        opened.push(file);
        return file;
      },
    });
  } finally {
    for (const file of opened) closeSync(file);
    addon().close(fd);
    left = openBelow(path);
    rmSync(path, { recursive: true, force: true });
  }
  if (left.length > 0) throw new Error(`still open: ${left.join(", ")}`);
}

export function openDirectory(path: string): number {
  return check(addon().openAt(AT_FDCWD, Buffer.from(path), O_RDONLY | O_DIRECTORY, 0, 0), "openat", path);
}

/** Output of a tool, without shell, in the C locale. */
export function tool(...argv: readonly string[]): string {
  const [program = "", ...rest] = argv;
  return execFileSync(program, rest, { encoding: "latin1", env: { ...process.env, LC_ALL: "C", TZ: "UTC" } }).trimEnd();
}

/** Names as readDirectory packs them: u8 type or kind, u8 length, bytes. */
export function pack(entries: readonly (readonly [number, string])[]): Uint8Array {
  return Buffer.concat(entries.map(([type, name]) => Buffer.concat([Buffer.from([type, name.length]), bytes(name)])));
}

export function unpack(packed: Uint8Array): [number, string][] {
  const entries: [number, string][] = [];
  for (let at = 0; at < packed.length; ) {
    const length = packed[at + 1] as number;
    entries.push([packed[at] as number, text(packed.subarray(at + 2, at + 2 + length))]);
    at += 2 + length;
  }
  return entries;
}

export interface Gathered {
  readonly error: number;
  readonly inodeFlags: number;
  readonly projectId: number;
  readonly link: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly attributeError: number;
  readonly ino: bigint;
  readonly sizeBytes: number;
  readonly mtime: string;
  readonly flagsError: number;
  readonly firstHole: number;
}

/** `count` gather records from the start of `out`, with all that is consistent in them checked. */
export function readGathered(out: Uint8Array, count: number): Gathered[] {
  const view = viewOf(out);
  const layout = gatherLayout;
  const records: Gathered[] = [];
  for (let at = 0; records.length < count; ) {
    const u32 = (field: number): number => view.getUint32(at + field, true);
    const length = u32(layout.length);
    let from = at + layout.size;
    const link = text(out.subarray(from, from + u32(layout.linkLength)));
    from += u32(layout.linkLength);
    const end = from + u32(layout.attributeBytes);
    const attributes: Record<string, string> = {};
    while (from < end) {
      const nameLength = view.getUint16(from, true);
      const valueLength = view.getUint32(from + 4, true);
      const value = from + 8 + nameLength;
      attributes[text(out.subarray(from + 8, value))] = text(out.subarray(value, value + valueLength));
      from = value + valueLength;
    }
    if (from !== end || Object.keys(attributes).length !== u32(layout.attributeCount))
      throw new Error("bad attributes");
    if (length % 8 !== 0 || end > at + length || at + length - end >= 8) throw new Error("bad record length");
    records.push({
      error: u32(layout.error),
      inodeFlags: u32(layout.inodeFlags),
      projectId: u32(layout.projectId),
      link,
      attributes,
      attributeError: u32(layout.attributeError),
      ino: view.getBigUint64(at + layout.ino, true),
      sizeBytes: Number(view.getBigInt64(at + layout.sizeBytes, true)),
      mtime: `${view.getBigInt64(at + layout.mtime, true)}.${String(u32(layout.mtimeNs)).padStart(9, "0")}`,
      flagsError: u32(layout.flagsError),
      firstHole: Number(view.getBigInt64(at + layout.firstHole, true)),
    });
    at += length;
  }
  return records;
}

/** Open descriptors of this process on `path` and what is below it (also what was removed), by their links in /proc. */
export function openBelow(path: string): string[] {
  const links: string[] = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      links.push(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // The descriptor that read the list.
    }
  }
  return links.filter((link) => link === path || link.startsWith(`${path}/`));
}
