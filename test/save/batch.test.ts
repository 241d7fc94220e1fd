import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type EntryKind } from "../../src/model/entry.ts";
import { BatchWriter, EntryBatch } from "../../src/save/batch.ts";
import { statLayout } from "../../src/sys/layout.ts";

const entry = fc.record({
  directory: fc.nat(),
  kind: fc.integer({ min: 0, max: 8 }) as fc.Arbitrary<EntryKind>,
  flags: fc.constantFrom(0, 1),
  depth: fc.nat({ max: 65_535 }),
  linkEntry: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
  errno: fc.nat({ max: 4095 }),
  name: fc.uint8Array({ maxLength: 255 }),
  linkPath: fc.uint8Array({ maxLength: 5000 }),
  stat: fc.uint8Array({ minLength: statLayout.size, maxLength: statLayout.size }),
});

describe("a batch", () => {
  it("gives back the entries that were added, in order", () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 60 }), fc.nat({ max: 3 }), (entries, shift) => {
        const writer = new BatchWriter();
        for (const { directory, name, stat, ...fields } of entries) {
          const names = Buffer.concat([Buffer.alloc(3), name]);
          const bytes = new Uint8Array(shift + stat.length);
          bytes.set(stat, shift);
          const stats = new DataView(bytes.buffer);
          const source = { names, nameStart: 3, nameLength: name.length, stats, statOffset: shift };
          writer.add(directory, fields, source);
        }
        expect(writer.count).toBe(entries.length);
        const bytes = structuredClone(writer.finish());
        const batch = new EntryBatch(bytes, entries.length);
        const back = entries.map((_, index) => {
          const { statOffset, ...rest } = batch.entry(index);
          return { ...rest, stat: bytes.slice(statOffset, statOffset + statLayout.size) };
        });
        expect(back).toEqual(entries);
      }),
    );
  });
});
