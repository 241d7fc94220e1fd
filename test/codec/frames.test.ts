import { spawnSync } from "node:child_process";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { createDecoder, createEncoder, type FrameDecoder, type FrameEncoder } from "../../src/codec/codec.ts";
import type { Codec } from "../../src/model/archive.ts";
import { codeOf } from "../format/expect.ts";
import { draws } from "../support/draws.ts";

interface Pair {
  readonly name: string;
  readonly codec: Codec;
  readonly encoder: FrameEncoder;
  readonly decoder: FrameDecoder;
}

const choices: readonly [Codec, number][] = [
  ["zstd", 0],
  ["zstd", -5],
  ["zstd", 1],
  ["zstd", 3],
  ["zstd", 9],
  ["lz4", 1],
];

const pairs: Pair[] = [];

beforeAll(async () => {
  for (const [codec, level] of choices) {
    const [encoder, decoder] = [await createEncoder(codec, level), await createDecoder(codec)];
    pairs.push({ name: `${codec} ${level}`, codec, encoder, decoder });
  }
});

function compress(encoder: FrameEncoder, content: Uint8Array): Uint8Array {
  const target = new Uint8Array(encoder.bound(content.length));
  const length = encoder.compress(target, 0, content, 0, content.length);
  return target.slice(0, length);
}

/** Bytes that do not compress, the same each time. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** Zeros, noise and repeats, over the limits of the frames' inner blocks. */
const contents: readonly Uint8Array[] = [
  Uint8Array.of(0),
  new Uint8Array(512),
  noise(1024),
  noise(128 * 1024),
  new Uint8Array(128 * 1024 + 1).fill(7),
  noise(4 * 1024 * 1024 + 512),
  noise(1000).map((byte) => byte & 1),
  new Uint8Array(9 * 1024 * 1024),
];

describe("a frame", () => {
  test("comes back as it was, and is no longer than its bound", () => {
    for (const { encoder, decoder } of pairs) {
      for (const content of contents) {
        const frame = compress(encoder, content);
        const back = new Uint8Array(content.length).fill(0xee);
        expect(decoder.decompress(back, frame)).toBe(content.length);
        expect(Buffer.compare(back, content)).toBe(0);
      }
    }
  });

  test("is the same from any place in a buffer, and at any place in the target", () => {
    const content = fc.uint8Array({ minLength: 1, maxLength: 5000 });
    fc.assert(
      fc.property(content, fc.nat(100), fc.nat(100), (bytes, before, targetOffset) => {
        for (const { encoder } of pairs) {
          const source = new Uint8Array(before + bytes.length + 50).fill(9);
          source.set(bytes, before);
          const target = new Uint8Array(new SharedArrayBuffer(targetOffset + encoder.bound(bytes.length)));
          const length = encoder.compress(target, targetOffset, source, before, bytes.length);
          expect(Buffer.compare(target.slice(targetOffset, targetOffset + length), compress(encoder, bytes))).toBe(0);
        }
      }),
      { numRuns: draws(40) },
    );
  });

  test("is accepted and decoded by the stock tools", () => {
    for (const { name, codec, encoder } of pairs) {
      const content = contents[5] as Uint8Array;
      const input = compress(encoder, content);
      expect([name, spawnSync(codec, ["-t", "-q"], { input }).status]).toEqual([name, 0]);
      const result = spawnSync(codec, ["-dc", "-q"], { input, maxBuffer: 1 << 25 });
      expect(result.stderr.toString()).toBe("");
      expect(Buffer.compare(result.stdout, content)).toBe(0);
    }
  });

  test("that the stock tools made of the same flags is decoded too", () => {
    const content = noise(300_000).map((byte) => byte & 15);
    const zstd = spawnSync("zstd", ["-q", "-c", "--stream-size=300000", "--check"], { input: content });
    const lz4 = spawnSync("lz4", ["-q", "-c", "-B4"], { input: content });
    for (const { codec, decoder } of pairs) {
      const back = new Uint8Array(content.length);
      decoder.decompress(back, codec === "zstd" ? zstd.stdout : lz4.stdout);
      expect(Buffer.compare(back, content)).toBe(0);
    }
  });

  test("never gives wrong bytes for a flipped bit: damage, or the right content", () => {
    const content = noise(300).map((byte, index) => (index < 150 ? byte : 65));
    for (const { decoder, encoder } of pairs) {
      const frame = compress(encoder, content);
      const back = new Uint8Array(content.length);
      for (let bit = 0; bit < frame.length * 8; bit++) {
        const damaged = frame.slice();
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        back.fill(0);
        const outcome = codeOf(() => decoder.decompress(back, damaged));
        if (outcome === "none") expect(Buffer.compare(back, content)).toBe(0);
        else expect(outcome).toBe("ARCHIVE_DAMAGED");
      }
    }
  });

  test("that is cut, followed by other bytes, or of another length is damage", () => {
    const content = noise(2000);
    for (const { encoder, decoder } of pairs) {
      const frame = compress(encoder, content);
      const outcome = (source: Uint8Array, length: number): string =>
        codeOf(() => decoder.decompress(new Uint8Array(length), source));
      for (let length = 0; length < frame.length; length += 7) {
        expect(outcome(frame.subarray(0, length), content.length)).toBe("ARCHIVE_DAMAGED");
      }
      expect(outcome(Uint8Array.from([...frame, 0]), content.length)).toBe("ARCHIVE_DAMAGED");
      expect(outcome(Uint8Array.from([...frame, ...frame]), content.length)).toBe("ARCHIVE_DAMAGED");
      expect(outcome(frame, content.length - 1)).toBe("ARCHIVE_DAMAGED");
      expect(outcome(frame, content.length + 1)).toBe("ARCHIVE_DAMAGED");
      expect(outcome(frame, content.length)).toBe("none");
    }
  });

  test("without content checksum is damage", () => {
    const input = noise(2000);
    const zstd = spawnSync("zstd", ["-q", "-c", "--no-check", "--stream-size=2000"], { input }).stdout;
    const lz4 = spawnSync("lz4", ["-q", "-c", "--no-frame-crc"], { input }).stdout;
    for (const { codec, decoder } of pairs) {
      const frame = codec === "zstd" ? zstd : lz4;
      expect(codeOf(() => decoder.decompress(new Uint8Array(2000), frame))).toBe("ARCHIVE_DAMAGED");
    }
  });

  test("made of random bytes behind a right magic is damage, and nothing else", () => {
    const magics = { zstd: [0x28, 0xb5, 0x2f, 0xfd], lz4: [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40] };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 5000 }), (bytes, length) => {
        for (const { codec, decoder } of pairs) {
          const source = Uint8Array.from([...magics[codec], ...bytes]);
          expect(codeOf(() => decoder.decompress(new Uint8Array(length), source))).toBe("ARCHIVE_DAMAGED");
        }
      }),
    );
  });
});

describe("bombs", () => {
  test("grow no further than what the caller expects: zstd states its size, LZ4 is counted by its blocks", async () => {
    const zeros = new Uint8Array(48 * 1024 * 1024);
    const before = process.memoryUsage().rss;
    for (const codec of ["zstd", "lz4"] as const) {
      const frame = compress(await createEncoder(codec, 1), zeros);
      expect(frame.length).toBeLessThan(zeros.length / 200);
      const decoder = await createDecoder(codec);
      for (let round = 0; round < 20; round++) {
        expect(codeOf(() => decoder.decompress(new Uint8Array(512), frame))).toBe("ARCHIVE_DAMAGED");
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 1024 * 1024);
  });
});

describe("windows", () => {
  test("are at most 8 MiB up to level 19, and never longer than the block beyond", async () => {
    const content = new Uint8Array(16 * 1024 * 1024);
    for (const [level, windowMax] of [
      [0, 8],
      [3, 8],
      [15, 8],
      [19, 8],
      [22, 16],
    ] as const) {
      const frame = compress(await createEncoder("zstd", level), content);
      expect(windowOf(frame)).toBeLessThanOrEqual(windowMax * 1024 * 1024);
    }
  });
});

/** Window_Size of a zstd frame (RFC 8878, section 3.1.1.1.2). */
function windowOf(frame: Uint8Array): number {
  const descriptor = frame[4] as number;
  if ((descriptor & 0x20) !== 0) return new DataView(frame.buffer).getUint32(5, true); // single segment: the content
  const byte = frame[5] as number;
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}
