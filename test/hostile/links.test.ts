// Hard links to what this restore did not make, and metadata through links (docs/SAFETY.md; CVE-2016-5418, CVE-2026-23745, CVE-2026-26960,
// CVE-2021-23177).

import { linkSync, lstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, forge, forgeEntries, type ForgedEntry, hardlink, root, symlink } from "../support/forge.ts";
import { inlineRestore } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary, expectRefused } from "./canary.ts";

requireOrSkip("root");

const linked = { row: { linked: true } };

describe("a hard link", () => {
  it("comes back as one inode with its object", async () => {
    const canary = new Canary();
    try {
      const entries = [root, file(1, "a", "x", linked), hardlink(1, "b", "./a", 1)];
      const result = await inlineRestore(canary.archive(await forgeEntries(entries)), canary.destination);
      expect(result.status).toBe(0);
      const [a, b] = ["a", "b"].map((name) => lstatSync(join(canary.destination, name)));
      expect(b?.ino).toBe(a?.ino);
      expect(b?.nlink).toBe(2);
    } finally {
      canary.remove();
    }
  });

  const refused: readonly [what: string, entries: readonly ForgedEntry[]][] = [
    ["to a file outside", [hardlink(1, "b", "../outside/secret", 1)]],
    ["to an absolute name", [hardlink(1, "b", "/etc/passwd", 1)]],
    ["to an entry without further names", [file(1, "a", "x"), hardlink(1, "b", "./a", 1)]],
    ["to a directory", [directory(1, "a", linked), hardlink(1, "b", "./a", 1)]],
    ["to itself", [hardlink(1, "b", "./b", 1)]],
    ["to a later entry", [hardlink(1, "a", "./b", 2), file(1, "b", "x", linked)]],
    [
      "to another entry than tar says",
      [file(1, "a", "x", linked), file(1, "b", "y", linked), hardlink(1, "c", "./b", 1)],
    ],
    ["to a name that its object does not have", [file(1, "a", "x", linked), hardlink(1, "b", "./other", 1)]],
    ["to an entry number that is not there", [file(1, "a", "x", linked), hardlink(1, "b", "./a", 77)]],
    ["to a number over 2^53", [file(1, "a", "x", linked), hardlink(1, "b", "./a", Number.MAX_SAFE_INTEGER)]],
    ["through a symlink", [symlink(1, "a", "../../outside"), hardlink(1, "b", "./a/secret", 1)]],
    [
      "to a name without an entry number",
      [file(1, "a", "x"), { kind: EntryKind.hardlink, depth: 1, name: "b", target: "./a" }],
    ],
    [
      "of a socket to a file",
      [file(1, "a", "x", linked), { kind: EntryKind.socket, depth: 1, name: "b", row: { linkEntry: 1 } }],
    ],
  ];

  it.each(refused)("%s is refused", async (_, entries) => {
    await expectRefused(await forgeEntries([root, ...entries]), { status: 11, list: 0 });
  });

  it("with content of its own is refused", async () => {
    const content = { content: utf8("payload"), member: { kind: EntryKind.file } };
    const link = hardlink(1, "b", "./a", 1, content);
    // A member of type 1 that has data: the type byte of a file's header is changed, and its checksum.
    await expectRefused(await forgeEntries([root, file(1, "a", "x", linked), { ...link, tar: asLink() }]), {
      status: 11,
    });
  });

  it("from one source to another is refused", async () => {
    const head = { sources: [sourceAt("0/"), sourceAt("1/")] };
    const entries = [root, file(1, "a", "x", linked), root, hardlink(1, "b", "0/a", 1)];
    await expectRefused(await forgeEntries(entries, { head }), { status: 11 });
  });

  it("to an entry that could not be saved is no flaw of the archive", async () => {
    const absent = { kind: EntryKind.absent, depth: 1, name: "a", row: { linked: true, absentReason: "EACCES" } };
    await expectRefused(await forgeEntries([root, absent, hardlink(1, "b", "./a", 1)]), {
      status: { restore: 1, verify: 0 },
    });
  });

  it("to an object whose block is lost is named, and no attack", async () => {
    const groups = [
      {
        blocks: [
          { entries: [root, file(1, "a", "x", linked)], frame: broken },
          { entries: [hardlink(1, "b", "./a", 1)] },
        ],
      },
    ];
    const canary = new Canary();
    try {
      const result = await inlineRestore(canary.archive(await forge({ groups })), canary.destination);
      expect(result.status).toBe(10);
      expect([...result.named]).toEqual(expect.arrayContaining(["a", "b"]));
      expect(canary.inside()).toEqual([]);
    } finally {
      canary.remove();
    }
  });

  it("is not made to a file that was there before", async () => {
    const canary = new Canary();
    try {
      linkSync(join(canary.dir, "outside", "secret"), join(canary.destination, "a"));
      const entries = [root, file(1, "a", "mine", linked), hardlink(1, "b", "./a", 1)];
      const archive = canary.archive(await forgeEntries(entries));
      expect((await inlineRestore(archive, canary.destination)).status).toBe(1);
      expect(canary.inside()).toEqual(["a"]);
      expect((await inlineRestore(archive, canary.destination, { overwrite: true })).status).toBe(0);
      expect(canary.read("b")).toBe("mine");
      expect(lstatSync(join(canary.dir, "outside", "secret")).nlink).toBe(1);
    } finally {
      canary.remove();
    }
  });
});

describe("metadata", () => {
  it("of a symlink stays on the symlink", async () => {
    const canary = new Canary();
    try {
      const link = symlink(1, "l", "../../outside/secret", {
        mode: 0o777,
        member: { uid: 1234, gid: 77 },
        row: { uid: 1234, gid: 77 },
      });
      expect((await inlineRestore(canary.archive(await forgeEntries([root, link])), canary.destination)).status).toBe(
        0,
      );
      expect(lstatSync(join(canary.destination, "l")).uid).toBe(1234);
      canary.expectUntouched();
    } finally {
      canary.remove();
    }
  });

  it("of a hard link's row does not touch what was linked before", async () => {
    const canary = new Canary();
    try {
      writeFileSync(join(canary.destination, "kept"), "kept", { mode: 0o600 });
      const more = { mode: 0o4777, member: { uid: 9 }, row: { uid: 9, linkEntry: 1 } };
      const entries = [root, file(1, "a", "x", linked), hardlink(1, "kept", "./a", 1, more)];
      expect((await inlineRestore(canary.archive(await forgeEntries(entries)), canary.destination)).status).toBe(1);
      expect(lstatSync(join(canary.destination, "kept")).mode & 0o7777).toBe(0o600);
      expect(lstatSync(join(canary.destination, "a")).uid).toBe(0);
    } finally {
      canary.remove();
    }
  });
});

function sourceAt(prefix: string) {
  return { kind: "directory" as const, prefix, origin: "" };
}

function broken(tar: Uint8Array): Uint8Array {
  return new Uint8Array(tar.length + 20).fill(7);
}

/** Header and data of `./b`, a hard link to `./a` of 7 bytes. */
function asLink(): Uint8Array {
  const member = new Uint8Array(1024);
  const field = (text: string, at: number): void => member.set(utf8(text), at);
  field("./b", 0);
  for (const at of [108, 116, 329, 337]) field("0000000", at);
  field("0000644", 100);
  field("00000000007", 124);
  field("13727410000", 136);
  field("        ", 148);
  field("1./a", 156);
  field("ustar\u000000", 257);
  field("payload", 512);
  const sum = member.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  field(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return member;
}
