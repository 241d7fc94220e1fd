// Rows of subvolumes and shared extents that no save writes, and addresses that lie: no file may get another's bytes (docs/SAFETY.md).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { limits } from "../../src/base/limits.ts";
import type { SharedExtent } from "../../src/model/entry.ts";
import { directory, file, forgeEntries, type ForgedEntry, root } from "../support/forge.ts";
import { recipes, withLab } from "../support/images.ts";
import { inlineRestore } from "../support/inline.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary, expectRefused } from "./canary.ts";

requireOrSkip("root", "loop");

const KiB = 1024;
const subvolume = { readOnly: false, isDefault: false };

function sharing(...extents: readonly (readonly [offset: number, length: number, address?: number])[]) {
  const sharedExtents = extents.map(
    ([offset, length, address = 0]): SharedExtent => ({ offset, length, address, encoded: false }),
  );
  return { row: { sharedExtents } };
}

const content = Buffer.alloc(8 * KiB, "content");

const refused: readonly [what: string, entries: readonly ForgedEntry[]][] = [
  ["a subvolume that is a file", [root, file(1, "a", "x", { row: { subvolume } })]],
  ["a subvolume that is the root of the save", [{ ...root, row: { subvolume } }]],
  ["shared extents of a directory", [root, directory(1, "a", sharing([0, 512]))]],
  ["shared extents that overlap", [root, file(1, "a", content, sharing([0, 4 * KiB], [2 * KiB, 4 * KiB]))]],
  ["shared extents that are not in order", [root, file(1, "a", content, sharing([4 * KiB, 512], [0, 512]))]],
  ["an empty shared extent", [root, file(1, "a", content, sharing([0, 0]))]],
  ["a shared extent that begins beyond its file", [root, file(1, "a", content, sharing([8 * KiB, 512]))]],
  ["a shared extent that ends beyond its file", [root, file(1, "a", content, sharing([0, 128 * KiB]))]],
  ["a shared extent of an empty file", [root, file(1, "a", "", sharing([0, 512]))]],
  ["an address over 2^52", [root, file(1, "a", content, sharing([0, 512, 2 ** 52]))]],
];

describe("a catalog with", () => {
  it.each(refused)("%s is refused", async (_, entries) => {
    await expectRefused(await forgeEntries(entries), { status: 10 });
  });

  it("more shared extents than a file may have is refused", async () => {
    const many = Array.from({ length: limits.sharedExtents + 1 }, (_, i) => [i * 512, 512, i * 512] as const);
    const size = (limits.sharedExtents + 1) * 512;
    const row = { ...sharing(...many).row, size };
    await expectRefused(await forgeEntries([root, file(1, "a", content, { row })]), { status: 10 });
  });
});

describe("shared extents that lie", () => {
  it.each([recipes.xfs, recipes.btrfs])("share only what is equal, on $name", async (recipe) => {
    await withLab(async (lab) => {
      const mount = await lab.mount(await lab.filesystem(recipe));
      const canary = new Canary();
      try {
        const bytes = (name: string): Buffer => Buffer.alloc(64 * KiB, `${name} `);
        const mixed = Buffer.concat([bytes("a").subarray(0, 32 * KiB), bytes("c").subarray(32 * KiB)]);
        const all: ForgedEntry[] = [
          file(1, "a", bytes("a"), sharing([0, 64 * KiB, 2 ** 40])),
          file(1, "b", bytes("b"), sharing([0, 64 * KiB, 2 ** 40])),
          file(1, "c", mixed, sharing([0, 64 * KiB, 2 ** 40 - 16 * KiB])),
          file(1, "d", bytes("a"), sharing([0, 64 * KiB, 2 ** 40])),
          // The same storage in one file twice, which its bytes deny.
          file(1, "e", mixed, sharing([0, 32 * KiB, 0], [32 * KiB, 32 * KiB, 0])),
        ];
        const restored = await inlineRestore(canary.archive(await forgeEntries([root, ...all])), mount);
        expect(restored.status, restored.error?.message).toBe(0);
        const expected = { a: bytes("a"), b: bytes("b"), c: mixed, d: bytes("a"), e: mixed };
        for (const [name, value] of Object.entries(expected)) {
          expect(readFileSync(join(mount, name)).equals(value), name).toBe(true);
        }
      } finally {
        canary.remove();
      }
    });
  });
});
