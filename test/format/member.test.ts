import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concatBytes, fromHex, utf8 } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { encodePreamble, stockRestoreCommand } from "../../src/format/comment.ts";
import { type LostAttribute, MemberEncoder, type MemberFields } from "../../src/format/member.ts";
import { checkPadding, decodeMember, decodeMembers, type Member } from "../../src/format/memberDecoder.ts";
import {
  headerTemplate,
  longField,
  padded,
  shortField,
  ustar,
  writeChecksum,
  writeOctal,
} from "../../src/format/ustar.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { attributes, fileSize, memberPath, owner, sparseLayout, timestamp } from "./arbitraries.ts";
import { codeOf, readingOutcomes } from "./expect.ts";
import { draws } from "../support/draws.ts";

const encoder = new MemberEncoder();

const aclValue = fromHex(
  "02000000 01000600ffffffff 0200050063000000 04000400ffffffff 10000500ffffffff 20000400ffffffff".replaceAll(" ", ""),
) as Uint8Array;
const aclNames = ["system.posix_acl_access", "system.posix_acl_default"] as const;

const common = {
  mode: fc.nat(0o7777),
  uid: owner,
  gid: owner,
  entryNumber: fc.maxSafeNat(),
  attributes: fc
    .tuple(fc.subarray([...aclNames]), attributes)
    .map(([acls, others]) => [...acls.map((name) => ({ name: utf8(name), value: aclValue })), ...others]),
};

const slash = utf8("/");
const noSize = fc.constant(0);

/** Fields of every kind of member, with the extremes of each. */
const fields: fc.Arbitrary<MemberFields> = fc
  .oneof(
    fc.record({ kind: fc.constant(EntryKind.file), path: memberPath, size: fileSize, ...common }),
    fc.record({ kind: fc.constant(EntryKind.file), path: memberPath, size: noSize, sparse: sparseLayout, ...common }),
    fc.record({
      kind: fc.constant(EntryKind.hardlink),
      path: memberPath,
      size: noSize,
      linkPath: memberPath,
      ...common,
    }),
    fc.record({
      kind: fc.constant(EntryKind.symlink),
      path: memberPath,
      size: noSize,
      linkPath: fc
        .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 4095, size: "medium" })
        .map((bytes) => Uint8Array.from(bytes)),
      ...common,
    }),
    fc.record({
      kind: fc.constantFrom(EntryKind.charDevice, EntryKind.blockDevice),
      path: memberPath,
      size: noSize,
      device: fc.record({ major: fc.nat(8 ** 7 - 1), minor: fc.nat(8 ** 7 - 1) }),
      ...common,
    }),
    fc.record({
      kind: fc.constant(EntryKind.directory),
      path: fc.oneof(
        memberPath.map((path) => concatBytes([path, slash])),
        fc.constantFrom(utf8("./"), utf8("3/")),
      ),
      size: noSize,
      ...common,
    }),
    fc.record({ kind: fc.constant(EntryKind.fifo), path: memberPath, size: noSize, ...common }),
  )
  .chain((member) =>
    timestamp.map(({ seconds, nanoseconds }) => ({
      ...member,
      mtimeSeconds: seconds,
      mtimeNanoseconds: nanoseconds,
    })),
  );

const plain: MemberFields = {
  kind: EntryKind.file,
  path: utf8("./plain"),
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSeconds: 1_700_000_000,
  mtimeNanoseconds: 0,
  entryNumber: 1,
};

function encoded(member: MemberFields): Uint8Array {
  const bytes = new Uint8Array(encoder.size(member)).fill(0xee);
  expect(encoder.encode(bytes, 0, member)).toBe(bytes.length);
  return bytes;
}

describe("a member", () => {
  test("comes back with every field, whatever the extremes", () => {
    fc.assert(
      fc.property(fields, (member) => {
        const tar = encoded(member);
        expect(encoder.lost).toEqual([]);
        expect(tar.length % 512).toBe(0);
        const found = decodeMember(tar, 0);
        const { mtimeSeconds, mtimeNanoseconds, entryNumber, size, ...rest } = member;
        expect(found).toMatchObject({
          ...rest,
          size: member.sparse?.realSize ?? size,
          mtime: { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds },
          headerOffset: 0,
          dataOffset: tar.length,
          dataAvailable: 0,
        });
        expect([undefined, entryNumber]).toContain(found.entryNumber);
        const data = member.sparse?.segments.reduce((sum, segment) => sum + segment.length, 0) ?? size;
        expect(found.dataLength).toBe(data);
      }),
      { numRuns: draws(150) },
    );
  });

  test("without anything unusual takes 512 bytes, with nanoseconds 1536", () => {
    expect(encoder.size(plain)).toBe(512);
    expect(encoder.size({ ...plain, path: utf8(`./${"a".repeat(98)}`) })).toBe(512);
    expect(encoder.size({ ...plain, path: utf8(`./${"a".repeat(150)}/${"b".repeat(100)}`) })).toBe(512);
    expect(encoder.size({ ...plain, mtimeNanoseconds: 1 })).toBe(1536);
    expect(encoder.size({ ...plain, path: utf8(`./${"a".repeat(101)}`) })).toBe(1536);
  });

  test("is written anywhere in a buffer, or not at all where it does not fit", () => {
    fc.assert(
      fc.property(fields, fc.nat(700), (member, offset) => {
        const bytes = encoded(member);
        const target = new Uint8Array(offset + bytes.length).fill(0xee);
        expect(encoder.encode(target, offset, member)).toBe(target.length);
        expect(target.subarray(offset)).toEqual(bytes);
        const small = new Uint8Array(offset + bytes.length - 1).fill(0xee);
        expect(encoder.encode(small, offset, member)).toBe(-1);
        expect(small.every((byte) => byte === 0xee)).toBe(true);
      }),
      { numRuns: draws(50) },
    );
  });

  test("does not carry ACLs the kernel would not take, nor attributes beyond 48 MiB, and says so", () => {
    const value = new Uint8Array(20 * 1024 * 1024);
    const big = ["user.a", "user.b", "user.c"].map((name) => ({ name: utf8(name), value }));
    const lost = (member: MemberFields): readonly LostAttribute[] => {
      encoder.size(member);
      return encoder.lost;
    };
    const broken = { name: utf8(aclNames[0]), value: aclValue.subarray(1) };
    expect(lost({ ...plain, attributes: [broken] })).toMatchObject([{ name: broken.name }]);
    const tooMany = { ...plain, attributes: big };
    expect(lost(tooMany)).toMatchObject([{ name: utf8("user.c") }]);
    expect(encoder.size(tooMany)).toBeLessThan(limits.paxHeaderBytes);
    expect(decodeMember(encoded(tooMany), 0).attributes).toHaveLength(2);
    expect(lost(plain)).toEqual([]);
  });

  test("cannot be a socket, nor a device beyond the header's octal digits", () => {
    expect(codeOf(() => encoded({ ...plain, kind: EntryKind.socket }))).toBe("INTERNAL");
    const device = { major: 8 ** 7, minor: 0 };
    expect(codeOf(() => encoded({ ...plain, kind: EntryKind.charDevice, device }))).toBe("INTERNAL");
  });
});

/** Files one after the other, every second one with an extended header. */
function blockOf(list: [Uint8Array, Uint8Array][]): Uint8Array {
  return concatBytes(
    list.flatMap(([path, data], index) => [
      encoded({ ...plain, path, size: data.length, mtimeNanoseconds: index % 2 }),
      data,
      new Uint8Array(padded(data.length) - data.length),
    ]),
  );
}

describe("a block of members", () => {
  const files = fc.array(fc.tuple(memberPath, fc.uint8Array({ maxLength: 1500 })), { minLength: 1, maxLength: 8 });

  test("gives each member with its data, in order", () => {
    fc.assert(
      fc.property(files, (list) => {
        const tar = blockOf(list);
        const found: [Uint8Array, Uint8Array][] = [];
        decodeMembers(tar, ({ path, dataOffset, dataLength, dataAvailable }) => {
          expect(dataAvailable).toBe(dataLength);
          found.push([path, tar.subarray(dataOffset, dataOffset + dataLength)]);
        });
        expect(found).toEqual(list);
      }),
    );
  });

  test("may end in the data of its last member, which goes on elsewhere", () => {
    const headers = encoded({ ...plain, size: 5000 });
    const members: Member[] = [];
    decodeMembers(concatBytes([headers, new Uint8Array(1024).fill(1)]), (member) => members.push(member));
    expect(members).toMatchObject([{ dataLength: 5000, dataAvailable: 1024, dataOffset: 512 }]);
  });

  test("with changed, cut or added bytes throws damage or hostile, and nothing else", () => {
    const noise = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fields, noise, fc.boolean(), (member, changes, cut) => {
        const tar = encoded({ ...member, size: Math.min(member.size, 512) });
        for (const [position, byte] of changes) tar[position % tar.length] = byte;
        const bytes = cut ? tar.subarray(0, (changes[0]?.[0] ?? 0) % tar.length) : tar;
        expect(readingOutcomes).toContain(codeOf(() => decodeMembers(bytes, () => undefined)));
      }),
      { numRuns: draws(500) },
    );
  });

  test("shows any single changed byte of a header", () => {
    const tar = encoded({ ...plain, mtimeNanoseconds: 5, uid: 3_000_000 });
    for (const start of [0, 1024]) {
      for (let at = start; at < start + 512; at++) {
        const changed = tar.slice();
        changed[at] = (changed[at] as number) ^ 1;
        expect(codeOf(() => decodeMember(changed, 0))).toBe("ARCHIVE_DAMAGED");
      }
    }
  });

  test("whose padding is not zero, or that ends in a header, is damage", () => {
    const tar = blockOf([[utf8("./a"), utf8("abc")]]);
    tar[tar.length - 1] = 1;
    expect(codeOf(() => decodeMembers(tar, () => undefined))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => checkPadding(tar, 515))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => checkPadding(tar, 513 * 4))).toBe("ARCHIVE_DAMAGED");
    expect(codeOf(() => decodeMembers(tar.subarray(0, 500), () => undefined))).toBe("ARCHIVE_DAMAGED");
  });
});

/** A header with a right checksum whatever its fields are. */
function header(change: (bytes: Uint8Array) => void, type = "0", name = "./x"): Uint8Array {
  const bytes = headerTemplate.slice();
  bytes.set(utf8(name));
  bytes.set(utf8(type), ustar.type);
  writeOctal(bytes, ustar.mode, shortField, 0o644);
  change(bytes);
  writeChecksum(
    bytes,
    0,
    bytes.reduce((sum, byte) => sum + byte, 0),
  );
  return bytes;
}

/** An entry whose extended header holds this text, with the main header as given. */
function extended(records: string | Uint8Array, main: Uint8Array = header(() => undefined)): Uint8Array {
  const body = typeof records === "string" ? utf8(records) : records;
  const first = header((bytes) => writeOctal(bytes, ustar.size, longField, body.length), "x", "PaxHeaders/0");
  return concatBytes([first, body, new Uint8Array(padded(body.length) - body.length), main]);
}

function record(keyword: string, value: string): string {
  const body = ` ${keyword}=${value}\n`;
  let length = utf8(body).length;
  while (
    `${length}${body}`.length < utf8(body).length + String(length).length ||
    length < utf8(`${length}${body}`).length
  )
    length++;
  return `${length}${body}`;
}

function outcomeOf(tar: Uint8Array): string {
  return codeOf(() => decodeMembers(tar, () => undefined));
}

describe("members that no writer makes", () => {
  test("named to lead out of the target are hostile", () => {
    const names = [
      "/etc/passwd",
      "../x",
      "./../x",
      "./a/../x",
      "./a/./b",
      "./a//b",
      "..",
      ".",
      "./.",
      "./..",
      "a/",
      "./",
    ];
    for (const name of names)
      expect([name, outcomeOf(header(() => undefined, "0", name))]).toEqual([name, "ARCHIVE_HOSTILE"]);
    expect(outcomeOf(header(() => undefined, "0", ""))).toBe("ARCHIVE_HOSTILE");
    expect(outcomeOf(header(() => undefined, "5", "./d"))).toBe("ARCHIVE_HOSTILE");
    for (const name of ["./a", "./d/..x", "./...", "0/a"])
      expect(outcomeOf(header(() => undefined, "0", name))).toBe("none");
    for (const path of ["../x", "/x", `./${"a".repeat(256)}`, "./a\0b", `./${"a/".repeat(70_000)}b`]) {
      expect(outcomeOf(extended(record("path", path)))).toBe("ARCHIVE_HOSTILE");
    }
    expect(outcomeOf(extended(record("path", `./${"a".repeat(255)}`)))).toBe("none");
  });

  test("linked to lead out of the target are hostile; symlinks may point anywhere", () => {
    const link = (type: string, target: string): string =>
      outcomeOf(header((bytes) => bytes.set(utf8(target), ustar.linkname), type));
    for (const target of ["/etc/passwd", "../x", "./a/..", "", "./d/"])
      expect(link("1", target)).toBe("ARCHIVE_HOSTILE");
    expect(link("1", "./a")).toBe("none");
    expect(link("2", "/etc/passwd")).toBe("none");
    expect(link("2", "../../x")).toBe("none");
    expect(link("2", "")).toBe("ARCHIVE_HOSTILE");
    expect(link("0", "./a")).toBe("ARCHIVE_HOSTILE");
    const symlink = header(() => undefined, "2");
    expect(outcomeOf(extended(record("linkpath", "a".repeat(4095)), symlink))).toBe("none");
    expect(outcomeOf(extended(record("linkpath", "a".repeat(4096)), symlink))).toBe("ARCHIVE_HOSTILE");
    expect(outcomeOf(extended(record("linkpath", "a\0b"), symlink))).toBe("ARCHIVE_HOSTILE");
    expect(outcomeOf(extended(record("linkpath", "a")))).toBe("ARCHIVE_HOSTILE");
  });

  test("with data, a device number or a sparse map on the wrong kind are hostile", () => {
    const sized = (type: string): string =>
      outcomeOf(
        header((bytes) => {
          bytes.set(utf8("./a"), ustar.linkname);
          writeOctal(bytes, ustar.size, longField, 512);
        }, type),
      );
    for (const type of ["1", "2"]) expect(sized(type)).toBe("ARCHIVE_HOSTILE");
    expect(outcomeOf(header((bytes) => void writeOctal(bytes, ustar.devmajor, shortField, 1)))).toBe("ARCHIVE_HOSTILE");
    const sparse = ["major=1", "minor=0", "name=./x", "realsize=0"]
      .map((pair) => record(`GNU.sparse.${pair.split("=")[0]}`, pair.split("=")[1] as string))
      .join("");
    expect(
      outcomeOf(
        extended(
          sparse,
          header(() => undefined, "6"),
        ),
      ),
    ).toBe("ARCHIVE_HOSTILE");
    expect(outcomeOf(extended(record("GNU.sparse.major", "1")))).toBe("ARCHIVE_HOSTILE");
  });

  test("of another type are hostile, global headers among them", () => {
    for (const type of ["g", "L", "K", "S", "7", "\0", "V", "A"]) {
      expect(outcomeOf(header(() => undefined, type))).toBe("ARCHIVE_HOSTILE");
    }
    expect(outcomeOf(extended(record("uid", "9000000"), extended(record("gid", "9000000"))))).toBe("ARCHIVE_HOSTILE");
  });

  test("that say one thing twice are hostile", () => {
    const twice = (keyword: string, value: string, change: (bytes: Uint8Array) => void): string =>
      outcomeOf(extended(record(keyword, value), header(change)));
    expect(twice("uid", "9000000", (bytes) => writeOctal(bytes, ustar.uid, shortField, 1))).toBe("ARCHIVE_HOSTILE");
    expect(twice("gid", "9000000", (bytes) => writeOctal(bytes, ustar.gid, shortField, 1))).toBe("ARCHIVE_HOSTILE");
    expect(twice("size", "512", (bytes) => writeOctal(bytes, ustar.size, longField, 1))).toBe("ARCHIVE_HOSTILE");
    expect(twice("mtime", "1.5", (bytes) => writeOctal(bytes, ustar.mtime, longField, 1))).toBe("ARCHIVE_HOSTILE");
    expect(twice("path", "./y", (bytes) => bytes.set(utf8("dir"), ustar.prefix))).toBe("ARCHIVE_HOSTILE");
    const repeated = record("uid", "9000000") + record("uid", "9000000");
    expect(outcomeOf(extended(repeated))).toBe("ARCHIVE_HOSTILE");
    const attribute = record("SCHILY.xattr.user.a", "1");
    expect(outcomeOf(extended(attribute))).toBe("none");
    expect(outcomeOf(extended(attribute + attribute))).toBe("ARCHIVE_HOSTILE");
  });

  test("with keywords unknown, out of order or misspelt, or illegal values, are hostile", () => {
    for (const records of [
      record("comment", "x"),
      record("atime", "1.5"),
      record("hdrcharset", "BINARY"),
      record("GNU.sparse.map", "0,1"),
      record("SCHILY.fflags", "x"),
      record("mtime", "1.5") + record("uid", "9000000"),
      record("SCHILY.xattr.user.b", "1") + record("SCHILY.xattr.user.a", "1"),
      record("SCHILY.xattr.user.a%3d", "1"),
      record("SCHILY.xattr.user.a%00", "1"),
      record("SCHILY.xattr.", "1"),
      record("SCHILY.xattr.system.posix_acl_access", "1"),
      record("SCHILY.acl.access", "user::rwx"),
      record("SCHILY.acl.access", "user:root:rwx"),
      record("uid", "4294967295"),
      record("uid", "-1"),
      record("uid", "0x10"),
      record("uid", ""),
      record("size", "9007199254740992"),
      ...["1.", ".5", "01.5", "1.50", "-0.0", "-0", "1e3", "+1.5", "1.1234567890", "", "9007199254740992.5"].map(
        (time) => record("mtime", time),
      ),
    ]) {
      expect([records, outcomeOf(extended(records))]).toEqual([records, "ARCHIVE_HOSTILE"]);
    }
  });

  test("with records of wrong length or headers that are not ours are damage", () => {
    for (const records of [
      "5 a=b\n",
      "7 a=b\n",
      "06 a=b\n",
      "6 a=bc",
      "6a=b\n\n",
      "3 \n",
      "5 abc\n",
      "4 =\n\n",
      "\n",
      "999999999 a=b\n",
    ]) {
      expect([records, outcomeOf(extended(records))]).toEqual([records, "ARCHIVE_DAMAGED"]);
    }
    const bad: ((bytes: Uint8Array) => void)[] = [
      (bytes) => bytes.set(utf8("root"), ustar.uname),
      (bytes) => bytes.set(utf8("x"), ustar.tail),
      (bytes) => bytes.set(utf8("0000644 "), ustar.mode),
      (bytes) => bytes.set(utf8(" 000644\0"), ustar.mode),
      (bytes) => bytes.set(utf8("0017777\0"), ustar.mode),
      (bytes) => bytes.set(Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 1), ustar.uid),
      (bytes) => bytes.set(utf8("ustar  \0"), ustar.magic),
      (bytes) => bytes.set(utf8("./x\0y")),
    ];
    for (const change of bad) expect(outcomeOf(header(change))).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf(new Uint8Array(512))).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf(header(() => undefined, "x", "PaxHeaders/0"))).toBe("ARCHIVE_DAMAGED");
    const tar = extended(record("uid", "9000000"));
    tar.set(header((bytes) => writeOctal(bytes, ustar.size, longField, 20), "x", "PaxHeaders/01"));
    expect(outcomeOf(tar)).toBe("ARCHIVE_DAMAGED");
    expect(
      outcomeOf(header((bytes) => writeOctal(bytes, ustar.size, longField, 8 ** 11 - 1), "x", "PaxHeaders/0")),
    ).toBe("ARCHIVE_DAMAGED");
  });
});

describe("the preamble", () => {
  test("is one global header that says how to restore", () => {
    for (const codec of ["zstd", "lz4"] as const) {
      const tar = encodePreamble(codec);
      expect(tar.length % 512).toBe(0);
      expect(String.fromCharCode(...tar)).toContain(stockRestoreCommand(codec));
      expect(tar[ustar.type]).toBe("g".charCodeAt(0));
    }
    expect(stockRestoreCommand("lz4", "x")).toBe(
      "lz4 -dc x | tar -xpf - --xattrs --xattrs-include='*' --acls --numeric-owner",
    );
  });
});
