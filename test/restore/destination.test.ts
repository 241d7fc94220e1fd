// What a destination passes on, holds already, or lacks room for.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createDigest } from "../../src/codec/digest.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, fileDigest, forge, forgeEntries, hardlink, root } from "../support/forge.ts";
import { type Lab, recipes, withLab } from "../support/images.ts";
import { inlineRestore } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { noise } from "../support/trees.ts";

requireOrSkip("root", "loop");

function archiveAt(lab: Lab, bytes: Buffer): string {
  const path = lab.path("a.tsfsa");
  writeFileSync(path, bytes);
  return path;
}

const entries = [
  root,
  directory(1, "d"),
  file(2, "f", "new", { mode: 0o640 }),
  { kind: EntryKind.fifo, depth: 1, name: "p" },
];

function flagged(inodeFlags: number) {
  return { row: { linked: true, inodeFlags } };
}

describe("a restore", () => {
  it("gives directories that were there before the owner and mode of the archive", async () => {
    await withLab(async (lab) => {
      const destination = lab.folder();
      mkdirSync(join(destination, "d"), { mode: 0o777 });
      chownSync(join(destination, "d"), 1000, 1000);
      chownSync(destination, 1000, 1000);
      const { status } = await inlineRestore(archiveAt(lab, await forgeEntries(entries)), destination);
      expect(status).toBe(0);
      for (const path of [destination, join(destination, "d")]) {
        const { uid, gid, mode } = lstatSync(path);
        expect([uid, gid, mode & 0o7777]).toEqual([0, 0, 0o755]);
      }
    });
  });

  it("takes neither group nor ACL nor flags from the destination", async () => {
    await withLab(async (lab) => {
      const destination = await lab.mount(await lab.filesystem(recipes.ext4));
      chownSync(destination, 0, 77);
      chmodSync(destination, 0o2755);
      execFileSync("setfacl", ["-d", "-m", "u:99:rwx", destination]);
      execFileSync("chattr", ["+A", destination]);
      expect((await inlineRestore(archiveAt(lab, await forgeEntries(entries)), destination)).status).toBe(0);
      for (const name of ["d", "d/f", "p"]) {
        const path = join(destination, name);
        expect(lstatSync(path).gid, name).toBe(0);
        expect(execFileSync("getfacl", ["-nsp", path]).toString(), name).toBe("");
      }
      expect(lstatSync(join(destination, "d/f")).mode & 0o7777).toBe(0o640);
      expect(execFileSync("lsattr", [join(destination, "d/f")]).toString()).not.toMatch(/A.* /);
    });
  });

  it("sets immutable and append-only after all links are made", async () => {
    await withLab(async (lab) => {
      const destination = await lab.mount(await lab.filesystem(recipes.ext4));
      const all = [
        root,
        file(1, "a", "x", flagged(0x10)),
        file(1, "b", "y", flagged(0x20)),
        hardlink(1, "c", "./a", 1),
        hardlink(1, "d", "./b", 2),
      ];
      expect((await inlineRestore(archiveAt(lab, await forgeEntries(all)), destination)).status).toBe(0);
      const flags = execFileSync("lsattr", [join(destination, "c"), join(destination, "d")])
        .toString()
        .split("\n");
      expect(flags[0]).toMatch(/^[^ ]*i[^ ]* /);
      expect(flags[1]).toMatch(/^[^ ]*a[^ ]* /);
      execFileSync("chattr", ["-ia", join(destination, "c"), join(destination, "d")]);
    });
  });

  it("leaves what exists, and replaces it with --overwrite, but never a directory", async () => {
    await withLab(async (lab) => {
      const destination = lab.folder();
      const archive = archiveAt(
        lab,
        await forgeEntries([root, file(1, "a", "new"), file(1, "b", "new"), file(1, "c", "new")]),
      );
      writeFileSync(join(destination, "a"), "old");
      mkdirSync(join(destination, "b"));
      symlinkSync("a", join(destination, "c"));
      const kept = await inlineRestore(archive, destination);
      expect([kept.status, [...kept.named]]).toEqual([1, ["a", "b", "c"]]);
      expect(readFileSync(join(destination, "a"), "utf8")).toBe("old");
      const replaced = await inlineRestore(archive, destination, { overwrite: true });
      expect([replaced.status, [...replaced.named]]).toEqual([1, ["b"]]);
      expect(lstatSync(join(destination, "c")).isFile()).toBe(true);
      expect(readFileSync(join(destination, "a"), "utf8")).toBe("new");
    });
  });

  it("onto a full file system ends with NO_SPACE and takes back the file that is not whole", async () => {
    await withLab(async (lab) => {
      const megabyte = 1 << 20;
      const content = noise(6 * megabyte, 1);
      const digest = fileDigest(await createDigest("xxh128"), content);
      const slices = [1, 2, 3, 4, 5].map((part) => ({
        slice: content.subarray(part * megabyte, (part + 1) * megabyte),
        record: { continuation: { entry: 1, fileOffset: part * megabyte } },
      }));
      const blocks = [{ entries: [root, file(1, "large", content, { contentHere: megabyte })] }, ...slices];
      const completions = [{ entry: 1, damaged: false, changed: false, digest, damagedRanges: [] }];
      const archive = archiveAt(lab, await forge({ groups: [{ blocks, completions }] }));
      expect((await inlineRestore(archive, lab.folder())).status).toBe(0);
      const small = await lab.tmpfs(3 * megabyte);
      const { status, error } = await inlineRestore(archive, small);
      expect([status, error?.code]).toEqual([2, "NO_SPACE"]);
      expect(readdirSync(small)).toEqual([]);
    });
  });
});
