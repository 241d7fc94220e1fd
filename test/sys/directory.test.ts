import { mkdirSync, renameSync, rmSync, rmdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import type { DirectoryHandle } from "../../src/sys/directory.ts";
import { DirectoryTable, deviceKey } from "../../src/sys/directory.ts";
import { check } from "../../src/sys/errors.ts";
import { readStat, statDescriptor } from "../../src/sys/stat.ts";
import type { Scratch } from "./scratch.ts";
import { bytes, inScratch, openBelow, openDirectory, text, tool } from "./scratch.ts";
import { draws } from "../support/draws.ts";

/** A handle of an existing directory `name`, without descriptor. */
function known(table: DirectoryTable, parent: DirectoryHandle, name: string): DirectoryHandle {
  const fd = parent.acquire();
  try {
    const record = new Uint8Array(128);
    check(addon().statAt(fd, bytes(name), record), "statx", name);
    return table.child(parent, bytes(name), undefined, readStat(record));
  } finally {
    parent.release();
  }
}

function inodeOf(fd: number): number | bigint {
  return statDescriptor(fd).ino;
}

async function withTable(
  capacity: number,
  body: (table: DirectoryTable, root: DirectoryHandle, scratch: Scratch) => void,
): Promise<void> {
  await inScratch((scratch) => {
    const table = new DirectoryTable(capacity);
    try {
      body(table, table.root(openDirectory(scratch.path)), scratch);
    } finally {
      table.close();
    }
  });
}

describe("a directory handle", () => {
  it("gives a descriptor of its directory, again and again", () =>
    withTable(2, (table, root, { of, path }) => {
      mkdirSync(of("a/b"), { recursive: true });
      const a = known(table, root, "a");
      const b = known(table, a, "b");
      for (let round = 0; round < 3; round++) {
        expect(inodeOf(b.acquire())).toBe(statSync(of("a/b")).ino);
        b.release();
        expect(inodeOf(root.acquire())).toBe(statSync(path).ino);
        root.release();
      }
      expect([text(root.path()), text(a.path()), text(b.path())]).toEqual(["", "a", "a/b"]);
      expect([b.parent, a.parent, root.parent]).toEqual([a, root, undefined]);
      expect(b.dev).toBe(deviceKey(statDescriptor(root.acquire()).dev));
      root.release();
    }));

  it("keeps the descriptor while it is acquired, however many others come by", () =>
    withTable(1, (table, root, { of }) => {
      for (const name of ["held", "x", "y", "z"]) mkdirSync(of(name));
      const held = known(table, root, "held");
      const fd = held.acquire();
      expect(held.acquire()).toBe(fd);
      for (const name of ["x", "y", "z"]) {
        const other = known(table, root, name);
        other.acquire();
        other.release();
      }
      expect(inodeOf(fd)).toBe(statSync(of("held")).ino);
      held.release();
      expect(inodeOf(fd)).toBe(statSync(of("held")).ino);
      held.release();
    }));

  it("takes over a descriptor it is given, and closes it in its time", () =>
    withTable(1, (table, root, { of, path }) => {
      mkdirSync(of("a"));
      mkdirSync(of("b"));
      for (const name of ["a", "b"]) {
        const fd = openDirectory(of(name));
        const handle = table.child(root, bytes(name), fd, statDescriptor(fd));
        expect(handle.acquire()).toBe(fd);
        handle.release();
      }
      // The descriptor of inScratch, the root, and the one idle directory.
      expect(openBelow(path).toSorted()).toEqual([path, path, of("b")]);
    }));

  it("closes at dispose, or with the last release after it, and is of no use then", () =>
    withTable(4, (table, root, { of, path }) => {
      mkdirSync(of("a/b"), { recursive: true });
      const a = known(table, root, "a");
      const b = known(table, a, "b");
      a.acquire();
      a.dispose();
      expect(openBelow(path)).toContain(of("a"));
      a.release();
      expect(openBelow(path)).not.toContain(of("a"));
      expect(() => a.acquire()).toThrow(expect.objectContaining({ code: "INTERNAL" }));
      // A child finds its way through it all the same, and leaves nothing open there.
      expect(inodeOf(b.acquire())).toBe(statSync(of("a/b")).ino);
      b.release();
      expect(openBelow(path)).not.toContain(of("a"));
      b.dispose();
      expect(openBelow(path)).toEqual([path, path]);
    }));

  it("does not hold the buffer its name was cut from", () =>
    withTable(4, (table, root, { of }) => {
      mkdirSync(of("abc"));
      const buffer = bytes("..abc..");
      const handle = table.child(root, buffer.subarray(2, 5), undefined, statDescriptor(root.acquire()));
      root.release();
      buffer.fill(0);
      expect(text(handle.name)).toBe("abc");
    }));

  it("refuses a release too many and a parent of another table", () =>
    withTable(1, (table, root) => {
      expect(() => root.release()).toThrow(expect.objectContaining({ code: "INTERNAL" }));
      expect(() => new DirectoryTable(1).child(root, bytes("x"), undefined, statDescriptor(root.acquire()))).toThrow(
        TypeError,
      );
      root.release();
      expect(table.openCount).toBe(1);
      expect(() => new DirectoryTable(0)).toThrow(RangeError);
    }));
});

describe("a directory that was replaced", () => {
  const change: Readonly<Record<string, (of: (name: string) => string) => void>> = {
    "by a symlink to itself": (of) => {
      renameSync(of("a/b"), of("a/moved"));
      symlinkSync("moved", of("a/b"));
    },
    "by a symlink to elsewhere": (of) => {
      rmdirSync(of("a/b/c"));
      rmdirSync(of("a/b"));
      symlinkSync("/etc", of("a/b"));
    },
    "by another directory": (of) => {
      renameSync(of("a/b"), of("a/moved"));
      mkdirSync(of("a/b/c"), { recursive: true });
    },
    "by a file": (of) => {
      rmSync(of("a/b"), { recursive: true });
      writeFileSync(of("a/b"), "");
    },
  };

  it.each(Object.keys(change))("%s is refused, as itself and on the way to others", (how) =>
    withTable(1, (table, root, { of, path }) => {
      mkdirSync(of("a/b/c"), { recursive: true });
      mkdirSync(of("other"));
      const b = known(table, known(table, root, "a"), "b");
      const c = known(table, b, "c");
      const other = known(table, root, "other");
      other.acquire();
      other.release();
      change[how]?.(of);
      for (const handle of [b, c]) {
        expect(() => handle.acquire()).toThrow(
          expect.objectContaining({ code: "IO", context: { errno: "ESTALE", path: bytes("a/b") } }),
        );
      }
      expect(openBelow(path).filter((link) => /\/(b|moved)$/.test(link))).toEqual([]);
    }),
  );

  it("is not noticed through a descriptor that is still open, which stays where it was", () =>
    withTable(8, (table, root, { of }) => {
      mkdirSync(of("a"));
      const a = known(table, root, "a");
      const fd = a.acquire();
      renameSync(of("a"), of("moved"));
      symlinkSync("/etc", of("a"));
      check(addon().mkdirAt(fd, bytes("below"), 0o700), "mkdirat");
      expect(statSync(of("moved/below")).isDirectory()).toBe(true);
      a.release();
    }));

  it("is told from one that is gone", () =>
    withTable(1, (table, root, { of }) => {
      mkdirSync(of("a"));
      const a = known(table, root, "a");
      rmdirSync(of("a"));
      expect(() => a.acquire()).toThrow(
        expect.objectContaining({ code: "IO", context: { errno: "ENOENT", path: bytes("a") } }),
      );
    }));
});

describe("a directory table", () => {
  it("goes down and up a chain deeper than any path with two descriptors", () =>
    withTable(2, (table, root, { path }) => {
      const depth = 300;
      const name = "d".repeat(100);
      const chain: DirectoryHandle[] = [root];
      for (let level = 0; level < depth; level++) {
        const parent = chain[level] as DirectoryHandle;
        check(addon().mkdirAt(parent.acquire(), bytes(name), 0o700), "mkdirat");
        parent.release();
        chain.push(known(table, parent, name));
      }
      const deepest = chain.at(-1) as DirectoryHandle;
      expect(deepest.path().length).toBe(depth * 101 - 1);
      for (const handle of [deepest, chain[150], chain[1], deepest, chain[299]] as DirectoryHandle[]) {
        expect(inodeOf(handle.acquire())).toBe(handle.ino);
        handle.release();
        expect(table.openCount).toBeLessThanOrEqual(3);
      }
      table.close();
      tool("rm", "-rf", `${path}/${name}`);
    }));

  it("closes everything at its end, also what is acquired, and releases stay harmless", () =>
    withTable(2, (table, root, { of, path }) => {
      mkdirSync(of("a"));
      const a = known(table, root, "a");
      a.acquire();
      table.close();
      expect(openBelow(path)).toEqual([path]);
      a.release();
      expect(() => a.acquire()).toThrow(expect.objectContaining({ code: "INTERNAL" }));
    }));

  it("keeps its bound and gives the right directory, whatever the order of use", () =>
    inScratch(({ of, path }) => {
      const places = ["a", "a/b", "a/b/c", "a/b/c/d", "a/x", "a/x/y", "z"];
      for (const place of places) mkdirSync(of(place), { recursive: true });
      const operation = fc.tuple(fc.constantFrom("acquire", "release"), fc.nat(places.length - 1));
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 3 }), fc.array(operation, { maxLength: 60 }), (capacity, operations) => {
          const table = new DirectoryTable(capacity);
          const root = table.root(openDirectory(path));
          try {
            const handles = new Map<string, DirectoryHandle>([["", root]]);
            for (const place of places) {
              const cut = place.lastIndexOf("/");
              const parent = handles.get(place.slice(0, Math.max(0, cut))) as DirectoryHandle;
              handles.set(place, known(table, parent, place.slice(cut + 1)));
            }
            const held = places.map(() => 0);
            for (const [what, index] of operations) {
              const handle = handles.get(places[index] as string) as DirectoryHandle;
              if (what === "acquire") {
                expect(inodeOf(handle.acquire())).toBe(statSync(of(places[index] as string)).ino);
                held[index] = (held[index] as number) + 1;
              } else if ((held[index] as number) > 0) {
                handle.release();
                held[index] = (held[index] as number) - 1;
              }
              const pinned = held.filter((count) => count > 0).length;
              expect(table.openCount).toBeLessThanOrEqual(1 + Math.max(capacity, pinned));
            }
          } finally {
            table.close();
          }
          expect(openBelow(path)).toEqual([path]);
        }),
        { numRuns: draws(60) },
      );
    }));
});
