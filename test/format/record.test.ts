import { createXXHash64 } from "hash-wasm";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { xxh64 } from "../../src/format/checksum.ts";
import {
  decodeRecordHeader,
  encodeRecord,
  findRecordMagic,
  isKnownType,
  isPayloadIntact,
  payloadLimits,
  recordHeaderLength,
  RecordType,
} from "../../src/format/record.ts";
import { codeOf } from "./expect.ts";

const id = Uint8Array.from({ length: 16 }, (_, index) => index + 1);

/** A header made by hand, with right checksums whatever its fields are. */
function forged(change: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const record = encodeRecord(RecordType.head, id, 0, utf8("{}"));
  change(new DataView(record.buffer), record);
  record.set(xxh64(record.subarray(0, 56)), 56);
  return record;
}

describe("the checksum", () => {
  test("is XXH64 in canonical form, with the check values of the specification", async () => {
    expect(toHex(xxh64(new Uint8Array(0)))).toBe("ef46db3751d8e999");
    expect(toHex(xxh64(utf8("Nobody inspects the spammish repetition")))).toBe("fbcea83c8a378bf1");
    const other = await createXXHash64();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        expect(toHex(xxh64(bytes))).toBe(other.init().update(bytes).digest());
      }),
    );
  });

  test("gives each caller bytes of its own", () => {
    const first = xxh64(utf8("a"));
    const copy = first.slice();
    xxh64(utf8("b"));
    expect(first).toEqual(copy);
  });
});

describe("a record", () => {
  test("comes back with type, id, sequence and payload", () => {
    const payload = fc.oneof(fc.uint8Array({ minLength: 24, maxLength: 200 }), fc.constant(new Uint8Array(100_000)));
    fc.assert(
      fc.property(payload, fc.maxSafeNat(), fc.nat(100), (bytes, sequence, offset) => {
        const record = encodeRecord(RecordType.segment, id, sequence, bytes);
        const place = new Uint8Array(offset + record.length);
        place.set(record, offset);
        const { header } = decodeRecordHeader(place, offset);
        expect(header).toMatchObject({ type: 3, critical: true, payloadLength: bytes.length, archiveId: id, sequence });
        expect(header && isPayloadIntact(header, place.subarray(offset + recordHeaderLength))).toBe(true);
        expect(header && isPayloadIntact(header, place.subarray(offset))).toBe(false);
      }),
    );
  });

  test("shows every flipped bit, in header or payload", () => {
    const record = encodeRecord(RecordType.summary, id, 7, utf8('{"entries":1}'));
    for (let bit = 0; bit < record.length * 8; bit++) {
      const damaged = record.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      const { header } = decodeRecordHeader(damaged, 0);
      expect(header !== undefined && isPayloadIntact(header, damaged.subarray(recordHeaderLength))).toBe(false);
    }
  });

  test("is refused with a reason when its checksum is right and its fields are not", () => {
    const cases: [string, Uint8Array][] = [
      ["frame size", forged((view) => view.setUint32(4, 57, true))],
      ["skippable", forged((view) => view.setUint32(0, 0x184d2a50, true))],
      ["payload of", forged((view) => (view.setUint32(4, 56 + 2 ** 25, true), view.setUint32(20, 2 ** 25, true)))],
      ["reserved flags", forged((view) => view.setUint16(18, 3, true))],
      ["not marked critical", forged((view) => view.setUint16(18, 0, true))],
      ["archive id", forged((_, bytes) => bytes.fill(0, 24, 40))],
      ["sequence number", forged((view) => view.setBigUint64(40, 2n ** 53n, true))],
      ["illegal for record type 2", forged((view) => view.setUint16(16, RecordType.block, true))],
    ];
    for (const [reason, bytes] of cases) expect(decodeRecordHeader(bytes, 0).flaw).toContain(reason);
    expect(decodeRecordHeader(new Uint8Array(63), 0).flaw).toContain("end inside");
    expect(decodeRecordHeader(new Uint8Array(64), 0).flaw).toContain("magic");
    expect(decodeRecordHeader(new Uint8Array(64), -1).flaw).toContain("end inside");
  });

  test("of an unknown type is read, so that it can be passed over or refused", () => {
    const skippable = forged((view) => (view.setUint16(16, 99, true), view.setUint16(18, 0, true)));
    expect(decodeRecordHeader(skippable, 0).header).toMatchObject({ type: 99, critical: false });
    const critical = forged((view) => view.setUint16(16, 8, true));
    expect(decodeRecordHeader(critical, 0).header).toMatchObject({ type: 8, critical: true });
    expect([0, 1, 6, 7].map(isKnownType)).toEqual([false, true, true, false]);
  });

  test("cannot be written with a payload its type does not allow", () => {
    expect(codeOf(() => encodeRecord(RecordType.block, id, 1, new Uint8Array(111)))).toBe("INTERNAL");
    expect(codeOf(() => encodeRecord(RecordType.footer, id, 1, new Uint8Array(65)))).toBe("INTERNAL");
    expect(codeOf(() => encodeRecord(RecordType.head, id.subarray(1), 1, utf8("{}")))).toBe("INTERNAL");
    expect(payloadLimits(RecordType.block)).toEqual({ minimum: 112, maximum: 4207 });
  });
});

describe("looking for records", () => {
  test("finds each one and passes over parts of the magic", () => {
    const record = encodeRecord(RecordType.head, id, 0, utf8("{}"));
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0x8f, 0x54, 0x53, 0), { maxLength: 60 }), (noise) => {
        const bytes = Uint8Array.from([...noise, ...record, ...noise, ...record, 0x8f, 0x54]);
        const second = 2 * noise.length + record.length;
        expect(findRecordMagic(bytes, 0)).toBe(noise.length);
        expect(findRecordMagic(bytes, noise.length + 1)).toBe(second);
        expect(findRecordMagic(bytes, second + 1)).toBe(-1);
      }),
    );
  });
});
