// What an archive holds against the tree on disk, by plain Node: every entry, its kind and stat, the content of files, the groups of hard links.

import { closeSync, constants, openSync, readFileSync, readlinkSync } from "node:fs";
import { expect } from "vitest";
import { EntryKind } from "../../../src/model/entry.ts";
import { fdPath, walk } from "../../support/walk.ts";
import { contentOf, type ReadArchive, type ReadEntry } from "./read-back.ts";

const typeBits = 0o170000;
const kindOfType: Readonly<Record<number, EntryKind>> = {
  [constants.S_IFREG]: EntryKind.file,
  [constants.S_IFLNK]: EntryKind.symlink,
  [constants.S_IFCHR]: EntryKind.charDevice,
  [constants.S_IFBLK]: EntryKind.blockDevice,
  [constants.S_IFDIR]: EntryKind.directory,
  [constants.S_IFIFO]: EntryKind.fifo,
  [constants.S_IFSOCK]: EntryKind.socket,
};

/** Expects that source `source` of the archive holds the tree below `root`, all of it and nothing else. */
export function expectTree(archive: ReadArchive, root: string, source = 0): void {
  const walked = walk(root);
  try {
    const paths = archive.entries.filter((entry) => entry.source === source).map(({ path }) => path);
    expect(paths.toSorted()).toEqual(walked.entries.map(({ path }) => path).toSorted());
    const inodes = new Map(walked.entries.map(({ path, stat }) => [path, stat.ino]));
    const firstNames = new Map<bigint, ReadEntry>();
    for (const entry of archive.entries) {
      const inode = entry.source === source ? inodes.get(entry.path) : undefined;
      if (inode !== undefined && !firstNames.has(inode)) firstNames.set(inode, entry);
    }
    for (const chunk of walked.chunks) {
      for (const { path, local, stat } of chunk.entries) {
        const entry = archive.byPath.get(`${source}:${path}`) as ReadEntry;
        const { row } = entry;
        const nanoseconds = BigInt(row.mtime.seconds) * 1_000_000_000n + BigInt(row.mtime.nanoseconds);
        const found = { mode: row.mode, uid: row.uid, gid: row.gid, mtime: nanoseconds };
        const expected = { mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid) };
        expect(found, path).toEqual({ ...expected, mtime: stat.mtimeNs });
        const kind = kindOfType[Number(stat.mode) & typeBits] as EntryKind;
        const target = row.linkEntry === undefined ? undefined : archive.entries[row.linkEntry];
        if (target !== undefined) {
          expect(firstNames.get(stat.ino), `object of ${path}`).toBe(target);
          expect(row.kind).toBe(kind === EntryKind.socket ? kind : EntryKind.hardlink);
          continue;
        }
        expect(row.kind, path).toBe(kind);
        expect(firstNames.get(stat.ino), `${path} should be a link`).toBe(entry);
        if (kind !== EntryKind.directory && stat.nlink > 1n) expect(row.linked).toBe(true);
        if (kind === EntryKind.symlink) {
          expect(Buffer.from(row.symlinkTarget ?? [])).toEqual(
            readlinkSync(fdPath(chunk, local), { encoding: "buffer" }),
          );
        }
        if (kind === EntryKind.file) {
          expect(row.size).toBe(Number(stat.size));
          expect(contentOf(entry).equals(read(fdPath(chunk, local))), `content of ${path}`).toBe(true);
        }
      }
    }
  } finally {
    walked.close();
  }
}

function read(path: Buffer): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOATIME);
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
