import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { blake3, xxhash128 } from "hash-wasm";
import { describe, expect, test } from "vitest";
import { concatBytes, toHex, utf8 } from "../../src/base/bytes.ts";
import { createDigest } from "../../src/codec/digest.ts";
import { codeOf } from "../format/expect.ts";
import { draws } from "../support/draws.ts";

const names = ["xxh128", "sha256", "blake3"] as const;

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

describe("a digest", () => {
  test("has the published check values", async () => {
    const expected = {
      xxh128: ["99aa06d3014798d86001c324468d497f", "06b05ab6733a618578af5f94892f3950"],
      sha256: [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      ],
      blake3: [
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
      ],
    };
    for (const name of names) {
      const digest = await createDigest(name);
      expect([toHex(digest.hash(new Uint8Array(0))), toHex(digest.hash(utf8("abc")))]).toEqual(expected[name]);
      expect(digest.hash(utf8("x"))).toHaveLength(digest.length);
    }
  });

  test("equals that of other implementations, over parts of buffers and shared ones", async () => {
    const digests = await Promise.all(names.map(createDigest));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), fc.nat(50), async (bytes, offset) => {
        const shared = new Uint8Array(new SharedArrayBuffer(offset + bytes.length + 10)).subarray(offset);
        shared.set(bytes);
        const others = {
          xxh128: await xxhash128(bytes),
          sha256: createHash("sha256").update(bytes).digest("hex"),
          blake3: await blake3(bytes),
        };
        for (const digest of digests) {
          expect(toHex(digest.hash(shared.subarray(0, bytes.length)))).toBe(others[digest.name]);
          expect(toHex(digest.block(bytes))).toBe(others[digest.name].slice(0, 32));
        }
      }),
      { numRuns: draws(50) },
    );
  });
});

describe("a file digest", () => {
  test("is H over leaf numbers, leaf digests and the size", async () => {
    for (const name of names) {
      const digest = await createDigest(name);
      const leaf = digest.hash(utf8("leaf"));
      const file = digest.file();
      file.addLeaf(0, leaf);
      file.addLeaf(7, leaf);
      expect(file.finish(8_000_000)).toEqual(digest.hash(concatBytes([u64(0), leaf, u64(7), leaf, u64(8_000_000)])));
      expect(digest.file().finish(0)).toEqual(digest.hash(new Uint8Array(8)));
    }
  });

  test("is the same in one call or in parts, for many large files at a time", async () => {
    for (const name of names) {
      const digest = await createDigest(name);
      const leaf = digest.hash(utf8("leaf"));
      const count = 100_000; // 98 GiB: two to four times the bytes that wait at most
      for (const round of [1, 2]) {
        const [file, other] = [digest.file(), digest.file()];
        const parts: Uint8Array[] = [];
        for (let number = 0; number < count; number++) {
          file.addLeaf(number * round, leaf);
          other.addLeaf(number * 3, leaf);
          parts.push(u64(number * round), leaf);
        }
        parts.push(u64(2 ** 50));
        expect(file.finish(2 ** 50)).toEqual(digest.hash(concatBytes(parts)));
        expect(other.finish(2 ** 50)).not.toEqual(digest.hash(concatBytes(parts)));
        await new Promise((resolve) => setTimeout(resolve, 50)); // xxh128 loads its partial hash on first need
      }
    }
  });

  test("takes its leaves in order only", async () => {
    const file = (await createDigest("sha256")).file();
    file.addLeaf(1, new Uint8Array(32));
    expect(codeOf(() => file.addLeaf(1, new Uint8Array(32)))).toBe("INTERNAL");
  });
});
