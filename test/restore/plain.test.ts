// What the addon says of rows and members is compared with what the decoders say: whatever bytes change, it never takes for plain what they refuse.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes, equalBytes, utf8 } from "../../src/base/bytes.ts";
import { decodeMembers, type Member } from "../../src/format/memberDecoder.ts";
import { MemberEncoder } from "../../src/format/member.ts";
import { RowEncoder } from "../../src/format/segment.ts";
import { decodeBlockRows, decodeDirectoryRow, RowOrder } from "../../src/format/segmentDecoder.ts";
import { padded } from "../../src/format/ustar.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind, type Timestamp } from "../../src/model/entry.ts";
import { differenceOf } from "../../src/restore/member-row.ts";
import { RowPath } from "../../src/restore/row-path.ts";
import { addon } from "../../src/sys/addon.ts";
import { catalogRow } from "../support/rows.ts";

interface Entry {
  readonly kind: EntryKind;
  readonly depth: number;
  readonly name: Uint8Array;
  readonly content: Uint8Array;
  readonly target: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly mtime: Timestamp;
  readonly linked: boolean;
  readonly hasAttribute: boolean;
}

interface Block {
  readonly tar: Uint8Array;
  readonly count: number;
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
}

const prefix = utf8("./");
const { file, directory, symlink, fifo, socket, charDevice } = EntryKind;
const none = new Uint8Array(0);

const name = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[a-z]{1,12}$/).map(utf8) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 255 }).map((length) => utf8("n".repeat(length))) },
  { weight: 1, arbitrary: fc.constantFrom(Uint8Array.of(0xff, 0x0a), utf8("..."), utf8(".a")) },
);
const mtime = fc.record({
  seconds: fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(0, 8 ** 11 - 1, 8 ** 11, -5)),
  nanoseconds: fc.oneof(fc.constantFrom(0, 0, 1, 500_000_000, 999_999_999), fc.nat(999_999_999)),
});
const rarely = fc.nat(19).map((value) => value === 0);
const fields = fc.record({
  kind: fc.constantFrom(file, file, file, file, directory, directory, symlink, fifo, socket, charDevice),
  step: fc.nat(2),
  name,
  content: fc.uint8Array({ maxLength: 1200 }),
  target: fc.oneof(fc.stringMatching(/^[a-z/.]{1,20}$/).map(utf8), fc.constant(utf8("t".repeat(101)))),
  mode: fc.nat(0o7777),
  uid: fc.constantFrom(0, 1000, 8 ** 7 - 1, 8 ** 7),
  mtime,
  linked: rarely,
  hasAttribute: rarely,
});

/** Entries below the root `./`, depth first and in order. */
const entries = fc.array(fields, { minLength: 1, maxLength: 12 }).map((all) => {
  const listed: Entry[] = [];
  let deepest = 1;
  for (const [i, { step, name: rest, ...each }] of all.entries()) {
    const depth = Math.max(1, deepest - step);
    deepest = each.kind === directory ? depth + 1 : depth;
    listed.push({ ...each, depth, name: concatBytes([Uint8Array.of(0x61 + i), rest]).subarray(0, 255) });
  }
  return listed;
});

/** `ancestors`: names of the directories that the first entry is in. */
function build(all: readonly Entry[], ancestors: readonly Uint8Array[] = []): Block {
  const members = new MemberEncoder();
  const encoder = new RowEncoder();
  const tar = new Uint8Array(1 << 16);
  const path = [...ancestors];
  let at = 0;
  for (const [entryNumber, entry] of all.entries()) {
    const { kind, depth, name: last, content, target, mode, uid } = entry;
    path.length = depth - 1;
    path.push(last);
    const offset = kind === socket ? 0 : at;
    const isFile = kind === file;
    const size = isFile ? content.length : kind === symlink ? target.length : 0;
    const device = kind === charDevice ? { major: 1, minor: 3 } : undefined;
    if (kind !== socket) {
      const attributes = entry.hasAttribute ? [{ name: utf8("user.a"), value: utf8("b") }] : undefined;
      const full = [prefix, ...path.flatMap((each, i) => [each, utf8(i < depth - 1 || kind === directory ? "/" : "")])];
      const { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds } = entry.mtime;
      const times = { mtimeSeconds, mtimeNanoseconds };
      const linkPath = kind === symlink ? target : undefined;
      const member = { kind, path: concatBytes(full), mode, uid, gid: 5, size: isFile ? size : 0, ...times };
      at = members.encode(tar, at, { ...member, linkPath, device, attributes, entryNumber });
      if (isFile) tar.set(content, at);
      at = padded(at + (isFile ? size : 0));
    }
    const times = { mtime: entry.mtime, atime: entry.mtime };
    const what = { kind, depth, name: last, offset, mode, uid, gid: 5, size, ...times, linked: entry.linked };
    const digest = isFile ? fileDigest(content) : undefined;
    const symlinkTarget = kind === symlink ? target : undefined;
    encoder.add({ ...catalogRow(what), digest, symlinkTarget, device });
  }
  const { count, rows, digests } = encoder.finish();
  return { tar: tar.slice(0, at), count, rows: rows.slice(), digests: digests.slice() };
}

function fileDigest(content: Uint8Array): Uint8Array {
  const out = new Uint8Array(16);
  addon().digestFiles(content, Float64Array.of(0), Float64Array.of(content.length), 1, out);
  return out;
}

function comparePlain(
  { tar, rows, count, digests }: Block,
  checksDigests = true,
): { plain: number; places: Float64Array } {
  const places = new Float64Array(2 * count);
  return { plain: addon().comparePlain(tar, rows, count, digests, checksDigests, prefix, 1, none, places), places };
}

/** What the decoders make of the block; they throw where they refuse it. */
function decode({ tar, rows: encoded, count, digests }: Block): {
  rows: CatalogRow[];
  members: (Member | undefined)[];
} {
  const rows = decodeBlockRows({ count, rows: encoded, digests }, 16);
  const members: (Member | undefined)[] = Array.from({ length: count }, () => undefined);
  const path = new RowPath(prefix, 1, []);
  let next = 0;
  const skip = (): void => {
    for (; rows[next]?.kind === socket; next++) path.enter(next, rows[next] as CatalogRow);
  };
  decodeMembers(tar, (member) => {
    skip();
    const row = rows[next] as CatalogRow;
    path.enter(next, row);
    expect([differenceOf(member, row), path.equals(member.path)]).toEqual([undefined, true]);
    members[next++] = member;
  });
  skip();
  expect(next).toBe(count);
  return { rows, members };
}

/** The same block with one byte of its tar bytes, rows or digests changed. */
const damaged = fc
  .tuple(entries, fc.constantFrom("tar", "rows", "digests"), fc.nat(), fc.integer({ min: 1, max: 255 }))
  .map(([all, part, at, mask]) => {
    const block = build(all);
    const bytes = block[part];
    if (bytes.length > 0) bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ mask;
    return block;
  });

const runs = { numRuns: 1000, seed: 20_261_121 };

describe("comparePlain", () => {
  it("finds plain entries where the decoders find them, and says where their data stand", () => {
    let plainRows = 0;
    fc.assert(
      fc.property(entries, (all) => {
        const block = build(all);
        const { plain, places } = comparePlain(block);
        const { members } = decode(block);
        const found = all.filter((_, i) => places[2 * i] !== 0);
        expect(plain).toBe(found.length);
        plainRows += plain;
        for (const [i, member] of members.entries()) {
          if (places[2 * i] === 0) continue;
          expect([member?.dataOffset, member?.dataLength]).toEqual([places[2 * i], places[2 * i + 1]]);
          expect([member?.attributes, member?.sparse, member?.device]).toEqual([[], undefined, undefined]);
        }
        for (const [i, { kind, uid, mtime: time, hasAttribute, target, name: last }] of all.entries()) {
          const isOrdinary = uid < 8 ** 7 && time.seconds >= 0 && time.seconds < 8 ** 11 && !hasAttribute;
          const isKnown = kind === file || kind === directory || (kind === symlink && target.length <= 100);
          if (places[2 * i] === 0 && isOrdinary && isKnown) expect(pathLength(all, i)).toBeGreaterThan(100);
          if (!isKnown || !isOrdinary || last.length > 155) expect(places[2 * i]).toBe(0);
        }
      }),
      runs,
    );
    expect(plainRows).toBeGreaterThan(1500);
  });

  it("takes no changed byte for plain", () => {
    let refused = 0;
    fc.assert(
      fc.property(damaged, (block) => {
        const { plain, places } = comparePlain(block);
        const end = block.count === 0 ? 0 : padded((places.at(-2) as number) + (places.at(-1) as number));
        if (plain < block.count || end !== block.tar.length) {
          refused++;
          return;
        }
        const { rows, members } = decode(block);
        for (const [i, row] of rows.entries()) {
          const { dataOffset = 0, dataLength = 0 } = members[i] ?? {};
          if (row.digest === undefined) continue;
          const content = block.tar.subarray(dataOffset, dataOffset + dataLength);
          expect(equalBytes(fileDigest(content), row.digest)).toBe(true);
        }
      }),
      runs,
    );
    expect(refused).toBeGreaterThan(400);
  });

  it("does without digests where they are not asked for", () => {
    const block = build([entryOf("a", utf8("text"))]);
    block.digests[0] = (block.digests[0] as number) ^ 1;
    expect([comparePlain(block, true).plain, comparePlain(block, false).plain]).toEqual([0, 1]);
  });

  it("knows the member names of a block that begins deep and ends higher up", () => {
    const all = [entryOf("x", none, 3), entryOf("r", none, 2), entryOf("z", none, 1)];
    const { tar, rows, count, digests } = build(all, [utf8("p"), utf8("q")]);
    const places = new Float64Array(2 * count);
    const compare = (parent: string, depth: number): number =>
      addon().comparePlain(tar, rows, count, digests, true, utf8(parent), depth, none, places);
    expect([compare("./p/q/", 3), compare("./p/o/", 3), compare("./q/", 2), compare("./p/q/s/", 4)]).toEqual([
      3, 2, 0, 3,
    ]);
  });
});

describe("followRows", () => {
  it("follows rows as RowOrder does, and breaks no rule that it keeps", () => {
    let followed = 0;
    fc.assert(
      fc.property(fc.oneof(entries.map(build), damaged), ({ rows, count, digests }) => {
        const path = new Uint8Array(4096);
        path.set(prefix);
        const last = new Uint8Array(255);
        const lengths = Uint32Array.of(prefix.length, 1, 0);
        const depths = new Uint32Array(count);
        const places = new Uint32Array(2 * count);
        const directories = addon().followRows(rows, count, path, last, lengths, depths, places);
        if (directories < 0) {
          expect([...lengths]).toEqual([prefix.length, 1, 0]);
          return;
        }
        followed++;
        const order = new RowOrder(1, (reason) => new Error(reason));
        const member = new RowPath(prefix, 1, []);
        const decoded = decodeBlockRows({ count, rows, digests }, 16);
        for (const [i, row] of decoded.entries()) {
          order.check(row);
          member.enter(i, row);
          expect([row.linked, row.continued, row.damaged, row.kind < socket]).toEqual([false, false, false, true]);
        }
        expect([...depths]).toEqual(decoded.map((row) => row.depth));
        const found = [...decoded.entries()].filter(([, row]) => row.kind === directory);
        expect(directories).toBe(found.length);
        for (const [i, [index, row]] of found.entries()) {
          expect(places[2 * i]).toBe(index);
          expect(decodeDirectoryRow({ count, rows, digests }, places[2 * i + 1] as number)).toEqual(row);
        }
        const [pathBytes = 0, depth, nameBytes = 0] = lengths;
        const end = concatBytes([path.subarray(0, pathBytes), last.subarray(0, nameBytes)]);
        expect(equalBytes(end, count === 0 ? prefix : member.member())).toBe(true);
        const row = decoded.at(-1);
        expect(depth).toBe((row?.depth ?? 1) + (row?.kind === directory ? 1 : 0));
      }),
      runs,
    );
    expect(followed).toBeGreaterThan(100);
  });
});

function entryOf(text: string, content: Uint8Array, depth = 1): Entry {
  const plain = { kind: file, depth, name: utf8(text), content, target: none, mode: 0o644, uid: 0 };
  return { ...plain, mtime: { seconds: 7, nanoseconds: 0 }, linked: false, hasAttribute: false };
}

/** Of the member name of an entry. */
function pathLength(all: readonly Entry[], index: number): number {
  const path: Uint8Array[] = [];
  for (const { depth, name: last } of all.slice(0, index + 1)) {
    path.length = depth - 1;
    path.push(last);
  }
  return path.reduce((sum, each) => sum + each.length + 1, prefix.length);
}
