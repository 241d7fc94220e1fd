// Sources that change while they are read (--allow-rw): what changes happens before a certain job runs.

import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import type { SaveJobs } from "../../src/save/protocol.ts";
import { directoryCapacity } from "../../src/sys/directory.ts";
import { requireOrSkip } from "../support/require.ts";
import { noise } from "../support/trees.ts";
import { inFolder } from "./support/folders.ts";
import { contentOf, type ReadArchive, type ReadEntry, readBack } from "./support/read-back.ts";
import { saveTree, told } from "./support/save-tree.ts";

requireOrSkip("root");

const MiB = 1024 * 1024;

interface LiveResult {
  readonly back: ReadArchive;
  readonly warned: readonly string[];
}

/** Saves a folder and lets something happen just before the first job of a kind runs. */
async function saveWhile(folder: string, kind: keyof SaveJobs, happen: () => void): Promise<LiveResult> {
  let happened = false;
  const before = (running: keyof SaveJobs): void => {
    if (running !== kind || happened) return;
    happened = true;
    happen();
  };
  const { archive, warnings } = await saveTree(folder, { live: true, serial: true, before });
  expect(happened).toBe(true);
  return { back: await readBack(archive), warned: told(warnings) };
}

describe("a small file that changed after the scan", () => {
  it.each([
    ["shrank", (path: string) => truncateSync(path, 100), 100],
    ["grew", (path: string) => appendFileSync(path, noise(50_000, 9)), 60_000],
    ["became empty", (path: string) => truncateSync(path, 0), 0],
  ])("is kept as it is when it is read: it %s", async (_, change, size) => {
    await inFolder(async (folder) => {
      const path = join(folder, "file");
      writeFileSync(path, noise(10_000, 1));
      writeFileSync(join(folder, "other"), "other");
      const { back, warned } = await saveWhile(folder, "pack", () => change(path));
      expect(warned).toEqual([]);
      const entry = back.byPath.get("0:file");
      expect(entry?.row).toMatchObject({
        size,
        changed: false,
        mtime: { seconds: Math.floor(statSync(path).mtimeMs / 1000) },
      });
      expect(contentOf(back.byPath.get("0:other")).toString()).toBe("other");
    });
  });

  it("keeps its beginning where it grew over a block, and is told", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "file");
      writeFileSync(path, noise(1000, 1));
      const { back, warned } = await saveWhile(folder, "pack", () => appendFileSync(path, noise(3 * MiB, 2)));
      expect(warned).toEqual(["file: ENTRY_CHANGED"]);
      const entry = back.byPath.get("0:file");
      expect(entry?.row).toMatchObject({ size: MiB, changed: true });
      expect(contentOf(entry).subarray(0, 1000).equals(noise(1000, 1))).toBe(true);
    });
  });

  it("is saved with owner and mode of the file that took its place", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "file");
      writeFileSync(path, "public!", { mode: 0o644 });
      utimesSync(path, 1000, 1000);
      const { back, warned } = await saveWhile(folder, "pack", () => {
        writeFileSync(join(folder, "new"), "secret!", { mode: 0o600 });
        utimesSync(join(folder, "new"), 1000, 1000);
        renameSync(join(folder, "new"), path);
      });
      expect(warned).toEqual([]);
      const entry = back.byPath.get("0:file");
      expect(contentOf(entry).toString()).toBe("secret!");
      expect(entry?.row).toMatchObject({ mode: 0o600, changed: false });
    });
  });

  it("is told as changed where another took its place and its other names are links to it", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "a"), "first inode");
      linkSync(join(folder, "a"), join(folder, "b"));
      const { back, warned } = await saveWhile(folder, "pack", () => {
        writeFileSync(join(folder, "new"), "other inode");
        renameSync(join(folder, "new"), join(folder, "a"));
      });
      expect(warned).toEqual(["a: ENTRY_CHANGED"]);
      expect(back.byPath.get("0:b")?.row.kind).toBe(EntryKind.hardlink);
    });
  });

  it.each([
    ["removed", "ENTRY_VANISHED", "ENOENT", (path: string) => unlinkSync(path)],
    [
      "replaced by a link",
      "ENTRY_UNREADABLE",
      "ESTALE",
      (path: string) => (unlinkSync(path), symlinkSync("/etc/passwd", path)),
    ],
    [
      "replaced by a FIFO",
      "ENTRY_UNREADABLE",
      "ESTALE",
      (path: string) => (unlinkSync(path), void execFileSync("mkfifo", [path])),
    ],
    ["replaced by a directory", "ENTRY_UNREADABLE", "ESTALE", (path: string) => (unlinkSync(path), mkdirSync(path))],
  ])("is absent, with the reason, when it was %s", async (_, code, absentReason, change) => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "file"), "content");
      writeFileSync(join(folder, "z"), "z");
      const { back, warned } = await saveWhile(folder, "pack", () => change(join(folder, "file")));
      expect(warned).toEqual([`file: ${code}`]);
      expect(back.byPath.get("0:file")?.row).toMatchObject({
        kind: EntryKind.absent,
        absentKind: EntryKind.file,
        absentReason,
      });
      expect(back.byPath.get("0:file")?.member).toBeUndefined();
      expect(contentOf(back.byPath.get("0:z")).toString()).toBe("z");
    });
  });

  it("leaves its place to its next name, to which the others become links", async () => {
    await inFolder(async (folder) => {
      for (const name of ["a", "b", "z"]) mkdirSync(join(folder, name));
      writeFileSync(join(folder, "a/first"), "content");
      for (const name of ["a/second", "b/third", "b/unseen", "z/last"]) {
        linkSync(join(folder, "a/first"), join(folder, name));
      }
      // Fills a block: the last name is packed in another job than the first.
      writeFileSync(join(folder, "b/unseen-and-large"), noise(3 * MiB, 1));
      const { archive, warnings } = await saveTree(folder, {
        before: (kind) => {
          if (kind === "pack") for (const name of ["a/first", "b/third"]) rmSync(join(folder, name), { force: true });
        },
      });
      expect(told(warnings)).toEqual(["a/first: ENTRY_VANISHED"]);
      const back = await readBack(archive);
      const object = back.byPath.get("0:a/second") as ReadEntry;
      expect(object.row).toMatchObject({ kind: EntryKind.file, linked: true });
      expect(contentOf(object).toString()).toBe("content");
      for (const name of ["b/third", "b/unseen", "z/last"]) {
        const { row, member } = back.byPath.get(`0:${name}`) as ReadEntry;
        expect(row.kind, name).toBe(EntryKind.hardlink);
        expect(back.entries[row.linkEntry as number], name).toBe(object);
        expect(Buffer.from(member?.linkPath ?? []).toString(), name).toBe("./a/second");
      }
    });
  });

  it("is taken over by a name in a later job, where no other of its own stands", async () => {
    await inFolder(async (folder) => {
      for (const name of ["a", "z"]) mkdirSync(join(folder, name));
      writeFileSync(join(folder, "a/first"), "content");
      for (const name of ["a/second", "z/gone", "z/last", "z/very-last"]) {
        linkSync(join(folder, "a/first"), join(folder, name));
      }
      writeFileSync(join(folder, "b"), noise(3 * MiB, 1));
      const { archive, warnings } = await saveTree(folder, {
        seed: 5,
        before: (kind) => {
          if (kind !== "pack") return;
          for (const name of ["a/first", "a/second", "z/gone"]) rmSync(join(folder, name), { force: true });
        },
      });
      expect(told(warnings).toSorted()).toEqual(
        ["a/first", "a/second", "z/gone"].map((name) => `${name}: ENTRY_VANISHED`),
      );
      const back = await readBack(archive);
      const object = back.byPath.get("0:z/last") as ReadEntry;
      expect(contentOf(object).toString()).toBe("content");
      expect(back.entries[back.byPath.get("0:z/very-last")?.row.linkEntry as number]).toBe(object);
    });
  });

  it("is absent with all its names where none is left", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "a"), "content");
      for (const name of ["b", "c"]) linkSync(join(folder, "a"), join(folder, name));
      const names = ["a", "b", "c"];
      const { archive, warnings } = await saveTree(folder, {
        before: (kind) => {
          if (kind === "pack") for (const name of names) rmSync(join(folder, name), { force: true });
        },
      });
      expect(told(warnings)).toEqual(names.map((name) => `${name}: ENTRY_VANISHED`));
      const back = await readBack(archive);
      for (const name of names)
        expect(back.byPath.get(`0:${name}`)?.row).toMatchObject({ kind: EntryKind.absent, linked: false });
    });
  });
});

describe("a file with holes that changed after the scan", () => {
  it("is read again when it was written while it was read", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "holes");
      writeFileSync(path, "");
      truncateSync(path, 300_000);
      const { back, warned } = await saveWhile(folder, "pack", () => {
        truncateSync(path, 500_000);
        appendFileSync(path, "end");
      });
      expect(warned).toEqual([]);
      const entry = back.byPath.get("0:holes");
      expect(entry?.row).toMatchObject({ size: 500_003, changed: false, sparse: true });
      expect(contentOf(entry).subarray(-3).toString()).toBe("end");
    });
  });
});

describe("a file of several blocks", () => {
  it("that is written between its slices, keeping its size, is told as changed, also within the second", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "large");
      writeFileSync(path, noise(5 * MiB, 1));
      const { back, warned } = await saveWhile(folder, "slice", () => {
        const { atime, mtimeMs } = statSync(path);
        // The same second as before, another nanosecond.
        utimesSync(path, atime, Math.floor(mtimeMs / 1000) + ((((mtimeMs / 1000) % 1) + 0.4) % 0.999));
      });
      expect(warned).toEqual(["large: ENTRY_CHANGED"]);
      expect(back.byPath.get("0:large")?.completion).toMatchObject({ changed: true, damaged: false });
    });
  });

  it.each([
    ["first block", "pack" as const, 0],
    ["a slice", "slice" as const, 2 * MiB],
  ])("that shrank before %s is filled up with zeros and told", async (_, kind, left) => {
    await inFolder(async (folder) => {
      const path = join(folder, "large");
      writeFileSync(path, noise(5 * MiB, 1));
      const { back, warned } = await saveWhile(folder, kind, () => truncateSync(path, left));
      expect(warned).toEqual(["large: ENTRY_CHANGED"]);
      const content = contentOf(back.byPath.get("0:large"));
      expect(content.length).toBe(5 * MiB);
      const kept = kind === "pack" ? 0 : left;
      expect(content.subarray(0, kept).equals(noise(5 * MiB, 1).subarray(0, kept))).toBe(true);
      expect(content.subarray(kept).every((byte) => byte === 0)).toBe(true);
    });
  });

  it.each(["removed", "replaced"])(
    "that was %s between its slices keeps what was read, and names what is missing",
    async (what) => {
      await inFolder(async (folder) => {
        const path = join(folder, "large");
        const content = noise(5 * MiB, 1);
        writeFileSync(path, content);
        const { back, warned } = await saveWhile(folder, "slice", () => {
          if (what === "replaced") {
            writeFileSync(join(folder, "new"), noise(5 * MiB, 2));
            renameSync(join(folder, "new"), path);
          } else unlinkSync(path);
        });
        expect(warned).toEqual(["large: ENTRY_DAMAGED"]);
        const entry = back.byPath.get("0:large");
        const ranges = entry?.completion?.damagedRanges ?? [];
        const read = contentOf(entry);
        for (const { offset, length } of ranges) read.set(content.subarray(offset, offset + length), offset);
        expect(read.equals(content), "what is not zeros is the file as it was").toBe(true);
        expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBe(4 * MiB);
      });
    },
  );
});

describe("a file of several blocks, replaced before its first block", () => {
  it("has nothing of the other file", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "large");
      writeFileSync(path, noise(3 * MiB, 1));
      const { back, warned } = await saveWhile(folder, "pack", () => {
        writeFileSync(join(folder, "new"), noise(3 * MiB, 2));
        renameSync(join(folder, "new"), path);
      });
      expect(warned).toContain("large: ENTRY_DAMAGED");
      expect(contentOf(back.byPath.get("0:large")).every((byte) => byte === 0)).toBe(true);
    });
  });
});

describe("a directory that is gone", () => {
  it("before it was scanned is kept without content, and told", async () => {
    await inFolder(async (folder) => {
      mkdirSync(join(folder, "d/e"), { recursive: true });
      writeFileSync(join(folder, "z"), "z");
      let scans = 0;
      const before = (kind: keyof SaveJobs): void => {
        if (kind === "scan" && scans++ === 1) rmSync(join(folder, "d"), { recursive: true });
      };
      // More directories than one scan takes, so that there is a second scan.
      for (let i = 0; i < 300; i++) mkdirSync(join(folder, `a${i}`));
      const { archive, warnings } = await saveTree(folder, { live: true, before });
      expect(told(warnings)).toEqual(["d: ENTRY_VANISHED"]);
      const back = await readBack(archive);
      expect(back.byPath.get("0:d")?.row).toMatchObject({ kind: EntryKind.directory, damaged: true });
      expect(back.byPath.has("0:d/e")).toBe(false);
    });
  });

  it("after its descriptor had to be closed loses its entries, and the save goes on", async () => {
    await inFolder(async (folder) => {
      const count = directoryCapacity() * 2;
      for (let i = 0; i < count; i++) {
        const name = `d${String(i).padStart(5, "0")}`;
        mkdirSync(join(folder, name, "sub"), { recursive: true });
        writeFileSync(join(folder, name, "file"), noise(3000, i));
        writeFileSync(join(folder, name, "sub/file"), "x");
      }
      const gone = Array.from({ length: 20 }, (_, i) => `d${String(count / 4 + i).padStart(5, "0")}`);
      const { back, warned } = await saveWhile(folder, "pack", () => {
        for (const name of gone) rmSync(join(folder, name), { recursive: true });
        mkdirSync(join(folder, gone[0] as string)); // another directory of the same name
        chmodSync(join(folder, gone[0] as string), 0o700);
      });
      expect(warned.length).toBeGreaterThan(0);
      expect(warned.every((line) => gone.some((name) => line.startsWith(name)))).toBe(true);
      const all = back.entries.filter(({ row }) => row.kind === EntryKind.file);
      expect(all).toHaveLength(2 * (count - gone.length));
      for (const name of gone)
        expect(back.byPath.get(`0:${name}/file`)?.row.kind ?? EntryKind.absent).toBe(EntryKind.absent);
    });
  });
});
