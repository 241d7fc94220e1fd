// Random mutations with a fixed seed: of the bytes of an archive, and, with all checksums made right again, of its records, its catalog and its tar
// stream. Whatever comes out: a documented status, nothing outside of the destination, no defect. TSFSA_TEST_DAMAGE=all: many more.

import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { concatBytes } from "../../src/base/bytes.ts";
import { createDecoder, createEncoder, type FrameEncoder } from "../../src/codec/codec.ts";
import { encodeRecord, type RecordType } from "../../src/format/record.ts";
import { decodeSegment } from "../../src/format/segment.ts";
import { formatVersion } from "../../src/format/version.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { directory, file, forge, type ForgedEntry, hardlink, root, symlink } from "../support/forge.ts";
import { inlineList, inlineRestore, inlineVerify } from "../support/inline.ts";
import { recordsOf } from "../support/patch.ts";
import { requireOrSkip } from "../support/require.ts";
import { Canary } from "./canary.ts";
import { isExhaustive } from "./damage.ts";

requireOrSkip("root");

const runs = { seed: 20_261_121, numRuns: isExhaustive ? 2500 : 100 };
const timeoutMs = 3_600_000;
const documented = [0, 1, 8, 9, 10, 11];

const entries: readonly ForgedEntry[] = [
  root,
  file(1, "a", "some text", { row: { linked: true } }),
  directory(1, "d"),
  file(2, "inner", new Uint8Array(700).fill(7)),
  symlink(2, "up", "../../outside/secret"),
  hardlink(1, "l", "./a", 1),
  { kind: EntryKind.fifo, depth: 1, name: "p" },
  { kind: EntryKind.socket, depth: 1, name: "s" },
  { kind: EntryKind.charDevice, depth: 1, name: "t" },
];

/** One change of some bytes; numbers are reduced to where they fit. */
type Mutation =
  | { readonly kind: "set"; readonly at: number; readonly bytes: Uint8Array }
  | {
      readonly kind: "remove" | "double" | "zero" | "copy";
      readonly at: number;
      readonly length: number;
      readonly to: number;
    }
  | { readonly kind: "cut"; readonly at: number };

const anywhere = fc.nat(2 ** 24);
/** What length fields, counts and flags break at. */
const evilBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
  fc.constantFrom(
    ...[
      [0xff],
      [0x7f],
      [0x80, 0x80, 0x01],
      [0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 0x80],
      [0x2e, 0x2e, 0x2f],
      [0x2f],
      [0],
    ].map((bytes) => Uint8Array.from(bytes)),
  ),
);
const anyMutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), at: anywhere, bytes: evilBytes }),
  fc.record({
    kind: fc.constantFrom("remove" as const, "double" as const, "zero" as const, "copy" as const),
    at: anywhere,
    length: fc.integer({ min: 1, max: 700 }),
    to: anywhere,
  }),
  fc.record({ kind: fc.constant("cut" as const), at: anywhere }),
);
const mutations = fc.array(anyMutation, { minLength: 1, maxLength: 4 });

let encoder: FrameEncoder;
let canary: Canary;
let whole: Buffer;
let before: readonly string[];
beforeAll(async () => {
  encoder = await createEncoder("zstd", 3);
  canary = new Canary();
  whole = await forge({
    groups: [{ blocks: [{ entries }] }, { blocks: [{ entries: [file(1, "z", "z")] }], ancestors: [""] }],
  });
  before = outside();
});
afterAll(() => canary.remove());

describe("random changes", { timeout: timeoutMs }, () => {
  it("of an archive's bytes end as documented", async () => {
    await fc.assert(
      fc.asyncProperty(mutations, (changes) => judge(apply(whole, changes))),
      runs,
    );
  });

  it("of a record's payload, with its checksums right, end as documented", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(20), mutations, async (which, changes) => {
        const records = recordsOf(whole);
        const record = records[which % records.length] as (typeof records)[number];
        const payload = apply(record.payload, changes);
        let bytes: Uint8Array;
        try {
          bytes = encodeRecord(record.type as RecordType, record.archiveId, record.sequence, payload);
        } catch {
          return; // Not a length that a record of this type may have.
        }
        const { offset, length } = record;
        await judge(Buffer.concat([whole.subarray(0, offset), bytes, whole.subarray(offset + length)]));
      }),
      runs,
    );
  });

  it("of the catalog, with all checksums right, end as documented", async () => {
    const plain = await contentOf(entries);
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        const content = apply(plain, changes);
        if (content.length === 0) return;
        await judge(await forge({ groups: [{ blocks: [{ entries }], content }] }));
      }),
      runs,
    );
  });

  it("of the tar stream, with all checksums right, end as documented", async () => {
    await fc.assert(
      fc.asyncProperty(mutations, fc.boolean(), async (changes, keepLength) => {
        const frame = (tar: Uint8Array): Uint8Array => {
          const changed = apply(tar, changes);
          const sized = new Uint8Array(
            keepLength ? tar.length : Math.max(512, changed.length - (changed.length % 512)),
          );
          sized.set(changed.subarray(0, sized.length));
          return seal(sized);
        };
        await judge(await forge({ groups: [{ blocks: [{ entries, frame }] }] }));
      }),
      runs,
    );
  });

  it("of a data frame, with its digest right, end as documented", async () => {
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        const frame = (tar: Uint8Array): Uint8Array => {
          const changed = apply(seal(tar), changes);
          return changed.length === 0 ? Uint8Array.of(0) : changed;
        };
        await judge(await forge({ groups: [{ blocks: [{ entries, frame }] }] }));
      }),
      runs,
    );
  });

  it("of rows, field by field, end as documented", async () => {
    const number = fc.constantFrom(0, 1, 5, 511, 2 ** 31, 2 ** 32 - 2, 2 ** 40, Number.MAX_SAFE_INTEGER);
    const row = fc.record(
      {
        depth: fc.constantFrom(0, 1, 2, 3, 65_535),
        kind: fc.nat(8).map((kind) => kind as EntryKind),
        size: number,
        inodeFlags: fc.constantFrom(0, 0x10, 0x30, 0xffff_ffff),
        projectId: fc.constantFrom(0, 1, 0xffff_ffff),
        linked: fc.boolean(),
        continued: fc.boolean(),
        damaged: fc.boolean(),
        sparse: fc.boolean(),
        linkEntry: number,
        unwrittenExtents: fc.constantFrom([{ offset: 0, length: 1 }], [{ offset: 2 ** 40, length: 2 ** 40 }]),
        mtime: fc.record({
          seconds: fc.constantFrom(-(2 ** 52), -1, 0, 2 ** 52),
          nanoseconds: fc.constantFrom(0, 999_999_999),
        }),
        device: fc.constant({ major: 0xffff_ffff, minor: 0xffff_ffff }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(entries.length - 1), row, async (which, fields) => {
        const changed = entries.map((entry, i) =>
          i === which ? { ...entry, row: { ...entry.row, ...fields } } : entry,
        );
        let archive: Buffer;
        try {
          archive = await forge({ groups: [{ blocks: [{ entries: changed }] }] });
        } catch {
          return; // Not a row that can be written.
        }
        await judge(archive);
      }),
      runs,
    );
  });
});

/** Runs all three commands; the destination is emptied again. */
async function judge(archive: Uint8Array): Promise<void> {
  const path = canary.archive(archive);
  const verified = await inlineVerify(path);
  expect(documented, `verify: ${verified.error?.message}`).toContain(verified.status);
  const listed = await inlineList(path);
  expect(documented, `list: ${listed.error?.message}`).toContain(listed.status);
  const restored = await inlineRestore(path, canary.destination, { overwrite: archive.length % 2 === 0 });
  expect(documented, `restdir: ${restored.error?.message}`).toContain(restored.status);
  // What verify finds nothing wrong with is restored whole, or a warning says why not.
  if (verified.status === 0) expect([0, 1]).toContain(restored.status);
  expect(outside()).toEqual(before);
  canary.empty();
}

/** Everything but the destination and the archive. */
function outside(): string[] {
  return canary.outside();
}

function apply(bytes: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  return changes.reduce(change, bytes);
}

function change(bytes: Uint8Array, mutation: Mutation): Uint8Array {
  const at = bytes.length === 0 ? 0 : mutation.at % bytes.length;
  if (mutation.kind === "cut") return bytes.subarray(0, at);
  if (mutation.kind === "set") {
    const copy = Uint8Array.from(bytes); // A slice of a Buffer is no copy.
    copy.set(mutation.bytes.subarray(0, copy.length - at), at);
    return copy;
  }
  const end = Math.min(bytes.length, at + mutation.length);
  const piece = bytes.subarray(at, end);
  if (mutation.kind === "zero") return Uint8Array.from(bytes).fill(0, at, end);
  if (mutation.kind === "remove") return concatBytes([bytes.subarray(0, at), bytes.subarray(end)]);
  if (mutation.kind === "double") return concatBytes([bytes.subarray(0, end), piece, bytes.subarray(end)]);
  const copy = Uint8Array.from(bytes);
  const to = mutation.to % Math.max(1, bytes.length);
  copy.set(piece.subarray(0, copy.length - to), to);
  return copy;
}

function seal(bytes: Uint8Array): Uint8Array {
  const target = new Uint8Array(encoder.bound(bytes.length));
  return target.slice(0, encoder.compress(target, 0, bytes, 0, bytes.length));
}

/** The content of the one segment of an archive of these entries. */
async function contentOf(all: readonly ForgedEntry[]): Promise<Uint8Array> {
  const archive = await forge({ groups: [{ blocks: [{ entries: all }] }] });
  const payload = recordsOf(archive).find(({ type }) => type === 3)?.payload ?? new Uint8Array(0);
  const { header, frame } = decodeSegment(payload, formatVersion);
  const content = new Uint8Array(header.contentLength);
  (await createDecoder("zstd")).decompress(content, frame);
  return content;
}
