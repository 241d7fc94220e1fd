// Names that lead out of the destination, that stand twice, or that turn a directory into something else (docs/SAFETY.md; CVE-2021-40153,
// CVE-2021-32804, CVE-2015-8860, CVE-2021-41072, CVE-2021-32803, CVE-2026-33056).

import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import {
  directory,
  file,
  forge,
  forgeEntries,
  type ForgedEntry,
  memberBytes,
  root,
  symlink,
} from "../support/forge.ts";
import { inlineRestore } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary, expectRefused } from "./canary.ts";

requireOrSkip("root");

/** 10: no string of that length can be read. */
const statusOf = (name: string): number => (name.length > 255 ? 10 : 11);

const illegal: readonly [what: string, name: string][] = [
  ["..", ".."],
  [".", "."],
  ["nothing", ""],
  ["a path", "outside/secret"],
  ["a path upwards", "../../outside/planted"],
  ["an absolute path", "/tmp/tsfsa-planted"],
  ["a NUL", "a\0b"],
  ["256 bytes", "n".repeat(256)],
];

describe("a name that is", () => {
  it.each(illegal)("%s is refused as a file's", async (_, name) => {
    await expectRefused(await forgeEntries([root, file(1, "a"), file(1, name, "planted")]), {
      status: statusOf(name),
      list: statusOf(name),
    });
  });

  it.each(illegal)("%s is refused as a directory's", async (_, name) => {
    const entries = [root, directory(1, name), file(2, "planted", "planted")];
    await expectRefused(await forgeEntries(entries), { status: statusOf(name), list: statusOf(name) });
  });

  it.each(illegal)("%s is refused as an ancestor's", async (_, name) => {
    const groups = [
      { blocks: [{ entries: [root, directory(1, "d")] }] },
      { blocks: [{ entries: [file(2, "planted", "planted")] }], ancestors: ["", name] },
    ];
    await expectRefused(await forge({ groups }), { status: statusOf(name) });
  });

  it.each(illegal.filter(([what]) => what !== "256 bytes"))(
    "%s is refused where only the tar stream has it",
    async (_, name) => {
      const path = new Uint8Array(Buffer.from(`./${name}`, "latin1"));
      const planted = file(1, "b", "planted");
      const entries = [root, file(1, "a"), { ...planted, tar: memberBytes(planted, path, 2) }];
      // What follows a NUL in a header is found before any name is made of it.
      const status = name.includes("\0") ? 10 : 11;
      await expectRefused(await forgeEntries(entries), { status, list: 0, inside: [] });
    },
  );

  it("a control sequence comes back as it was", async () => {
    const canary = new Canary();
    try {
      const name = "\u001b[2J\u009b\r\n\u0007";
      const archive = canary.archive(await forgeEntries([root, file(1, name, "x")]));
      expect((await inlineRestore(archive, canary.destination)).status).toBe(0);
      expect(canary.inside()).toEqual([name]);
    } finally {
      canary.remove();
    }
  });
});

describe("a name that stands twice", () => {
  const pairs: readonly [what: string, first: ForgedEntry, second: ForgedEntry][] = [
    ["two files", file(1, "x", "1"), file(1, "x", "2")],
    ["a symlink, then a file", symlink(1, "x", "../../outside/secret"), file(1, "x", "planted")],
    ["a directory, then a symlink", directory(1, "x"), symlink(1, "x", "../../outside")],
    ["a symlink, then a directory", symlink(1, "x", "../../outside"), directory(1, "x")],
    ["a file, then a fifo", file(1, "x", "1"), { kind: EntryKind.fifo, depth: 1, name: "x" }],
  ];
  const below = file(2, "planted", "planted");

  it.each(pairs)("in one block is refused: %s", async (_, first, second) => {
    await expectRefused(await forgeEntries([root, first, second, below]), { status: 11 });
  });

  it.each(pairs)("in two blocks is refused: %s", async (_, first, second) => {
    const groups = [{ blocks: [{ entries: [root, first] }, { entries: [second, below] }] }];
    await expectRefused(await forge({ groups }), { status: 11 });
  });

  it.each(pairs)("in two segments is refused, with --overwrite too: %s", async (_, first, second) => {
    const groups = [
      { blocks: [{ entries: [root, first] }] },
      { blocks: [{ entries: [second, below] }], ancestors: [""] },
    ];
    for (const overwrite of [false, true]) {
      await expectRefused(await forge({ groups }), { status: 11, request: { overwrite } });
    }
  });

  it.each(pairs)("behind a gap leads nowhere, with --overwrite too: %s", async (_, first, second) => {
    // A record that is not the next one: the reader takes it for a gap, and cannot know all names from before.
    const groups = [
      { blocks: [{ entries: [root, first] }] },
      { blocks: [{ entries: [second, below] }], ancestors: [""] },
    ];
    const archive = await forge({ groups });
    const garbled = Buffer.concat([
      archive.subarray(0, segmentEnd(archive)),
      Buffer.from("gap"),
      archive.subarray(segmentEnd(archive)),
    ]);
    for (const overwrite of [false, true]) {
      const canary = new Canary();
      try {
        const result = await inlineRestore(canary.archive(garbled), canary.destination, { overwrite });
        expect([10, 11]).toContain(result.status);
        canary.expectUntouched();
      } finally {
        canary.remove();
      }
    }
  });

  it.each(pairs)("under two sources with one prefix leads nowhere: %s", async (_, first, second) => {
    const source = { kind: "directory" as const, prefix: "./", origin: "" };
    const head = { sources: [source, source] };
    const archive = await forgeEntries([root, first, root, second, below], { head });
    const canary = new Canary();
    try {
      const result = await inlineRestore(canary.archive(archive), canary.destination, { overwrite: true });
      expect(result.status).not.toBe(2);
      canary.expectUntouched();
    } finally {
      canary.remove();
    }
  });
});

describe("a link that waits in the destination", () => {
  const entries = [root, directory(1, "d", { mode: 0o700 }), file(2, "secret", "planted", { mode: 0o777 })];

  it("is not followed, neither for a directory nor for a file", async () => {
    await expectRefused(await forgeEntries(entries), { status: { restore: 1, verify: 0 }, plant: plantFolder });
    await expectRefused(await forgeEntries([root, file(1, "secret", "planted")]), {
      status: { restore: 1, verify: 0 },
      plant: plantFile,
    });
  });

  it("is replaced itself with --overwrite, not what it points to", async () => {
    await expectRefused(await forgeEntries(entries), {
      status: 0,
      plant: plantFolder,
      request: { overwrite: true },
      inside: ["d", "d/secret"],
    });
  });
});

function plantFolder(canary: Canary): void {
  canary.plant("d", "../../outside");
}

function plantFile(canary: Canary): void {
  canary.plant("secret", "../../outside/secret");
}

/** Offset behind the copy of the head, which ends the first group. */
function segmentEnd(archive: Buffer): number {
  const magic = Buffer.from("8f5453465341 0d0a".replace(" ", ""), "hex");
  let at = archive.indexOf(magic);
  for (let count = 0; ; count++) {
    const type = archive.readUInt16LE(at + 8);
    if (type === 1 && count > 0) return at - 8 + 64 + archive.readUInt32LE(at + 12);
    at = archive.indexOf(magic, at + 1);
  }
}
