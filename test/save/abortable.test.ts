import { describe, expect, it, vi } from "vitest";
import { abortableOutput } from "../../src/save/abortable.ts";

describe("abortableOutput", () => {
  it("passes writes and offset on", async () => {
    const parts: number[] = [];
    const sink = {
      offset: 7,
      write: async (given: readonly Uint8Array[]) => void parts.push(...given.map(({ length }) => length)),
    };
    const output = abortableOutput(sink, new AbortController().signal);
    await output.write([new Uint8Array(3), new Uint8Array(5)]);
    expect(parts).toEqual([3, 5]);
    expect(output.offset).toBe(7);
  });

  it("ends a write that waits when it is to stop, and refuses every later one", async () => {
    const stop = new AbortController();
    const output = abortableOutput({ offset: 0, write: () => new Promise(() => {}) }, stop.signal);
    const stuck = output.write([]);
    const reason = new Error("stop");
    stop.abort(reason);
    await expect(stuck).rejects.toBe(reason);
    await expect(output.write([])).rejects.toBe(reason);
  });

  it("leaves nothing behind at the signal, however many blocks are written", async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    const output = abortableOutput({ offset: 0, write: () => Promise.resolve() }, signal);
    for (let i = 0; i < 50; i++) await output.write([]);
    await new Promise(setImmediate);
    expect(added).toHaveBeenCalledTimes(50);
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      added.mock.calls.map(([, listener]) => listener),
    );
  });
});
