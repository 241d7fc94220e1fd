// Generators of what an archive may hold, with the extremes that break other tools: shared by the tests of src/format.

import * as fc from "fast-check";
import type { Arbitrary } from "fast-check";
import { compareBytes, concatBytes, utf8 } from "../../src/base/bytes.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind, type ExtendedAttribute, type Extent, type Timestamp } from "../../src/model/entry.ts";

const secondsMax = Number.MAX_SAFE_INTEGER;

/** Any byte but NUL and slash. */
const nameByte = fc.integer({ min: 1, max: 255 }).map((byte) => (byte === 0x2f ? 0x5c : byte));

export const componentBytes: Arbitrary<Uint8Array> = fc
  .oneof(
    { weight: 4, arbitrary: fc.array(nameByte, { minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: fc.array(nameByte, { minLength: 95, maxLength: 255 }) },
    { weight: 1, arbitrary: fc.constantFrom([0x0a], [0xff, 0xfe], [0x2e, 0x2e, 0x2e], [0x2e, 0x61]) },
  )
  .map((bytes) => Uint8Array.from(bytes))
  .filter((name) => !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))));

const slash = utf8("/");

/** A member name, without the slash of a directory. */
export const memberPath: Arbitrary<Uint8Array> = fc
  .tuple(fc.constantFrom("./", "0/", "17/", "home/user/"), fc.array(componentBytes, { minLength: 1, maxLength: 8 }))
  .map(([prefix, components]) =>
    concatBytes([
      utf8(prefix),
      ...components.flatMap((component, index) => (index === 0 ? [component] : [slash, component])),
    ]),
  );

export const timestamp: Arbitrary<Timestamp> = fc.record({
  seconds: fc.oneof(
    fc.integer({ min: -10, max: 10 }),
    fc.integer({ min: 0, max: 2 ** 33 }),
    fc.integer({ min: -secondsMax, max: secondsMax }),
    fc.constantFrom(8 ** 11 - 1, 8 ** 11, -1, -secondsMax, secondsMax, -(2 ** 31), 2 ** 32),
  ),
  nanoseconds: fc.oneof(
    fc.constant(0),
    fc.constantFrom(1, 10, 100_000_000, 500_000_000, 999_999_999),
    fc.nat(999_999_999),
  ),
});

export const owner: Arbitrary<number> = fc.oneof(
  fc.nat(70_000),
  fc.constantFrom(0, 8 ** 7 - 1, 8 ** 7, 0xffff_fffe),
  fc.integer({ min: 0, max: 0xffff_fffe }),
);

export const fileSize: Arbitrary<number> = fc.oneof(
  fc.nat(5000),
  fc.constantFrom(0, 8 ** 11 - 1, 8 ** 11, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);

/** Attributes other than ACLs, in ascending order, each name once. */
export const attributes: Arbitrary<ExtendedAttribute[]> = fc
  .uniqueArray(
    fc.record({
      name: fc
        .tuple(
          fc.constantFrom("user.", "trusted.", "security.", ""),
          fc.array(nameByte, { minLength: 1, maxLength: 40 }),
        )
        .map(([namespace, bytes]) => concatBytes([utf8(namespace), Uint8Array.from(bytes)])),
      value: fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom(utf8("a=b%\n"), utf8(""), new Uint8Array(5000)),
      ),
    }),
    { maxLength: 6, selector: ({ name }) => Buffer.from(name).toString("hex") },
  )
  .map((list) => list.toSorted((left, right) => compareBytes(left.name, right.name)));

/** Ascending data segments of a sparse file whose offsets and lengths are multiples of 512 but at the end, and its size. */
export const sparseLayout: Arbitrary<{ realSize: number; segments: Extent[] }> = fc
  .record({
    runs: fc.array(fc.tuple(fc.integer({ min: 1, max: 20_000_000 }), fc.integer({ min: 1, max: 20 })), {
      maxLength: 30,
    }),
    startsWithData: fc.boolean(),
    tail: fc.oneof(fc.constant(0), fc.nat(2 ** 40)),
    cut: fc.nat(511),
  })
  .map(({ runs, startsWithData, tail, cut }) => {
    const segments: Extent[] = [];
    let at = 0;
    for (const [hole, data] of runs) {
      if (at > 0 || !startsWithData) at += hole * 512;
      segments.push({ offset: at, length: data * 512 });
      at += data * 512;
    }
    const last = segments.at(-1);
    if (tail === 0 && last !== undefined) {
      segments[segments.length - 1] = { offset: last.offset, length: last.length - cut };
      return { realSize: last.offset + last.length - cut, segments };
    }
    return { realSize: at + tail, segments };
  });

export const extents: Arbitrary<Extent[]> = fc
  .array(fc.tuple(fc.nat(2 ** 30), fc.integer({ min: 1, max: 2 ** 30 })), { minLength: 1, maxLength: 5 })
  .map((runs) => {
    let end = 0;
    return runs.map(([gap, length]) => {
      const offset = end + gap;
      end = offset + length;
      return { offset, length };
    });
  });

const common = {
  mode: fc.nat(0o7777),
  uid: owner,
  gid: owner,
  mtime: timestamp,
  atime: timestamp,
  inodeFlags: fc.nat(0xffff_ffff),
  projectId: fc.nat(0xffff_ffff),
  linked: fc.boolean(),
  changed: fc.boolean(),
  attributesLost: fc.boolean(),
};

const no = fc.constant(false);
const zero = fc.constant(0);

/** A row but for name, depth, offset and digest, which depend on its place. */
export type LooseRow = Omit<CatalogRow, "name" | "depth" | "offset">;

export function looseRow(digestLength: number): Arbitrary<LooseRow> {
  const device = fc.record({ major: fc.nat(0xffff_ffff), minor: fc.nat(0xffff_ffff) });
  const plain = { ...common, size: zero, damaged: no, sparse: no, continued: no };
  const digest = fc.uint8Array({ minLength: digestLength, maxLength: digestLength });
  return fc
    .oneof(
      fc.record(
        {
          kind: fc.constant(EntryKind.file),
          ...common,
          size: fc.maxSafeNat(),
          damaged: fc.boolean(),
          sparse: fc.boolean(),
          continued: fc.boolean(),
          digest,
          damagedRanges: extents,
          unwrittenExtents: extents,
          dataMap: extents,
        },
        { requiredKeys: ["kind", ...keys(common), "size", "damaged", "sparse", "continued"] },
      ),
      fc.record({ kind: fc.constantFrom(EntryKind.directory, EntryKind.fifo), ...plain }),
      fc.record({ kind: fc.constant(EntryKind.hardlink), ...plain, linkEntry: fc.maxSafeNat() }),
      fc.record({ kind: fc.constantFrom(EntryKind.charDevice, EntryKind.blockDevice), ...plain, device }),
      fc.record({
        kind: fc.constant(EntryKind.symlink),
        ...plain,
        size: fc.nat(4095),
        symlinkTarget: fc.uint8Array({ minLength: 1, maxLength: 4095 }),
      }),
      fc.record({ kind: fc.constant(EntryKind.socket), ...plain, attributes }),
      fc.record({
        kind: fc.constant(EntryKind.absent),
        ...plain,
        absentReason: fc.string(),
        absentKind: fc.constantFrom(EntryKind.file, EntryKind.directory),
      }),
    )
    .map((row): LooseRow => {
      const { digest: found, ...rest } = row as LooseRow;
      return found === undefined || row.continued ? rest : { ...rest, digest: found };
    })
    .chain((row) =>
      fc.option(timestamp, { nil: undefined }).map((btime) => (btime === undefined ? row : { ...row, btime })),
    );
}

function keys<Key extends string>(record: Record<Key, unknown>): Key[] {
  return Object.keys(record) as Key[];
}
