import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemberEncoder } from "../../src/format/member.ts";
import { RowEncoder } from "../../src/format/segment.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { BatchWriter, EntryBatch } from "../../src/save/batch.ts";
import { addon } from "../../src/sys/addon.ts";
import { STATX_BTIME } from "../../src/sys/constants.ts";
import { entryFlags, gatherLayout, placeLayout, plainRowMax, statLayout } from "../../src/sys/layout.ts";
import { catalogRow } from "../support/rows.ts";

interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

interface Planned {
  readonly kind: EntryKind;
  readonly name: Uint8Array;
  readonly flags: number;
  readonly depth: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly ino: number;
  readonly mtime: Time;
  readonly atime: Time;
  readonly btime: Time | undefined;
  readonly inodeFlags: number;
  readonly projectId: number;
  readonly error: number;
  readonly gathered: Partial<Record<keyof typeof gatherLayout, number>>;
  readonly fd: number;
  readonly left: boolean;
}

const file: Planned = {
  kind: EntryKind.file,
  name: Buffer.from("name"),
  flags: 0,
  depth: 1,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 3,
  ino: 77,
  mtime: { seconds: 1_700_000_000, nanoseconds: 0 },
  atime: { seconds: 1_700_000_001, nanoseconds: 5 },
  btime: undefined,
  inodeFlags: 0,
  projectId: 0,
  error: 0,
  gathered: {},
  fd: 40,
  left: false,
};
const directory: Planned = { ...file, kind: EntryKind.directory, size: 0, mode: 0o755, fd: -1 };

const largest = 5000;
const firstEntry = 998;
const tarBytes = 64 * 1024;

function statOf({ mode, uid, gid, size, ino, mtime, atime, btime }: Planned): DataView {
  const view = new DataView(new ArrayBuffer(statLayout.size));
  const time = (seconds: number, nanoseconds: number, { seconds: s, nanoseconds: ns }: Time): void => {
    view.setBigInt64(seconds, BigInt(s), true);
    view.setUint32(nanoseconds, ns, true);
  };
  view.setUint32(statLayout.mode, 0o100000 | mode, true);
  view.setUint32(statLayout.uid, uid, true);
  view.setUint32(statLayout.gid, gid, true);
  view.setBigUint64(statLayout.ino, BigInt(ino), true);
  view.setBigInt64(statLayout.sizeBytes, BigInt(size), true);
  time(statLayout.mtime, statLayout.mtimeNs, mtime);
  time(statLayout.atime, statLayout.atimeNs, atime);
  if (btime !== undefined) {
    view.setUint32(statLayout.mask, STATX_BTIME, true);
    time(statLayout.btime, statLayout.btimeNs, btime);
  }
  return view;
}

/** Fields of 8 bytes of a gather record; all others have 4. */
const wide = new Set<string>(["ino", "sizeBytes", "mtime", "firstHole"]);

function gatherRecordOf({ mtime, inodeFlags, projectId, gathered }: Planned): Uint8Array {
  const record = new Uint8Array(gatherLayout.size);
  const view = new DataView(record.buffer);
  const fields = {
    length: record.length,
    mtime: mtime.seconds,
    mtimeNs: mtime.nanoseconds,
    firstHole: -1,
    inodeFlags,
    projectId,
    ...gathered,
  };
  for (const [name, value] of Object.entries(fields)) {
    const at = gatherLayout[name as keyof typeof gatherLayout];
    if (wide.has(name)) view.setBigInt64(at, BigInt(value), true);
    else view.setUint32(at, value, true);
  }
  return record;
}

type Arguments = Parameters<ReturnType<typeof addon>["placePlain"]>;

/** The call for entries of directories with these member names. */
function callOf(
  entries: readonly Planned[],
  { dirs = [Buffer.from("d/")], tar = tarBytes, full = tarBytes, start = 0 }: Partial<Options> = {},
): Arguments {
  const writer = new BatchWriter();
  for (const [index, planned] of entries.entries()) {
    const { kind, flags, depth, error, name } = planned;
    const fields = { kind, flags, depth, linkEntry: -1, errno: error, linkPath: new Uint8Array(0) };
    const source = { names: name, nameStart: 0, nameLength: name.length, stats: statOf(planned), statOffset: 0 };
    writer.add(index % dirs.length, fields, source);
  }
  const count = entries.length;
  const batch = new EntryBatch(writer.finish().slice(), count);
  let end = 0;
  const state = new Float64Array(placeLayout.length);
  state[placeLayout.end] = start;
  return [
    batch.bytes,
    batch.starts(0, count),
    count,
    firstEntry,
    Buffer.concat(entries.map(gatherRecordOf)),
    Int32Array.from(entries, (_, index) => index * gatherLayout.size),
    Int32Array.from(entries, ({ fd }) => fd),
    Uint8Array.from(entries, ({ left }) => (left ? 1 : 0)),
    Buffer.concat(dirs),
    Uint32Array.from(dirs, ({ length }) => (end += length)),
    new Uint8Array(tar).fill(0xee),
    largest,
    full,
    new Uint8Array(count * plainRowMax),
    new Int32Array(count),
    new Float64Array(count),
    new Float64Array(count),
    state,
  ];
}

interface Options {
  readonly dirs: readonly Uint8Array[];
  readonly tar: number;
  readonly full: number;
  readonly start: number;
}

interface Placed {
  readonly count: number;
  readonly end: number;
  readonly room: number;
  readonly tar: Uint8Array;
  readonly rows: Uint8Array;
  readonly files: readonly (readonly [fd: number, size: number, offset: number])[];
  readonly bytes: number;
}

function place(entries: readonly Planned[], options: Partial<Options> = {}): Placed {
  const call = callOf(entries, options);
  addon().placePlain(...call);
  const [tar, rows, fds, sizes, offsets, state] = [call[10], call[13], call[14], call[15], call[16], call[17]];
  const at = (name: keyof typeof placeLayout): number => state[placeLayout[name]] as number;
  const files = [...fds.subarray(0, at("files"))];
  return {
    count: at("at"),
    end: at("end"),
    room: at("room"),
    tar: tar.subarray(0, at("end")),
    rows: rows.subarray(0, at("rows")),
    files: files.map((fd, k) => [fd, sizes[k] as number, offsets[k] as number]),
    bytes: at("bytes"),
  };
}

/** The same entries by the encoders of TypeScript, one behind the other; the bytes of content stay as they were. */
function encode(entries: readonly Planned[], dirs: readonly Uint8Array[]): Placed {
  const members = new MemberEncoder();
  const encoder = new RowEncoder();
  const tar = new Uint8Array(tarBytes).fill(0xee);
  const files: [number, number, number][] = [];
  let end = 0;
  for (const [index, entry] of entries.entries()) {
    const { kind, mode, uid, gid, size, mtime, atime, btime, name, depth, flags, inodeFlags, projectId, fd } = entry;
    const isFile = kind === EntryKind.file;
    const path = Buffer.concat([dirs[index % dirs.length] as Uint8Array, name, Buffer.from(isFile ? "" : "/")]);
    const { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds } = mtime;
    const fields = {
      kind,
      path,
      mode,
      uid,
      gid,
      size,
      mtimeSeconds,
      mtimeNanoseconds,
      entryNumber: firstEntry + index,
    };
    const dataOffset = members.encode(tar, end, fields);
    if (isFile) files.push([fd, size, dataOffset]);
    encoder.add({
      ...catalogRow({ kind, name, depth, offset: end, mode, uid, gid, size, mtime, atime, inodeFlags, projectId }),
      linked: (flags & entryFlags.linked) !== 0,
      btime,
      digest: isFile ? new Uint8Array(16) : undefined,
    });
    end = dataOffset + Math.ceil(size / 512) * 512;
    tar.fill(0, dataOffset + size, end);
  }
  const bytes = files.reduce((sum, [, size]) => sum + size, 0);
  return { count: entries.length, end, room: 0, tar: tar.subarray(0, end), rows: encoder.finish().rows, files, bytes };
}

/** How many of three entries are placed, the second of which is this one. */
const placedAround = (entry: Partial<Planned>, plain: Planned = file): number =>
  place([file, { ...plain, ...entry }, file]).count;

const component = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .array(
      fc.integer({ min: 1, max: 255 }).filter((byte) => byte !== 0x2f),
      { minLength: 1, maxLength },
    )
    .map((bytes) => Uint8Array.from(bytes));
const time = fc.record({
  seconds: fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff), fc.nat({ max: 0xffff_ffff })),
  nanoseconds: fc.oneof(fc.constantFrom(0, 1, 10, 500_000_000, 999_999_999), fc.nat({ max: 999_999_999 })),
});
const planned: fc.Arbitrary<Planned> = fc
  .record({
    kind: fc.constantFrom(EntryKind.file, EntryKind.directory),
    name: component(60),
    flags: fc.constantFrom(0, entryFlags.linked),
    depth: fc.integer({ min: 1, max: 65_535 }),
    mode: fc.nat({ max: 0o7777 }),
    uid: fc.nat({ max: 8 ** 7 - 1 }),
    gid: fc.nat({ max: 8 ** 7 - 1 }),
    size: fc.nat({ max: largest }),
    mtime: time,
    atime: time,
    btime: fc.option(time, { nil: undefined }),
    inodeFlags: fc.nat({ max: 0xffff_ffff }),
    projectId: fc.nat({ max: 0xffff_ffff }),
    fd: fc.nat({ max: 1000 }),
  })
  .map((fields) => {
    const isFile = fields.kind === EntryKind.file;
    return { ...file, ...fields, ...(isFile ? {} : { size: 0, fd: -1 }) };
  });

/** Member names of directories: of one or two components, so that some are to be cut. */
const dirName = fc
  .array(component(60), { maxLength: 2 })
  .map((names) => Buffer.concat(names.flatMap((name) => [name, Buffer.from("/")])));

describe("placePlain", () => {
  it("writes the bytes that the encoders write", () => {
    fc.assert(
      fc.property(
        fc.array(planned, { minLength: 1, maxLength: 6 }),
        fc.array(dirName, { minLength: 1, maxLength: 3 }),
        (entries, dirs) => {
          // A path that can nowhere be cut is for the other way.
          const { count } = place(entries, { dirs });
          expect(place(entries.slice(0, count), { dirs })).toEqual(encode(entries.slice(0, count), dirs));
          const last = entries[count];
          if (last === undefined) return;
          const whole = (dirs[count % dirs.length] as Uint8Array).length + last.name.length;
          expect(whole).toBeGreaterThan(99);
        },
      ),
    );
  });

  it("numbers extended headers by entry, whatever the number of digits", () => {
    const entries = Array.from({ length: 4 }, () => ({ ...file, mtime: { seconds: 7, nanoseconds: 9 } }));
    const { tar } = place(entries);
    const names = [0, 1, 2, 3].map((k) => Buffer.from(tar.subarray(2048 * k, 2048 * k + 16)).toString());
    expect(names.map((name) => name.replaceAll("\0", ""))).toEqual([
      "PaxHeaders/998",
      "PaxHeaders/999",
      "PaxHeaders/1000",
      "PaxHeaders/1001",
    ]);
  });

  it.each<[string, Partial<Planned>]>([
    ["that is not open", { fd: -1 }],
    ["to be left", { left: true }],
    ["of another kind", { kind: EntryKind.symlink }],
    ["that could not be gathered", { gathered: { error: 2 } }],
    ["with attributes", { gathered: { attributeCount: 1 } }],
    ["whose attributes failed", { gathered: { attributeError: 5 } }],
    ["whose flags failed", { gathered: { flagsError: 5 } }],
    ["with a hole", { gathered: { firstHole: 0 } }],
    ["with unwritten extents", { gathered: { unwritten: 1 } }],
    ["with shared extents", { gathered: { shared: 1 } }],
    ["that is too large", { size: largest + 1 }],
    ["with a wide owner", { uid: 8 ** 7 }],
    ["with a wide group", { gid: 0xffff_ffff }],
    ["from before 1970", { mtime: { seconds: -1, nanoseconds: 0 } }],
    ["of far away", { atime: { seconds: 2 ** 32, nanoseconds: 0 } }],
    ["whose nanoseconds are none", { btime: { seconds: 0, nanoseconds: 1_000_000_000 } }],
    ["whose name fits no header", { name: Buffer.alloc(101, "n") }],
    ["without a name", { name: Buffer.alloc(0) }],
  ])("stops before a file %s", (_, entry) => {
    expect(placedAround(entry)).toBe(1);
  });

  it.each<[string, Partial<Planned>]>([
    ["whose content could not be listed", { error: 5 }],
    ["that may be a subvolume", { flags: entryFlags.subvolume }],
    ["that stands for a subvolume", { ino: 2 }],
    ["with attributes", { gathered: { attributeCount: 1 } }],
  ])("stops before a directory %s", (_, entry) => {
    expect(placedAround(entry, directory)).toBe(1);
  });

  it("places what looks like those and is plain", () => {
    expect(placedAround({ gathered: { firstHole: 3 } })).toBe(3); // the end of the file
    expect(placedAround({ size: largest })).toBe(3);
    expect(placedAround({ error: 5 })).toBe(3); // of a directory's content only
    expect(placedAround({ ino: 2 })).toBe(3);
    expect(placedAround({ name: Buffer.alloc(98, "n") })).toBe(3);
    expect(placedAround({ gathered: { firstHole: 0 } }, directory)).toBe(3);
  });

  it("ends a block before the entry that would go beyond, unless it is empty", () => {
    const entries = [file, file, file];
    expect(place(entries, { full: 2048 })).toMatchObject({ count: 2, end: 2048, room: 0 });
    expect(place(entries, { full: 2047 })).toMatchObject({ count: 1, end: 1024, room: 0 });
    expect(place(entries, { full: 0 })).toMatchObject({ count: 1, end: 1024, room: 0 });
    expect(place(entries, { full: 1024, start: 512 })).toMatchObject({ count: 0, end: 512, room: 0 });
  });

  it("tells what room the next one needs", () => {
    expect(place([file, { ...file, size: 600 }], { tar: 2559 })).toMatchObject({ count: 1, end: 1024, room: 2560 });
    expect(place([{ ...file, mtime: { seconds: 1, nanoseconds: 1 } }], { tar: 2000 })).toMatchObject({
      count: 0,
      end: 0,
      room: 2048,
    });
  });

  it("goes on where it has come to", () => {
    const entries = [file, { ...file, left: true }, directory, file];
    const call = callOf(entries);
    const state = call.at(-1) as Float64Array;
    addon().placePlain(...call);
    expect([...state]).toEqual([1, 1024, expect.any(Number), 1, 3, 0]);
    state[placeLayout.at] = 2;
    state[placeLayout.end] = 4096;
    addon().placePlain(...call);
    expect([...state]).toEqual([4, 4096 + 512 + 1024, expect.any(Number), 2, 3, 0]);
    expect([...call[16]].slice(0, 2)).toEqual([512, 4096 + 1024]);
  });

  it("refuses arrays that are too short and states that are none, and trusts no offset", () => {
    const changed = (index: number, value: unknown): Arguments => {
      const call = callOf([file, file]) as unknown[];
      call[index] = value;
      return call as Arguments;
    };
    const refused = [changed(2, 3), changed(13, new Uint8Array(2 * plainRowMax - 1)), changed(17, new Float64Array(5))];
    for (const index of [14, 15, 16])
      refused.push(changed(index, index === 14 ? new Int32Array(1) : new Float64Array(1)));
    for (const [field, value] of [
      ["at", 3],
      ["at", -1],
      ["end", tarBytes + 1],
      ["rows", 1],
      ["files", 1],
      ["end", Number.NaN],
    ] as const) {
      const state = new Float64Array(placeLayout.length);
      state[placeLayout[field]] = value;
      refused.push(changed(17, state));
    }
    for (const call of refused) expect(() => addon().placePlain(...call)).toThrow(RangeError);
    for (const [index, value] of [
      [1, new Uint32Array([0xffff_ffff, 0])],
      [5, new Int32Array([0x7fff_ffff, 0])],
      [8, new Uint8Array(1)],
      [9, new Uint32Array(0)],
    ] as const) {
      const call = changed(index, value);
      addon().placePlain(...call);
      expect(call[17][placeLayout.at]).toBe(0);
    }
  });
});
