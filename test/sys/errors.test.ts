import { describe, expect, it } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";
import { check, errno, errnoMessage, errnoName, systemError } from "../../src/sys/errors.ts";

describe("systemError", () => {
  it.each([
    [errno.ENOSPC, "NO_SPACE"],
    [errno.EDQUOT, "NO_SPACE"],
    [errno.EACCES, "NO_PERMISSION"],
    [errno.EPERM, "NO_PERMISSION"],
    [errno.EIO, "IO"],
    [errno.EUCLEAN, "IO"],
    [9999, "IO"],
  ])("gives errno %i the code %s", (number, code) => {
    expect(systemError(number, "read").code).toBe(code);
  });

  it("tells the call, the meaning, the name and the path", () => {
    const path = new Uint8Array([0xff, 0x2f]);
    const error = systemError(errno.ENOSPC, "write", path);
    expect(error).toBeInstanceOf(TsfsaError);
    expect(error.message).toBe("write failed: no space left on device (ENOSPC)");
    expect(error.context).toEqual({ errno: "ENOSPC", path });
    expect(systemError(errno.EIO, "read").context).toEqual({ errno: "EIO" });
  });
});

describe("errnoName", () => {
  it("knows every value Linux file systems return, and stands for one it does not know", () => {
    expect([117, 11, 95, 116, 122, 74, 61].map(errnoName)).toEqual([
      "EUCLEAN",
      "EAGAIN",
      "ENOTSUP",
      "ESTALE",
      "EDQUOT",
      "EBADMSG",
      "ENODATA",
    ]);
    expect(errnoName(9999)).toBe("errno 9999");
    expect(errnoMessage(9999)).toBe("unknown error");
    for (const number of Object.values(errno)) expect(errnoMessage(number)).not.toBe("");
  });
});

describe("check", () => {
  it("hands on what is no error and throws for −errno", () => {
    expect(check(0, "close")).toBe(0);
    expect(check(7, "open")).toBe(7);
    expect(() => check(-errno.EACCES, "open", "/x")).toThrow(
      expect.objectContaining({ code: "NO_PERMISSION", context: { errno: "EACCES", path: "/x" } }),
    );
  });
});
