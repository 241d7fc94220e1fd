import { describe, expect, it } from "vitest";
import { SlotPool } from "../../src/pipeline/slots.ts";

describe("SlotPool", () => {
  it("makes its buffers as they are needed, never more than it may, and gives them again", async () => {
    const slots = new SlotPool(2, 16);
    const first = await slots.acquire();
    const second = await slots.acquire();
    expect(slots.buffer(first)).not.toBe(slots.buffer(second));
    expect(slots.buffer(first).byteLength).toBe(16);
    slots.release(first);
    expect(await slots.acquire()).toBe(first);
  });

  it("serves who waits in order", async () => {
    const slots = new SlotPool(1, 16);
    const slot = await slots.acquire();
    const served: number[] = [];
    const waiting = [1, 2, 3].map((who) => slots.acquire().then(() => served.push(who)));
    for (let i = 0; i < 3; i++) {
      slots.release(slot);
      await waiting[i];
      expect(served.at(-1)).toBe(i + 1);
    }
  });

  it("tells a failure to all who wait and all who come", async () => {
    const slots = new SlotPool(1, 16);
    const slot = await slots.acquire();
    const waiting = [slots.acquire(), slots.acquire()];
    const error = new Error("over");
    slots.fail(error);
    slots.fail(new Error("later"));
    for (const promise of waiting) await expect(promise).rejects.toBe(error);
    slots.release(slot);
    await expect(slots.acquire()).rejects.toBe(error);
  });

  it("has no buffer for a slot that was never given", () => {
    expect(() => new SlotPool(2, 16).buffer(0)).toThrow(RangeError);
  });
});
