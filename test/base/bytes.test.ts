import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  concatBytes,
  decodeUtf8,
  equalBytes,
  fromLatin1,
  latin1,
  fromBase64,
  fromHex,
  toBase64,
  toHex,
  utf8,
} from "../../src/base/bytes.ts";
import { TsfsaError } from "../../src/base/errors.ts";
import { draws } from "../support/draws.ts";

const bytes = fc.uint8Array({ maxLength: 300 });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1);
  write(writer);
  return writer.take();
}

/** Every code point but surrogates; fast-check's own unit "binary" takes seconds to set up. */
const anyText = fc
  .array(fc.oneof(fc.nat(0x2fff), fc.integer({ min: 0xe000, max: 0x10_ffff })), { maxLength: 30 })
  .map((points) => String.fromCodePoint(...points));

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return error instanceof TsfsaError ? error.code : String(error);
  }
  return "none";
}

describe("varints", () => {
  test("come back as they were, as numbers and as bigints", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const coded = written((writer) => writer.varint(value));
        expect(coded).toEqual(written((writer) => writer.varint64(BigInt(value))));
        expect(new ByteReader(coded, "test").varint()).toBe(value);
      }),
    );
    fc.assert(
      fc.property(u64, (value) => {
        const reader = new ByteReader(
          written((writer) => writer.varint64(value)),
          "test",
        );
        expect(reader.varint64()).toBe(value);
        reader.finish();
      }),
    );
  });

  test("are at most ten bytes long and in shortest form, else damage", () => {
    for (const coded of ["8000", "ff00", "80808000", "ffffffffffffffffff02", "80808080808080808080"]) {
      expect(codeOf(() => new ByteReader(fromHex(coded) as Uint8Array, "test").varint64())).toBe("ARCHIVE_DAMAGED");
      expect(codeOf(() => new ByteReader(fromHex(coded) as Uint8Array, "test").varint())).toBe("ARCHIVE_DAMAGED");
      expect(codeOf(() => new ByteReader(fromHex(coded) as Uint8Array, "test").zigzagAdded(0))).toBe("ARCHIVE_DAMAGED");
    }
  });

  test("over 2^53 − 1 are damage where a number is expected", () => {
    const coded = written((writer) => writer.varint64(2n ** 53n));
    expect(codeOf(() => new ByteReader(coded, "test").varint())).toBe("ARCHIVE_DAMAGED");
    const largest = written((writer) => writer.varint(Number.MAX_SAFE_INTEGER));
    expect(new ByteReader(largest, "test").varint()).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("carry signed values as zigzag over all of i64", () => {
    fc.assert(
      fc.property(i64, (value) => {
        const coded = written((writer) => writer.zigzag(value));
        expect(new ByteReader(coded, "test").zigzag64()).toBe(value);
        const number = Number(value);
        if (Number.isSafeInteger(number)) expect(written((writer) => writer.zigzag(number))).toEqual(coded);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer()), fc.maxSafeInteger(), (sum, origin) => {
        const coded = written((writer) => writer.zigzag(BigInt(sum) - BigInt(origin)));
        const reader = new ByteReader(coded, "test");
        expect(reader.zigzagAdded(origin)).toBe(sum);
        reader.finish();
      }),
    );
    expect(toHex(written((writer) => writer.zigzag(-1)))).toBe("01");
    expect(toHex(written((writer) => writer.zigzag(1)))).toBe("02");
  });
});

describe("a reader", () => {
  test("throws nothing but damage, whatever the bytes are", () => {
    const calls = ["u8", "u16", "u32", "u64", "varint", "varint64", "zigzag64"] as const;
    fc.assert(
      fc.property(bytes, fc.array(fc.constantFrom(...calls), { maxLength: 40 }), (content, order) => {
        const reader = new ByteReader(content, "test");
        const code = codeOf(() => {
          for (const call of order) reader[call]();
          reader.byteString(100);
          reader.finish();
        });
        expect(["none", "ARCHIVE_DAMAGED"]).toContain(code);
        expect(reader.position).toBeLessThanOrEqual(content.length);
      }),
    );
  });

  test("keeps to its end even where the bytes go on", () => {
    const reader = new ByteReader(new Uint8Array(16), "test", 4, 6);
    expect(codeOf(() => reader.u32())).toBe("ARCHIVE_DAMAGED");
    expect(reader.u16()).toBe(0);
    expect(codeOf(() => reader.u8())).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => reader.zigzagAdded(1))).toBe("ARCHIVE_DAMAGED");
  });

  test("refuses byte strings over the limit before it takes them", () => {
    const coded = written((writer) => writer.byteString(new Uint8Array(10)));
    expect(codeOf(() => new ByteReader(coded, "test").byteString(9))).toBe("ARCHIVE_DAMAGED");
    expect(new ByteReader(coded, "test").byteString(10)).toHaveLength(10);
  });
});

describe("a writer", () => {
  test("grows from one byte and keeps all it was given", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 20 }), fc.nat(0xffff_ffff), (parts, number) => {
        const coded = written((writer) => {
          writer.u16(0xabcd);
          writer.u32(number);
          writer.u64(number * 2 ** 20);
          for (const part of parts) writer.byteString(part);
          writer.zeros(3);
        });
        const reader = new ByteReader(coded, "test");
        expect([reader.u16(), reader.u32(), reader.u64()]).toEqual([0xabcd, number, number * 2 ** 20]);
        for (const part of parts) expect(equalBytes(reader.byteString(300), part)).toBe(true);
        expect(reader.raw(3)).toEqual(new Uint8Array(3));
        reader.finish();
      }),
    );
  });

  test("refuses values outside of their field", () => {
    const writer = new ByteWriter();
    for (const write of [
      () => writer.u8(256),
      () => writer.u16(-1),
      () => writer.u32(2 ** 32),
      () => writer.u64(2 ** 53),
      () => writer.varint(0.5),
      () => writer.varint(Number.NaN),
      () => writer.varint64(-1n),
      () => writer.zigzag(2n ** 63n),
    ]) {
      expect(codeOf(write)).toBe("INTERNAL");
    }
  });
});

describe("bytes", () => {
  test("are ordered as unsigned bytes", () => {
    fc.assert(
      fc.property(bytes, bytes, (left, right) => {
        expect(Math.sign(compareBytes(left, right))).toBe(Buffer.compare(left, right));
        expect(equalBytes(left, right)).toBe(Buffer.compare(left, right) === 0);
      }),
    );
    expect(compareBytes(Uint8Array.of(0x80), Uint8Array.of(0x7f))).toBeGreaterThan(0);
  });

  test("go to one character each and back, also out of a larger buffer", () => {
    fc.assert(
      fc.property(bytes, fc.nat(5), (value, start) => {
        const part = value.subarray(start);
        const text = latin1(part);
        expect(Array.from(text, (character) => character.charCodeAt(0))).toEqual([...part]);
        expect(equalBytes(fromLatin1(text), part)).toBe(true);
      }),
    );
  });

  test("go to hex and base64 and back as Node writes them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40_000 }), (value) => {
        expect(toHex(value)).toBe(Buffer.from(value).toString("hex"));
        expect(toBase64(value)).toBe(Buffer.from(value).toString("base64"));
        expect(fromHex(toHex(value))).toEqual(value);
        expect(fromBase64(toBase64(value))).toEqual(value);
      }),
      { numRuns: draws(50) },
    );
  });

  test("are not read from hex or base64 in other spellings", () => {
    for (const text of ["0", "0G", "AB", " 00"]) expect(fromHex(text)).toBeUndefined();
    for (const text of ["A", "AA=A", "AB==", "AA= ", "AAA", "A===", "-_=="]) expect(fromBase64(text)).toBeUndefined();
  });

  test("are UTF-8 only in strict form", () => {
    for (const text of ["c080", "eda080", "f4908080", "80", "e282"]) {
      expect(decodeUtf8(fromHex(text) as Uint8Array)).toBeUndefined();
    }
    fc.assert(
      fc.property(anyText, (text) => {
        expect(decodeUtf8(utf8(text))).toBe(text);
      }),
    );
    expect(decodeUtf8(fromHex("efbbbf41") as Uint8Array)).toBe("\ufeffA");
    const shared = new Uint8Array(new SharedArrayBuffer(1));
    shared[0] = 0x41;
    expect(decodeUtf8(shared)).toBe("A");
  });

  test("are concatenated in order", () => {
    expect(concatBytes([Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)])).toEqual(Uint8Array.of(1, 2, 3));
  });
});
