// Hostile archives against restfs, and against the built CLI: what an archive says of a file system is never an option of a tool, its entries stay below the
// new root, and what is shown of it on a terminal has no control bytes.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { FilesystemDescription } from "../../src/model/archive.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { tsfsa } from "../support/cli.ts";
import { directory, file, type ForgedEntry, forgeEntries, hardlink, root, symlink } from "../support/forge.ts";
import { type Lab, withLab } from "../support/images.ts";
import { requireOrSkip } from "../support/require.ts";

requireOrSkip("root", "loop");

const size = 64 << 20;
const plain: FilesystemDescription = {
  type: "ext4",
  label: "fine",
  uuid: "0f1e2d3c-4b5a-4968-8776-655443322110",
  sizeBytes: size,
  usedBytes: 1 << 20,
  blockSize: 4096,
  parameters: {},
};

function filesystem(change: object, entries: readonly ForgedEntry[] = [root, file(1, "a", "x")]): Promise<Buffer> {
  const source = { kind: "filesystem" as const, prefix: "./", origin: "forge", filesystem: { ...plain, ...change } };
  return forgeEntries(entries, { head: { sources: [source] } });
}

/** Runs restfs on a fresh image in a folder of its own; the image must be all that is there afterwards. */
async function restfs(lab: Lab, archive: Buffer): Promise<{ status: number; stderr: string; image: string }> {
  const out = lab.folder("out");
  const image = join(out, "t.img");
  writeFileSync(image, "");
  const { truncateSync } = await import("node:fs");
  truncateSync(image, size);
  const path = lab.path("a.tsfsa");
  writeFileSync(path, archive);
  const result = await tsfsa(["restfs", "--yes", path, `id=0,dest=${image}`], { cwd: out });
  expect(readdirSync(out)).toEqual(["t.img"]);
  expect(lab.leftovers()).toEqual([]);
  expectPlain(result.stderr);
  expectPlain(result.stdout.toString("latin1"));
  return { ...result, image };
}

describe("what an archive says of its file system", () => {
  it("is made again where it is harmless", async () => {
    await withLab(async (lab) => {
      const { status, stderr, image } = await restfs(lab, await filesystem({}));
      expect(status, stderr).toBe(0);
      expect(readFileSync(image).includes("0f1e2d3c", 0, "hex")).toBe(true);
    });
  });

  it.each([
    ["an option as label", { label: "--help" }],
    ["options as label", { label: "-F -E root_owner=1" }],
    ["a command as label", { label: "$(touch x)`touch y`" }],
    ["control bytes as label", { label: "\u001b[2J\u0007\n" }],
  ])("never becomes an option: %s", async (_, change) => {
    await withLab(async (lab) => {
      const { status, image } = await restfs(lab, await filesystem(change));
      expect([0, 1, 10, 11]).toContain(status);
      if (status > 1) expect(readFileSync(image).every((byte) => byte === 0)).toBe(true);
    });
  });

  it.each([
    ["an option as UUID", { uuid: "--help" }],
    ["a path as UUID", { uuid: "/dev/random" }],
    ["an option as type", { type: "ext4 -F" }],
    ["another program as type", { type: "../bin/sh" }],
    ["a block size that is none", { blockSize: -1 }],
    ["a size over 2^53", { sizeBytes: 2 ** 60 }],
    ["parameters of other types", { parameters: { inodeSize: "256 -F", blocksPerGroup: [] } }],
    ["features that are options", { parameters: { features: ["-F", "has_journal,^x"] } }],
  ])("is refused before the target is touched: %s", async (_, change) => {
    await withLab(async (lab) => {
      const { status, stderr, image } = await restfs(lab, await filesystem(change));
      expect([1, 2, 10, 11, 13, 64], stderr).toContain(status);
      if (status > 1) expect(readFileSync(image).every((byte) => byte === 0)).toBe(true);
    });
  });
});

describe("entries of a hostile archive", () => {
  it.each([
    ["a name upwards", [root, file(1, "../../../tmp/tsfsa-planted", "x")]],
    ["a file through a symlink", [root, symlink(1, "d", "/tmp"), file(2, "tsfsa-planted", "x")]],
    ["a directory after a symlink", [root, symlink(1, "d", "/tmp"), directory(1, "d"), file(2, "tsfsa-planted", "x")]],
    ["a link outside", [root, hardlink(1, "l", "../../etc/passwd", 0)]],
  ] as [string, ForgedEntry[]][])("stay below the new root in restfs: %s", async (_, entries) => {
    await withLab(async (lab) => {
      const { status, stderr, image } = await restfs(lab, await filesystem({}, entries));
      expect([10, 11], stderr).toContain(status);
      // What a link points to shows in the tar bytes only.
      if (!isLink(entries)) expect(readFileSync(image).every((byte) => byte === 0)).toBe(true);
      expect(readdirSync("/tmp")).not.toContain("tsfsa-planted");
    });
  });
});

describe("a catalog behind right checksums", () => {
  it.each([
    ["names out of order", [root, file(1, "b", "x"), file(1, "a", "x")]],
    ["a name twice", [root, file(1, "a", "x"), file(1, "a", "y")]],
    ["an entry without directory", [root, file(3, "a", "x")]],
    ["more roots than sources", [root, root]],
  ] as [string, ForgedEntry[]][])("costs the target nothing: %s", async (_, entries) => {
    await withLab(async (lab) => {
      const { status, stderr, image } = await restfs(lab, await filesystem({}, entries));
      expect([10, 11], stderr).toContain(status);
      expect(stderr).toMatch(/the target was not touched/);
      expect(readFileSync(image).every((byte) => byte === 0)).toBe(true);
    });
  });
});

function isLink(entries: readonly ForgedEntry[]): boolean {
  return entries.some(({ kind }) => kind === EntryKind.hardlink);
}

describe("names with control bytes", () => {
  it("come escaped to a terminal, and exact in JSON", async () => {
    await withLab(async (lab) => {
      const evil = "\u001b]0;owned\u0007\u001b[2J\u009b31m\r\n\u007f";
      const entries = [root, file(1, evil, "x"), directory(1, `${evil}d`), symlink(1, `${evil}l`, evil)];
      const path = lab.path("a.tsfsa");
      writeFileSync(path, await forgeEntries(entries, { head: { label: evil, creator: evil } }));
      const damaged = lab.path("b.tsfsa");
      const bytes = await forgeEntries([
        root,
        file(1, evil, "x", { mode: 0o600, row: { digest: new Uint8Array(16) } }),
      ]);
      writeFileSync(damaged, bytes);
      const runs = [
        ["list", path],
        ["archinfo", path],
        ["verify", path],
        ["verify", damaged],
        ["restdir", "-v", damaged, lab.folder("o")],
      ];
      for (const words of runs) {
        const { stdout, stderr } = await tsfsa(words);
        expectPlain(stderr);
        expectPlain(stdout.toString("latin1"));
      }
      const { stdout } = await tsfsa(["list", "--json", path]);
      const names = stdout
        .toString()
        .split("\n")
        .filter((line) => line.includes('"entry"'))
        .map((line) => JSON.parse(line) as Record<string, string>);
      const found = names.map(
        (line) => line["path"] ?? Buffer.from(line["pathBase64"] ?? "", "base64").toString("latin1"),
      );
      expect(found).toContain(evil);
    });
  });
});

/** No byte that a terminal acts upon, but the newline. */
function expectPlain(text: string): void {
  const bytes = Buffer.from(text, "latin1");
  expect(bytes.filter((byte) => (byte < 0x20 && byte !== 0x0a) || byte === 0x7f || byte === 0x9b)).toHaveLength(0);
}
