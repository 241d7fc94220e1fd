// Entries are held encoded and sorted; what comes out must be what went in.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SortedEntries } from "../../src/commands/sorted-entries.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import type { ListedEntry, ListOrder } from "../../src/model/options.ts";
import { componentBytes, looseRow } from "../format/arbitraries.ts";

const row: fc.Arbitrary<CatalogRow> = fc
  .tuple(looseRow(16), componentBytes, fc.nat(100))
  .map(([loose, name, depth]) => ({ ...loose, name, depth: depth + 1, offset: 0 }));

const listed: fc.Arbitrary<ListedEntry> = fc
  .record({
    source: fc.nat(3),
    number: fc.nat(),
    path: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    row,
    linkPath: fc.option(fc.uint8Array({ minLength: 1, maxLength: 40 }), { nil: undefined }),
  })
  .map(({ linkPath, ...entry }) => (linkPath === undefined ? entry : { ...entry, linkPath }));

async function sorted(order: ListOrder, entries: readonly ListedEntry[]): Promise<ListedEntry[]> {
  const sorting = new SortedEntries(order);
  for (const entry of entries) sorting.add(entry);
  return [...(await sorting.inOrder(new AbortController().signal))];
}

function nameOf({ path }: ListedEntry): Buffer {
  return Buffer.from(path.subarray(path.lastIndexOf(0x2f) + 1));
}

function plain(entry: ListedEntry): unknown {
  return JSON.parse(JSON.stringify(entry, (_, value: unknown) => (value instanceof Uint8Array ? [...value] : value)));
}

describe("sorted entries", () => {
  it("are all there, unchanged", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(listed, { maxLength: 12 }),
        fc.constantFrom("size", "name", "path", "mtime"),
        async (list, order) => {
          const entries = list.map((entry, number) => ({ ...entry, number }));
          const found = (await sorted(order, entries)).toSorted((a, b) => a.number - b.number);
          expect(found.map(plain)).toEqual(entries.map(plain));
        },
      ),
    );
  });

  it("come with the largest and the latest first, names and paths by their bytes, equal ones as they came", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(listed, { maxLength: 20 }), async (entries) => {
        const numbered = entries.map((entry, number) => ({ ...entry, number }));
        const follows: Readonly<Record<ListOrder, (a: ListedEntry, b: ListedEntry) => number>> = {
          size: (a, b) => b.row.size - a.row.size,
          mtime: ({ row: { mtime: a } }, { row: { mtime: b } }) =>
            b.seconds - a.seconds || b.nanoseconds - a.nanoseconds,
          name: (a, b) => Buffer.compare(nameOf(a), nameOf(b)),
          path: (a, b) => Buffer.compare(a.path, b.path),
        };
        for (const [order, compare] of Object.entries(follows) as [ListOrder, (typeof follows)["size"]][]) {
          const result = await sorted(order, numbered);
          for (const [i, entry] of result.slice(1).entries()) {
            const difference = compare(result[i] as ListedEntry, entry);
            expect(difference).toBeLessThanOrEqual(0);
            if (difference === 0) expect(result[i]?.number).toBeLessThan(entry.number);
          }
        }
      }),
    );
  });

  it("may be more than fit one buffer", async () => {
    const path = new Uint8Array(200_000).fill(0x61);
    const [sample] = fc.sample(row, { numRuns: 1, seed: 1 }) as [CatalogRow];
    const entries = Array.from({ length: 60 }, (_, number): ListedEntry => ({ source: 0, number, path, row: sample }));
    expect((await sorted("name", entries)).map(({ number }) => number)).toEqual(entries.map(({ number }) => number));
  });
});
