import { describe, expect, it } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";
import { decodeError, encodeError } from "../../src/pipeline/protocol.ts";

function acrossThreads(error: unknown): Error {
  return decodeError(structuredClone(encodeError(error)));
}

describe("errors between threads", () => {
  it("keep code, message and context of ours", () => {
    const context = { path: new Uint8Array([0xff]), errno: "EIO", offsetBytes: 7, hints: ["try again"] };
    const error = acrossThreads(new TsfsaError("IO", "bad disk", { ...context, cause: new Error("inner") }));
    expect(error).toBeInstanceOf(TsfsaError);
    expect(error).toMatchObject({ code: "IO", message: "bad disk", context });
  });

  it("become INTERNAL where they are others, with their stack as the cause", () => {
    for (const thrown of [new RangeError("out of range"), "a string"]) {
      const error = acrossThreads(thrown);
      expect(error).toMatchObject({ code: "INTERNAL" });
      expect(error.message).toContain(thrown instanceof Error ? thrown.message : thrown);
      expect(error.cause).toBeInstanceOf(Error);
    }
  });
});
