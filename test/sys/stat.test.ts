import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { statLayout as layout } from "../../src/sys/layout.ts";
import { readStat, statDescriptor } from "../../src/sys/stat.ts";

describe("readStat", () => {
  it("keeps inode numbers beyond 2^53 exact, and the others numbers", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(16), (ino, offset) => {
        const view = new DataView(new ArrayBuffer(layout.size + offset));
        view.setBigUint64(offset + layout.ino, ino, true);
        const read = readStat(view, offset).ino;
        expect(BigInt(read)).toBe(ino);
        expect(typeof read).toBe(ino < 2n ** 53n ? "number" : "bigint");
      }),
    );
  });

  it("tells a birth time only where the kernel gave one, and the roots of mounts", () => {
    const record = new Uint8Array(layout.size);
    const view = new DataView(record.buffer);
    view.setBigInt64(layout.btime, -1n, true);
    expect(readStat(record)).not.toHaveProperty("btime");
    view.setUint32(layout.mask, 0xfff, true);
    view.setBigUint64(layout.attributes, 0x2000n, true);
    expect(readStat(record)).toMatchObject({ btime: { seconds: -1, nanoseconds: 0 }, mountRoot: true });
    expect(() => readStat(record, 1)).toThrow(RangeError);
  });

  it("throws for a descriptor that cannot be described", () => {
    expect(() => statDescriptor(-1)).toThrow(expect.objectContaining({ code: "IO", context: { errno: "EBADF" } }));
  });
});
