import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allMounts, parseMountInfo, unescapeOctal } from "../../src/filesystem/mounts.ts";

/** The kernel's mangle_path with the characters show_mountinfo names (fs/proc_namespace.c: " \t\n\\"). */
function mangle(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    text += [0x20, 0x09, 0x0a, 0x5c].includes(byte)
      ? `\\${byte.toString(8).padStart(3, "0")}`
      : String.fromCharCode(byte);
  }
  return text;
}

describe("a mount table", () => {
  test("gives back any path byte for byte", () => {
    const path = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => bytes.filter((byte) => byte !== 0));
    fc.assert(
      fc.property(path, path, (root, point) => {
        const line = `36 35 98:0 /${mangle(root)} /${mangle(point)} rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue\n`;
        const [mount] = parseMountInfo(Buffer.from(line, "latin1"), 0);
        expect(mount?.root).toEqual(Buffer.concat([Buffer.from("/"), root]));
        expect(mount?.mountPoint).toEqual(Buffer.concat([Buffer.from("/"), point]));
      }),
    );
  });

  test("tells from the superblock's options, not the mount's, whether the file system can be written", () => {
    const lines = [
      "1 0 8:1 / /a ro,noatime - ext4 /dev/sda1 rw",
      "2 0 8:2 / /b rw shared:2 master:3 - xfs /dev/sda2 ro,attr2",
      "3 0 0:44 /@ /c rw - btrfs /dev/sdb rw,space_cache=v2,subvol=/@",
    ];
    const mounts = parseMountInfo(Buffer.from(lines.join("\n")), 7);
    expect(mounts.map((mount) => mount.superblockWritable)).toEqual([true, false, true]);
    expect(mounts.map((mount) => [mount.major, mount.minor])).toEqual([
      [8, 1],
      [8, 2],
      [0, 44],
    ]);
    expect(mounts.map((mount) => mount.type)).toEqual(["ext4", "xfs", "btrfs"]);
    expect(mounts.every((mount) => mount.pid === 7)).toBe(true);
  });

  test("passes over lines it does not understand", () => {
    expect(parseMountInfo(Buffer.from("\nnonsense\n1 2 3\n1 0 8:1 / /a rw no-separator\n"), 0)).toEqual([]);
  });

  test("keeps backslashes that are no escapes", () => {
    expect(unescapeOctal("a\\040b\\9x\\12").toString()).toBe("a b\\9x\\12");
  });

  test("of this machine holds the root and everything in this process's own table", () => {
    const own = (): string[] => readFileSync("/proc/self/mountinfo", "latin1").trim().split("\n");
    const before = own();
    const mounts = allMounts();
    // What others mounted or unmounted meanwhile may be there or not.
    const lasting = own().filter((line) => before.includes(line));
    const ids = new Set(mounts.filter((mount) => mount.pid === 0).map(({ id }) => id));
    expect(lasting.map((line) => Number.parseInt(line)).filter((id) => !ids.has(id))).toEqual([]);
    expect(mounts.some((mount) => mount.mountPoint.toString() === "/")).toBe(true);
  });
});
