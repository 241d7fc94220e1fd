import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concatBytes, fromHex, utf8 } from "../../src/base/bytes.ts";
import { encodePreamble } from "../../src/format/comment.ts";
import { MemberEncoder, type MemberFields } from "../../src/format/member.ts";
import { padded } from "../../src/format/ustar.ts";
import { EntryKind } from "../../src/model/entry.ts";

const encoder = new MemberEncoder();

function member(
  fields: Partial<MemberFields> & { path: Uint8Array },
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const whole: MemberFields = {
    kind: EntryKind.file,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: data.length,
    mtimeSeconds: 1_700_000_000,
    mtimeNanoseconds: 0,
    entryNumber: 7,
    ...fields,
  };
  const headers = encoder.size(whole);
  const bytes = new Uint8Array(headers + padded(data.length));
  expect(encoder.encode(bytes, 0, whole)).toBe(headers);
  bytes.set(data, headers);
  return bytes;
}

// user::rw-,user:99:r-x,group::r--,mask::r-x,other::r--
const acl = fromHex(
  "02000000 01000600ffffffff 0200050063000000 04000400ffffffff 10000500ffffffff 20000400ffffffff".replaceAll(" ", ""),
);

const longPath = utf8(`./${"d".repeat(120)}/${"é".repeat(60)}/${"x".repeat(140)}`);

/** One member of every kind and with every keyword. */
function everything(): Uint8Array {
  const directory = { kind: EntryKind.directory, mode: 0o755, size: 0 };
  return concatBytes([
    encodePreamble("zstd"),
    member({ ...directory, path: utf8("./"), mode: 0o700, mtimeSeconds: 1_600_000_000, mtimeNanoseconds: 5 }),
    member({ path: utf8("./plain") }, utf8("hello\n")),
    member({ path: utf8("./plain-ns"), mtimeNanoseconds: 123_456_789 }, utf8("hello\n")),
    member({ path: utf8("./ids"), uid: 4_294_967_294, gid: 3_000_000 }, utf8("x")),
    member({ path: Uint8Array.of(0x2e, 0x2f, 0xff, 0x0a, 0x20, 0x5c) }, utf8("bytes")),
    member({ ...directory, path: utf8(`./${"d".repeat(120)}/`) }),
    member({ ...directory, path: utf8(`./${"d".repeat(120)}/${"é".repeat(60)}/`) }),
    member({ path: longPath }, utf8("deep")),
    member({ kind: EntryKind.hardlink, path: utf8("./hard"), linkPath: longPath }),
    member({ kind: EntryKind.symlink, path: utf8("./soft"), linkPath: utf8("t".repeat(300)), mode: 0o777 }),
    member({ kind: EntryKind.fifo, path: utf8("./fifo") }),
    member({ kind: EntryKind.charDevice, path: utf8("./null"), device: { major: 1, minor: 3 } }),
    member({ kind: EntryKind.blockDevice, path: utf8("./blk"), device: { major: 259, minor: 1_048_575 } }),
    member(
      {
        path: utf8("./attributes"),
        attributes: [
          { name: utf8("user.z=100%"), value: Uint8Array.of(0, 10, 61, 37, 255) },
          { name: utf8("user.empty"), value: new Uint8Array(0) },
          { name: utf8("system.posix_acl_access"), value: acl as Uint8Array },
        ],
      },
      utf8("a"),
    ),
    sparse("./sparse", 5_000_000, [
      [1024, 512],
      [1_000_448, 700 * 512],
    ]),
    sparse("./hole", 1 << 30, []),
    sparse("./tail", 1025, [[1024, 1]]),
    new Uint8Array(1024),
  ]);
}

function sparse(path: string, realSize: number, extents: [number, number][]): Uint8Array {
  const segments = extents.map(([offset, length]) => ({ offset, length }));
  const length = segments.reduce((sum, segment) => sum + segment.length, 0);
  return member({ path: utf8(path), sparse: { realSize, segments } }, new Uint8Array(length).fill(0x41));
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tsfsa-member-"));
  writeFileSync(join(folder, "all.tar"), everything());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const restoreFlags = ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"];

describe("members read by stock tools", () => {
  test("GNU tar lists them all without a word on stderr", () => {
    const result = spawnSync("tar", ["-tvf", join(folder, "all.tar"), ...restoreFlags], { encoding: "latin1" });
    expect(result.stderr).toBe("");
    expect(result.status).toBe(0);
    expect(result.stdout.trimEnd().split("\n")).toHaveLength(17);
    expect(result.stdout).toContain("4294967294/3000000");
    expect(result.stdout).toContain("259,1048575");
    expect(result.stdout).toMatch(/1073741824 .*\.\/hole\n/);
  });

  test("bsdtar lists the same sizes and owners", () => {
    const result = spawnSync("bsdtar", ["-tvf", join(folder, "all.tar")], { encoding: "latin1" });
    expect(result.stderr).toBe("");
    expect(result.stdout).toMatch(/1073741824 .*\.\/hole\n/);
    expect(result.stdout).toMatch(/5000000 .*\.\/sparse\n/);
  });

  test("GNU tar restores content, holes, nanoseconds, attributes and ACLs", () => {
    const target = mkdtempSync(join(folder, "out-"));
    const result = spawnSync("tar", ["-xpf", join(folder, "all.tar"), ...restoreFlags, "-C", target], {
      encoding: "latin1",
    });
    expect(result.stderr).toBe("");
    expect(result.status).toBe(0);
    const run = (command: string, ...words: string[]): string =>
      execFileSync(command, words, { cwd: target, encoding: "latin1" });
    expect(run("stat", "-c", "%s %b", "hole")).toBe("1073741824 0\n");
    expect(run("stat", "-c", "%s", "tail")).toBe("1025\n");
    expect(run("stat", "-c", "%.9Y", "plain-ns", ".")).toBe("1700000000.123456789\n1600000000.000000005\n");
    expect(run("getfattr", "-hdm-", "-e", "hex", "attributes")).toContain("user.z\\075100%=0x000a3d25ff");
    expect(run("getfacl", "-cn", "attributes")).toContain("user:99:r-x");
    expect(run("stat", "-c", "%h", "hard")).toBe("2\n");
  });
});
