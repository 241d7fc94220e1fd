// What a tree is, as lines that can be compared: for tests that restore thousands of times. The judges of judges.ts see more, and are slower.

import { lstatSync, openSync, closeSync, constants, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { addon } from "../../src/sys/addon.ts";

/** `path → kind, mode, owner, times, content, attributes`, and with `links` the first name of the inode, of a folder and all below it; the folder is "". Paths are latin1. */
export function treeState(dir: string, links = true): Map<string, string> {
  const state = new Map<string, string>();
  const inodes = new Map<bigint, string>();
  const visit = (path: string): void => {
    const full = Buffer.from(join(dir, path), "latin1");
    const { mode, uid, gid, nlink, ino, mtimeNs, rdev, size, blocks } = lstatSync(full, { bigint: true });
    const kind = Number(mode) & 0o170000;
    const isDirectory = kind === 0o040000;
    const object = !links || isDirectory || nlink === 1n ? "" : `= ${inodes.get(ino) ?? path}`;
    if (object !== "" && !inodes.has(ino)) inodes.set(ino, path);
    const isFile = kind === 0o100000;
    const content = isFile ? contentOf(full) : kind === 0o120000 ? readlinkSync(full, "latin1") : "";
    const length = isFile ? `${size} ${size >= 1n << 20n ? blocks : ""}` : "";
    const what = [mode.toString(8), `${uid}:${gid}`, mtimeNs, rdev, length, content, object, attributesOf(dir, path)];
    state.set(path, what.join(" "));
    if (!isDirectory) return;
    for (const name of readdirSync(full, { encoding: "latin1" }).toSorted())
      visit(path === "" ? name : `${path}/${name}`);
  };
  visit("");
  return state;
}

/** Paths in which two trees differ. */
export function differences(expected: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): string[] {
  const paths = new Set([...expected.keys(), ...found.keys()]);
  return [...paths].filter((path) => expected.get(path) !== found.get(path));
}

function contentOf(path: Buffer): string {
  const bytes = readFileSync(path);
  const digest = new Uint8Array(16);
  addon().xxh128(bytes, 0, bytes.length, digest, 0);
  return Buffer.from(digest).toString("hex");
}

function attributesOf(dir: string, path: string): string {
  const native = addon();
  const folder = openSync(dir, constants.O_RDONLY);
  try {
    const name = path === "" ? new Uint8Array(0) : Buffer.from(path, "latin1");
    const names = native.listAttributes(folder, name);
    if (typeof names === "number") return "";
    const listed = Buffer.from(names)
      .toString("latin1")
      .split("\0")
      .filter((each) => each !== "")
      .toSorted();
    const values = listed.map((each) => native.getAttribute(folder, name, Buffer.from(each, "latin1")));
    return listed.map((each, i) => `${each}=${Buffer.from(values[i] as Uint8Array).toString("hex")}`).join(",");
  } finally {
    closeSync(folder);
  }
}
