import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EntryKind } from "../../src/model/entry.ts";
import { BatchWriter } from "../../src/save/batch.ts";
import { addon } from "../../src/sys/addon.ts";
import { planLayout, statLayout } from "../../src/sys/layout.ts";

interface Listed {
  readonly name: Uint8Array;
  readonly mode: number;
  readonly nlink: number;
  readonly error: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly blocks: number;
  readonly mtimeNs: number;
  readonly ino: bigint;
}

const file: Listed = {
  name: Buffer.from("name"),
  mode: 0o100644,
  nlink: 1,
  error: 0,
  uid: 0,
  gid: 0,
  size: 700n,
  blocks: 8,
  mtimeNs: 0,
  ino: 12n,
};

/** Names as readDirectory() packs them, and their stat records. */
function listingOf(entries: readonly Listed[]): { names: Uint8Array; stats: Uint8Array } {
  const stats = new Uint8Array(entries.length * statLayout.size);
  const view = new DataView(stats.buffer);
  for (const [index, { mode, nlink, error, uid, gid, size, blocks, mtimeNs, ino }] of entries.entries()) {
    const at = index * statLayout.size;
    for (const [field, value] of Object.entries({ mode, nlink, error, uid, gid, mtimeNs })) {
      view.setUint32(at + statLayout[field as keyof typeof statLayout], value, true);
    }
    view.setBigUint64(at + statLayout.ino, ino, true);
    view.setBigInt64(at + statLayout.sizeBytes, size, true);
    view.setBigInt64(at + statLayout.blocks, BigInt(blocks), true);
  }
  const names = Buffer.concat(entries.flatMap(({ name }) => [Uint8Array.of(8, name.length), name]));
  return { names: new Uint8Array(names), stats };
}

interface Options {
  readonly count: number;
  readonly pathLength: number;
  readonly pathMax: number;
  readonly blockSize: number;
  readonly inodes: readonly number[];
  readonly room: number;
  /** Entry to begin with, and estimate of what the job has. */
  readonly from: number;
  readonly estimate: number;
}

const defaults: Options = {
  count: 100,
  pathLength: 5,
  pathMax: 1 << 20,
  blockSize: 1 << 20,
  inodes: [],
  room: 1 << 16,
  from: 0,
  estimate: 0,
};

type Arguments = Parameters<ReturnType<typeof addon>["planPlain"]>;

function callOf(entries: readonly Listed[], options: Partial<Options> = {}): Arguments {
  const { count, pathLength, pathMax, blockSize, inodes, room, from, estimate } = { ...defaults, ...options };
  const { names, stats } = listingOf(entries);
  const state = new Float64Array(planLayout.length);
  state[planLayout.name] = entries.slice(0, from).reduce((sum, { name }) => sum + 2 + name.length, 0);
  state[planLayout.stat] = from * statLayout.size;
  state[planLayout.estimate] = estimate;
  const records = new Uint8Array(room).fill(0xee);
  return [names, stats, count, 7, 3, pathLength, pathMax, blockSize, Uint32Array.from(inodes), records, state];
}

/** How many are planned. */
const plan = (entries: readonly Listed[], options: Partial<Options> = {}): number =>
  addon().planPlain(...callOf(entries, options));

/** How many of three files, of which the second is this one. */
const plannedAround = (entry: Partial<Listed>, options: Partial<Options> = {}): number =>
  plan([file, { ...file, ...entry }, file], options);

/** The rule of src/save/plan.ts. */
function estimateOf({ name, size, blocks, mtimeNs }: Listed, pathLength: number): number {
  const path = pathLength + name.length;
  const extended = path > 100 ? 1024 + path : mtimeNs === 0 ? 0 : 1024;
  return 512 + extended + Math.min(Math.ceil(Number(size) / 512) * 512, blocks * 512 + 4096);
}

const listed: fc.Arbitrary<Listed> = fc.record({
  name: fc.uint8Array({ minLength: 1, maxLength: 255 }),
  mode: fc.nat({ max: 0o7777 }).map((bits) => 0o100000 | bits),
  nlink: fc.constantFrom(0, 1),
  error: fc.constant(0),
  uid: fc.nat({ max: 0xffff_fffe }),
  gid: fc.nat({ max: 0xffff_fffe }),
  size: fc.bigInt({ min: 0n, max: 1n << 20n }),
  blocks: fc.nat({ max: 5000 }),
  mtimeNs: fc.constantFrom(0, 1, 999_999_999),
  ino: fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }),
});

describe("planPlain", () => {
  it("writes the records that the plan would write, and counts as it does", () => {
    fc.assert(
      fc.property(fc.array(listed, { maxLength: 20 }), fc.nat({ max: 300 }), (entries, pathLength) => {
        const call = callOf(entries, { pathLength, blockSize: 1 << 30 });
        expect(addon().planPlain(...call)).toBe(entries.length);
        const [names, stats, records, state] = [call[0], call[1], call[9], call[10]];
        const writer = new BatchWriter();
        let nameStart = 0;
        for (const [index, { name }] of entries.entries()) {
          const fields = {
            kind: EntryKind.file,
            flags: 0,
            depth: 3,
            linkEntry: -1,
            errno: 0,
            linkPath: new Uint8Array(0),
          };
          const source = { names, nameStart: nameStart + 2, nameLength: name.length };
          writer.add(7, fields, { ...source, stats: new DataView(stats.buffer), statOffset: index * statLayout.size });
          nameStart += 2 + name.length;
        }
        const expected = writer.finish();
        expect(state[planLayout.records]).toBe(expected.length);
        expect(Buffer.from(records.buffer, 0, expected.length).equals(expected)).toBe(true);
        expect(state[planLayout.name]).toBe(names.length);
        expect(state[planLayout.stat]).toBe(stats.length);
        const estimate = entries.reduce((sum, entry) => sum + estimateOf(entry, pathLength), 0);
        expect(state[planLayout.estimate]).toBe(estimate);
      }),
    );
  });

  it.each<[string, Partial<Listed>]>([
    ["a directory", { mode: 0o040755 }],
    ["a symlink", { mode: 0o120777 }],
    ["of several names", { nlink: 2 }],
    ["that could not be looked at", { error: 5 }],
    ["without owner", { uid: 0xffff_ffff }],
    ["without group", { gid: 0xffff_ffff }],
    ["larger than a block", { size: (1n << 20n) + 1n }],
    ["of a size that no number holds", { size: -1n }],
    ["that may be the archive", { ino: (77n << 32n) | 99n }],
  ])("stops before what is %s", (_, entry) => {
    expect(plannedAround(entry, { inodes: [98, 99], blockSize: 1 << 20 })).toBe(1);
  });

  it("stops where the job is full, the path too long, the count reached, no room, no stat or no name left", () => {
    const files = [file, file, file];
    const own = estimateOf(file, defaults.pathLength);
    expect(plan(files, { blockSize: 3 * own })).toBe(3);
    expect(plan(files, { blockSize: 3 * own, estimate: 1 })).toBe(2);
    expect(plan(files, { blockSize: 3 * own - 1 })).toBe(2);
    expect(plannedAround({ name: Buffer.alloc(20, "n") }, { pathMax: 25 })).toBe(1);
    expect(plannedAround({ name: Buffer.alloc(19, "n") }, { pathMax: 25 })).toBe(3);
    expect(plan(files, { count: 2 })).toBe(2);
    expect(plan(files, { room: 3 * 168 })).toBe(3);
    expect(plan(files, { room: 3 * 168 - 1 })).toBe(2);
    expect(plan(files, { from: 2 })).toBe(1);
    expect(plan(files, { from: 3 })).toBe(0);
    const short = callOf(files);
    short[1] = short[1].subarray(0, 2 * statLayout.size + 1);
    expect(addon().planPlain(...short)).toBe(2);
    const cut = callOf(files);
    cut[0] = cut[0].subarray(0, cut[0].length - 1);
    expect(addon().planPlain(...cut)).toBe(2);
  });

  it("refuses states that are none", () => {
    for (const field of ["name", "stat", "records"] as const) {
      for (const wrong of [-1, 0.5, Number.NaN, 1 << 20]) {
        const call = callOf([file]);
        call[10][planLayout[field]] = wrong;
        expect(() => addon().planPlain(...call)).toThrow(RangeError);
      }
    }
    const call = callOf([file]);
    call[10] = new Float64Array(3);
    expect(() => addon().planPlain(...call)).toThrow(RangeError);
  });
});
