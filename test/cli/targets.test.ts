import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTarget, parseTargets } from "../../src/cli/targets.ts";
import { splitWords } from "../../src/cli/words.ts";

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll(",", "\\,");
}

describe("a target of restfs", () => {
  it("names a source and a destination, in any order", () => {
    expect(parseTarget("dest=/dev/sda1,id=3")).toEqual({ id: 3, dest: "/dev/sda1" });
  });

  it("carries all that mkfs shall know", () => {
    const uuid = "1B4E28BA-2FA1-11D2-883F-0016D3CCA427";
    expect(parseTarget(`id=0,dest=d.img,mkfs=xfs,mkfsopt=-m reflink=0 -L 'a b',label=,uuid=${uuid}`)).toEqual({
      id: 0,
      dest: "d.img",
      mkfs: "xfs",
      mkfsopt: ["-m", "reflink=0", "-L", "a b"],
      label: "",
      uuid: uuid.toLowerCase(),
    });
    expect(parseTarget("id=0,dest=d,uuid=new").uuid).toBe("new");
  });

  it("takes any destination and label when commas and backslashes are escaped", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "binary" }), fc.string(), (dest, label) => {
        expect(parseTarget(`dest=${escape(dest)},id=0,label=${escape(label)}`)).toEqual({ id: 0, dest, label });
      }),
    );
  });

  it("keeps a backslash that escapes nothing, as in udev's names", () => {
    expect(parseTarget("id=0,dest=/dev/disk/by-label/my\\x20disk").dest).toBe("/dev/disk/by-label/my\\x20disk");
  });

  it.each([
    ["", 'has "": expected KEY=VALUE'],
    ["/dev/sda1", "expected KEY=VALUE"],
    ["id=0,dest=a,size=3", 'has "size=3": expected KEY=VALUE with one of the keys id, dest'],
    ["id=0,dest=a,b", 'has "b": expected KEY=VALUE'],
    ["id=0", "has no dest=TARGET"],
    ["id=0,dest=", "has no dest=TARGET"],
    ["dest=a", "has no id=N"],
    ["id=,dest=a", "expected the number of a source, from 0 to 4095"],
    ["id=4096,dest=a", "expected the number of a source"],
    ["id=-1,dest=a", "expected the number of a source"],
    ["id=0x1,dest=a", "expected the number of a source"],
    ["id=0,dest=a,dest=b", "has dest= twice"],
    ["id=0,dest=a,uuid=random", "uuid=random: expected keep, new or a UUID"],
    ["id=0,dest=a,mkfs=ext5", "mkfs=ext5: expected one of ext2, ext3, ext4, xfs, btrfs"],
    ["id=0,dest=a,mkfs=../x", "expected one of ext2"],
    ["id=0,dest=a,mkfsopt='x", "mkfsopt: the quote ' is not closed"],
  ])("%j is refused as a usage error", (text, message) => {
    expect(() => parseTarget(text)).toThrowError(expect.objectContaining({ code: "USAGE" }));
    expect(() => parseTarget(text)).toThrowError(message);
  });

  it("stands alone with its source and its destination", () => {
    expect(() => parseTargets(["id=1,dest=a", "id=1,dest=b"])).toThrowError("id=1 stands in two targets");
    expect(() => parseTargets(["id=1,dest=a", "id=2,dest=a"])).toThrowError("dest=a stands in two targets");
    expect(parseTargets(["id=1,dest=a", "id=0,dest=b"]).map(({ id }) => id)).toEqual([1, 0]);
  });
});

describe("words", () => {
  it.each<[string, string[]]>([
    ["", []],
    ["  ", []],
    [" a  b\tc\n", ["a", "b", "c"]],
    ["a'b c'd", ["ab cd"]],
    [`'' "" x`, ["", "", "x"]],
    [`"it's" 'say "x"'`, ["it's", 'say "x"']],
    ["$(x) `y` \\z", ["$(x)", "`y`", "\\z"]],
  ])("%j are cut at blanks, quotes keep them together, nothing is expanded", (text, words) => {
    expect(splitWords(text, "mkfsopt")).toEqual(words);
  });
});
